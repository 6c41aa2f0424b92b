/** What `MemoryLogStore` holds of one group, and what a recovery would say of it. Pure. */
import { type Frame, FrameKind } from '@millrace/record'
import { extendTerms, positionAfter } from './frame-sequence.ts'
import type { Ballot, BaseRecord, Hole, LogPosition, RecoveredLog, StoredTermRun } from './log-store.ts'
import { holeAt } from './memory-holes.ts'

/** What is "on disk" of one group. */
export interface StoredGroup {
  readonly replicaId: number
  readonly base: BaseRecord
  readonly ballot: Ballot
  readonly commit: number
  /** Shared by consecutive states, which differ in `count`; only ever extended at its end. */
  readonly frames: Frame[]
  readonly count: number
  /** What `damage` took, rising. */
  readonly holes: readonly Hole[]
}

export function endOf(state: StoredGroup): LogPosition {
  return state.count === 0 ? state.base : positionAfter(state.frames[state.count - 1]!)
}

export function recoveredFrom(stored: StoredGroup): RecoveredLog {
  const last = endOf(stored)
  const commit = Math.min(Math.max(stored.base.index, stored.commit), last.index)
  const terms: StoredTermRun[] = []
  const configurations: Frame[] = []
  let unread = 0
  for (const frame of stored.frames.slice(0, stored.count)) {
    const { index, term, kind } = frame.header
    const hole = holeAt(stored.holes, index)
    if (hole === undefined || index === hole.last.index) extendTerms(terms, index, term)
    else extendTerms(terms, index, hole.before.term)
    if (kind !== FrameKind.configuration) continue
    if (hole !== undefined) {
      unread = index
      continue
    }
    if (index <= commit) {
      configurations.length = 0
      unread = 0
    }
    configurations.push(frame)
  }
  const { replicaId, base, ballot } = stored
  const recovered = { replicaId, base, last, ballot, commit, terms, configurations }
  return unread === 0 ? recovered : { ...recovered, unreadConfiguration: unread }
}
