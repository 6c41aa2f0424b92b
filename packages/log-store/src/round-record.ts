/**
 * The record in front of the frames of one write. Valid, it proves that everything before it in the log was durable; it
 * says exactly what its own frames must be. Local to the replica: salt and record never leave the node.
 */
import {
  alignToSector,
  type FormatFault,
  getU64,
  Magic,
  openStructure,
  sealStructure,
  setU64,
  startStructure,
} from './format.ts'

export const ROUND_RECORD_BYTES = 192
export const SALT_BYTES = 8

export interface RoundRecord {
  readonly generation: number
  readonly salt: Uint8Array
  readonly number: number
  readonly position: number
  /** 0 for the first round of a segment. */
  readonly previousPosition: number
  readonly framesLength: number
  readonly frameCount: number
  readonly chainBefore: number
  readonly chainAfter: number
  readonly firstIndex: number
  readonly previousTerm: number
  readonly previousTimestamp: number
  /** Next offset before the first frame. */
  readonly nextOffset: number
  /** Index of the newest configuration entry, this round's included. */
  readonly configurationIndex: number
  readonly term: number
  readonly vote: number
  readonly commit: number
  readonly group: number
}

/** Where the round after this one starts. */
export function roundEnd(record: RoundRecord): number {
  return alignToSector(record.position + ROUND_RECORD_BYTES + record.framesLength)
}

export function lastIndexOf(record: RoundRecord): number {
  return record.firstIndex + record.frameCount - 1
}

export function encodeRoundRecord(record: RoundRecord): Uint8Array {
  const bytes = new Uint8Array(ROUND_RECORD_BYTES)
  const view = startStructure(bytes, Magic.round)
  view.setUint32(8, ROUND_RECORD_BYTES, true)
  view.setUint32(12, record.generation, true)
  bytes.set(record.salt, 16)
  setU64(view, 24, record.number)
  setU64(view, 32, record.position)
  setU64(view, 40, record.previousPosition)
  setU64(view, 48, record.framesLength)
  view.setUint32(56, record.frameCount, true)
  view.setUint32(60, record.chainBefore, true)
  view.setUint32(64, record.chainAfter, true)
  setU64(view, 72, record.firstIndex)
  setU64(view, 80, record.previousTerm)
  setU64(view, 88, record.previousTimestamp)
  setU64(view, 96, record.nextOffset)
  setU64(view, 104, record.configurationIndex)
  setU64(view, 112, record.term)
  setU64(view, 120, record.vote)
  setU64(view, 128, record.commit)
  setU64(view, 136, record.group)
  sealStructure(bytes)
  return bytes
}

/** Reads the record at the start of `bytes` and verifies its checksum. The result's `salt` is a copy. */
export function decodeRoundRecord(bytes: Uint8Array): RoundRecord | FormatFault {
  const view = openStructure(bytes, ROUND_RECORD_BYTES, Magic.round)
  if (typeof view === 'string') return view
  if (view.getUint32(8, true) !== ROUND_RECORD_BYTES) return 'value'
  return {
    generation: view.getUint32(12, true),
    salt: bytes.slice(16, 16 + SALT_BYTES),
    number: getU64(view, 24),
    position: getU64(view, 32),
    previousPosition: getU64(view, 40),
    framesLength: getU64(view, 48),
    frameCount: view.getUint32(56, true),
    chainBefore: view.getUint32(60, true),
    chainAfter: view.getUint32(64, true),
    firstIndex: getU64(view, 72),
    previousTerm: getU64(view, 80),
    previousTimestamp: getU64(view, 88),
    nextOffset: getU64(view, 96),
    configurationIndex: getU64(view, 104),
    term: getU64(view, 112),
    vote: getU64(view, 120),
    commit: getU64(view, 128),
    group: getU64(view, 136),
  }
}
