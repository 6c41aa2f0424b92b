/**
 * Pure questions about runs of frames: where a log stands after a frame, and whether frames join it. Both stores ask
 * them before they take a write, so that a frame that does not belong is a broken assertion and never reaches a disk.
 */
import { chainOf, decodeFrame, type Frame, nextOffsetAfter } from '@millrace/record'
import type { Hole, LogPosition, StoredTermRun } from './log-store.ts'

/** Where the log stands after `frame`. */
export function positionAfter(frame: Frame): LogPosition {
  const { header } = frame
  return {
    index: header.index,
    term: header.term,
    chain: header.chain,
    timestamp: header.timestamp,
    nextOffset: nextOffsetAfter(header),
  }
}

export function isSamePosition(a: LogPosition, b: LogPosition): boolean {
  const isSameEntry = a.index === b.index && a.term === b.term && a.chain === b.chain
  return isSameEntry && a.timestamp === b.timestamp && a.nextOffset === b.nextOffset
}

/**
 * Asserts that `frames` are contiguous among themselves, and that the first joins `before` where that is known.
 *
 * @throws RangeError naming the frame that does not join
 */
export function assertJoined(group: number, frames: readonly Frame[], before: LogPosition | undefined): void {
  let previous = before
  for (const frame of frames) {
    const { header } = frame
    if (header.group !== group) throw new RangeError(`frame ${header.index} is of group ${header.group}, not ${group}`)
    if (previous !== undefined) assertNext(previous, frame)
    previous = positionAfter(frame)
  }
}

function assertNext(previous: LogPosition, frame: Frame): void {
  const { header } = frame
  if (header.index !== previous.index + 1) {
    throw new RangeError(`frame ${header.index} does not follow index ${previous.index}`)
  }
  if (header.term < previous.term) {
    throw new RangeError(`frame ${header.index} has term ${header.term}, below term ${previous.term} before it`)
  }
  if (header.baseOffset !== previous.nextOffset) {
    throw new RangeError(`frame ${header.index} has offset ${header.baseOffset}, expected ${previous.nextOffset}`)
  }
  if (chainOf(frame.bytes, previous.chain) !== header.chain) {
    throw new RangeError(`frame ${header.index} does not continue the chain of index ${previous.index}`)
  }
}

/** Why `frame` is not the one after `previous`, or null. */
export function frameMisfit(frame: Frame, previous: LogPosition, group: number): string | null {
  const { header } = frame
  if (header.group !== group) return `of group ${header.group}`
  if (header.index !== previous.index + 1) return `of index ${header.index}, expected ${previous.index + 1}`
  if (chainOf(frame.bytes, previous.chain) !== header.chain) return 'chain'
  if (header.term < previous.term || header.timestamp < previous.timestamp) return 'term or time goes back'
  return header.baseOffset === previous.nextOffset ? null : 'offset'
}

/**
 * Whether `frames` are all that a hole lacks up to `upTo`, and nothing else: each valid and in its place, the last one
 * the one there.
 */
export function fillsHole(group: number, hole: Hole, frames: readonly Frame[], upTo: LogPosition = hole.last): boolean {
  let at = hole.before
  for (const frame of frames) {
    if (typeof decodeFrame(frame.bytes) === 'string' || frameMisfit(frame, at, group) !== null) return false
    at = positionAfter(frame)
  }
  return isSamePosition(at, upTo) && upTo.index <= hole.last.index
}

/** Adds a frame of `term` at `index` to runs that cover everything before it. */
export function extendTerms(runs: StoredTermRun[], index: number, term: number): void {
  if (runs.at(-1)?.term !== term) runs.push({ first: index, term })
}

/** First position in [low, high) for which `reached` holds, or `high`; `reached` must be false, then true. */
export function firstWhere(low: number, high: number, reached: (at: number) => boolean): number {
  let from = low
  let to = high
  while (from < to) {
    const middle = (from + to) >>> 1
    if (reached(middle)) to = middle
    else from = middle + 1
  }
  return from
}
