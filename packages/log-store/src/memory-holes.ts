/** Holes of a log in memory: which entries a test said are damaged. Pure, over states that are never changed. */
import type { Frame } from '@millrace/record'
import { positionAfter } from './frame-sequence.ts'
import type { Hole, LogPosition } from './log-store.ts'

/** Frames of the entries above `base`. */
export interface FramesAbove {
  readonly base: LogPosition
  readonly frames: readonly Frame[]
  readonly count: number
  readonly holes: readonly Hole[]
}

/** The hole that an entry is in. */
export function holeAt(holes: readonly Hole[], index: number): Hole | undefined {
  return holes.find(({ before, last }) => before.index < index && index <= last.index)
}

/** The hole that has an entry and the one after it: nobody can tell what follows such an entry. */
export function holeAcross(holes: readonly Hole[], index: number): Hole | undefined {
  return holes.find(({ before, last }) => before.index < index && index < last.index)
}

/** Where the log stood at an entry. */
export function positionAt({ base, frames }: FramesAbove, index: number): LogPosition {
  return index === base.index ? base : positionAfter(frames[index - base.index - 1]!)
}

/** With the entries [first, last] damaged, as far as the log has them. */
export function withHole<State extends FramesAbove>(state: State, first: number, last: number): State {
  const { base, count, holes } = state
  let from = Math.max(first - 1, base.index)
  let to = Math.min(last, base.index + count)
  if (from >= to) return state
  const apart = holes.filter(({ before, last: end }) => end.index < from || before.index > to)
  for (const hole of holes) {
    if (apart.includes(hole)) continue
    from = Math.min(from, hole.before.index)
    to = Math.max(to, hole.last.index)
  }
  const hole = { before: positionAt(state, from), last: positionAt(state, to) }
  return { ...state, holes: [...apart, hole].sort((a, b) => a.before.index - b.before.index) }
}

/** What is left of holes when the log keeps only (base, end]. */
export function holesWithin(holes: readonly Hole[], base: number, end: number): readonly Hole[] {
  return holes.filter(({ before, last }) => last.index > base && before.index < end)
}
