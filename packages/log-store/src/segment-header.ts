/**
 * The first bytes of a segment file, and the names of segment files. A header joins the segment to the log before it:
 * made while no write of the group is outstanding, it proves everything at or below its base.
 */
import { crc32, decodeFrame, type Frame } from '@millrace/record'
import {
  alignToSector,
  allZero,
  type FormatFault,
  getU64,
  Magic,
  openStructure,
  sealStructure,
  setU64,
  startStructure,
  viewOf,
} from './format.ts'
import type { LogPosition } from './log-store.ts'
import { type RoundRecord, SALT_BYTES } from './round-record.ts'

export const SEGMENT_HEADER_FIXED_BYTES = 128
/** Bound of a header with its configuration frames: anything longer is not a header. */
export const SEGMENT_HEADER_BYTES_MAX = 8_388_608

/** Which segment holds the entry at the base, and where that entry ends in it. */
export interface SegmentPredecessor {
  readonly base: number
  readonly generation: number
  readonly end: number
}

export interface SegmentHeader {
  /** Bytes of the header: position of the first round. */
  readonly length: number
  readonly generation: number
  readonly salt: Uint8Array
  readonly group: number
  readonly base: LogPosition
  /** Null where the base is the log's own. */
  readonly predecessor: SegmentPredecessor | null
  readonly createdMs: number
  /** Bytes of the older file that it was written over; 0: none. Up to there, what is no round of this segment means nothing. */
  readonly recycledBytes: number
  /**
   * Configuration frames at or below the base and above the log's base, rising: the newest at or below the commit index
   * known at creation, and all after it.
   */
  readonly configurations: readonly Frame[]
}

export interface SegmentName {
  readonly base: number
  readonly generation: number
}

export function segmentFileName(name: SegmentName): string {
  return `${stemOf(name)}.log`
}

export function indexFileName(name: SegmentName): string {
  return `${stemOf(name)}.index`
}

function stemOf(name: SegmentName): string {
  return `${name.base.toString(16).padStart(16, '0')}-${name.generation.toString(16).padStart(8, '0')}`
}

/** What a file name says, or null where it is not that of a segment. */
export function parseSegmentFileName(name: string): SegmentName | null {
  const match = /^([0-9a-f]{16})-([0-9a-f]{8})\.log$/.exec(name)
  if (match === null) return null
  return { base: Number.parseInt(match[1]!, 16), generation: Number.parseInt(match[2]!, 16) }
}

/** Whether a valid record is one of this segment, at the place where it was written. */
export function isRecordOf(header: SegmentHeader, record: RoundRecord, position: number): boolean {
  const { generation, group, salt } = header
  return (
    record.position === position &&
    record.generation === generation &&
    record.group === group &&
    record.salt.every((byte, at) => byte === salt[at])
  )
}

/** The header as bytes, padded to sectors; its `length` is taken from what it holds. */
export function encodeSegmentHeader(header: Omit<SegmentHeader, 'length'>): Uint8Array {
  const configurationsLength = header.configurations.reduce((sum, frame) => sum + frame.bytes.length, 0)
  const length = alignToSector(SEGMENT_HEADER_FIXED_BYTES + configurationsLength)
  const bytes = new Uint8Array(length)
  let at = SEGMENT_HEADER_FIXED_BYTES
  for (const frame of header.configurations) {
    bytes.set(frame.bytes, at)
    at += frame.bytes.length
  }
  const fixed = bytes.subarray(0, SEGMENT_HEADER_FIXED_BYTES)
  const view = startStructure(fixed, Magic.segment)
  view.setUint32(8, length, true)
  view.setUint32(12, header.generation, true)
  bytes.set(header.salt, 16)
  setU64(view, 24, header.group)
  setU64(view, 32, header.base.index)
  setU64(view, 40, header.base.term)
  setU64(view, 48, header.base.timestamp)
  setU64(view, 56, header.base.nextOffset)
  view.setUint32(64, header.base.chain, true)
  view.setUint32(68, header.configurations.length, true)
  setU64(view, 72, header.predecessor?.base ?? 0)
  view.setUint32(80, header.predecessor?.generation ?? 0, true)
  view.setUint32(84, configurationsLength, true)
  setU64(view, 88, header.predecessor?.end ?? 0)
  setU64(view, 96, header.createdMs)
  setU64(view, 104, header.recycledBytes)
  view.setUint32(120, crc32(bytes.subarray(SEGMENT_HEADER_FIXED_BYTES, at)), true)
  sealStructure(fixed)
  return bytes
}

/** Length of the whole header, from its fixed part, or what is wrong with that. */
export function segmentHeaderLength(fixed: Uint8Array): number | FormatFault {
  const view = openStructure(fixed, SEGMENT_HEADER_FIXED_BYTES, Magic.segment)
  if (typeof view === 'string') return view
  const length = view.getUint32(8, true)
  return length === alignToSector(length) && length <= SEGMENT_HEADER_BYTES_MAX ? length : 'value'
}

/** Reads and verifies a whole header. The result holds copies. */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | FormatFault {
  const length = segmentHeaderLength(bytes.subarray(0, SEGMENT_HEADER_FIXED_BYTES))
  if (typeof length === 'string') return length
  if (bytes.length < length) return 'short'
  const view = viewOf(bytes)
  const configurationsLength = view.getUint32(84, true)
  if (SEGMENT_HEADER_FIXED_BYTES + configurationsLength > length) return 'value'
  const carrier = bytes.slice(SEGMENT_HEADER_FIXED_BYTES, SEGMENT_HEADER_FIXED_BYTES + configurationsLength)
  if (crc32(carrier) !== view.getUint32(120, true)) return 'checksum'
  if (!allZero(bytes, SEGMENT_HEADER_FIXED_BYTES + configurationsLength, length)) return 'value'
  const configurations = decodeConfigurations(carrier, view.getUint32(68, true))
  if (configurations === null) return 'value'
  const generation = view.getUint32(80, true)
  return {
    length,
    generation: view.getUint32(12, true),
    salt: bytes.slice(16, 16 + SALT_BYTES),
    group: getU64(view, 24),
    base: {
      index: getU64(view, 32),
      term: getU64(view, 40),
      timestamp: getU64(view, 48),
      nextOffset: getU64(view, 56),
      chain: view.getUint32(64, true),
    },
    predecessor: generation === 0 ? null : { base: getU64(view, 72), generation, end: getU64(view, 88) },
    createdMs: getU64(view, 96),
    recycledBytes: getU64(view, 104),
    configurations,
  }
}

function decodeConfigurations(carrier: Uint8Array, count: number): readonly Frame[] | null {
  const frames: Frame[] = []
  let at = 0
  while (at < carrier.length) {
    const frame = decodeFrame(carrier, at)
    if (typeof frame === 'string') return null
    frames.push(frame)
    at += frame.bytes.length
  }
  return frames.length === count ? frames : null
}
