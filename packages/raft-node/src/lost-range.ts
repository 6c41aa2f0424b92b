/**
 * The entry by which an operator gives up entries that no replica can read and that none has applied: what it says, and how it is
 * found. It stands behind the hole, so a replica that has come to the hole looks ahead for it.
 */
import { type GroupLog, type Hole, LogDamaged } from '@millrace/log-store'
import type { LogIndex } from '@millrace/raft-core'
import { type Frame, FrameKind, framePayload } from '@millrace/record'

/** Entries [first, last] that count as applied without having been read. */
export interface LostRange {
  readonly first: LogIndex
  readonly last: LogIndex
  /** Of the first record after them. */
  readonly nextOffset: number
}

const BYTES = 24
const READ_BYTES = 1024 * 1024

export function encodeLostRange({ first, last, nextOffset }: LostRange): Uint8Array {
  const bytes = new Uint8Array(BYTES)
  const view = new DataView(bytes.buffer)
  for (const [i, value] of [first, last, nextOffset].entries()) view.setBigUint64(8 * i, BigInt(value), true)
  return bytes
}

/** @throws Error where the payload is not one */
export function decodeLostRange(payload: Uint8Array): LostRange {
  if (payload.length !== BYTES) throw new Error(`a lost range of ${payload.length} bytes, it has ${BYTES}`)
  const view = new DataView(payload.buffer, payload.byteOffset)
  const [first, last, nextOffset] = [0, 8, 16].map(at => Number(view.getBigUint64(at, true))) as [
    number,
    number,
    number,
  ]
  return { first, last, nextOffset }
}

/**
 * The first entry in [from, to] that gives up all of the hole; undefined where none does. What cannot be read is passed over.
 *
 * @throws LogError of other kinds than damage
 */
export async function findLostRange(
  log: GroupLog,
  hole: Hole,
  from: LogIndex,
  to: LogIndex,
): Promise<Frame | undefined> {
  for (let index = from; index <= to; ) {
    try {
      const frames = await log.read(index, to + 1, READ_BYTES)
      const found = frames.find(frame => givesUp(frame, hole))
      if (found !== undefined || frames.length === 0) return found
      index = frames.at(-1)!.header.index + 1
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error
      index = error.hole.last.index + 1
    }
  }
  return undefined
}

function givesUp(frame: Frame, { before, last: end }: Hole): boolean {
  if (frame.header.kind !== FrameKind.lostRange) return false
  const { first, last, nextOffset } = decodeLostRange(framePayload(frame))
  // One that ends elsewhere speaks of other records.
  return first <= before.index + 1 && last === end.index && nextOffset === end.nextOffset
}
