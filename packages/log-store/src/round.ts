/**
 * A round as the buffers of one writev: its record, the frames as they are, zeroes up to the next sector. No frame is
 * copied.
 */
import type { Frame } from '@millrace/record'
import { alignToSector, SECTOR_BYTES } from './format.ts'
import { positionAfter } from './frame-sequence.ts'
import type { Ballot, LogPosition } from './log-store.ts'
import { encodeRoundRecord, ROUND_RECORD_BYTES } from './round-record.ts'

const ZEROES: Uint8Array = new Uint8Array(SECTOR_BYTES)

/** Where a round goes. */
export interface RoundPlace {
  readonly generation: number
  readonly salt: Uint8Array
  readonly group: number
  readonly number: number
  readonly position: number
  readonly previousPosition: number
}

/** What a round says besides its frames. */
export interface RoundContent {
  readonly frames: readonly Frame[]
  readonly before: LogPosition
  readonly configurationIndex: number
  readonly ballot: Ballot
  readonly commit: number
}

export interface Round {
  readonly buffers: readonly Uint8Array[]
  /** Where the next round starts. */
  readonly end: number
  /** Just after the last frame. */
  readonly framesEnd: number
  readonly after: LogPosition
}

export function buildRound(place: RoundPlace, content: RoundContent): Round {
  const { frames, before } = content
  let framesLength = 0
  const buffers: Uint8Array[] = [ZEROES]
  for (const frame of frames) {
    framesLength += frame.bytes.length
    buffers.push(frame.bytes)
  }
  const after = positionAfter(frames.at(-1)!)
  buffers[0] = encodeRoundRecord({
    ...place,
    framesLength,
    frameCount: frames.length,
    chainBefore: before.chain,
    chainAfter: after.chain,
    firstIndex: before.index + 1,
    previousTerm: before.term,
    previousTimestamp: before.timestamp,
    nextOffset: before.nextOffset,
    configurationIndex: content.configurationIndex,
    term: content.ballot.term,
    vote: content.ballot.vote,
    commit: content.commit,
  })
  const framesEnd = place.position + ROUND_RECORD_BYTES + framesLength
  const end = alignToSector(framesEnd)
  if (end > framesEnd) buffers.push(ZEROES.subarray(0, end - framesEnd))
  return { buffers, end, framesEnd, after }
}
