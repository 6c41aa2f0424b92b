/**
 * What storage and the state machine answer to append and apply tasks, the entries that were fetched for the state
 * machine, and the host's compaction of the log.
 */
import { type Entry, NONE } from './entry.ts'
import type { GroupState } from './group-state.ts'
import type { FetchRequest, Input } from './input.ts'
import { bytesOf } from './log/entry-window.ts'
import { applyConfigEntry, leaveJointWhenApplied } from './membership/membership.ts'
import type { SnapshotMeta, StorageAppended, StorageApplied } from './message.ts'
import { joins, sendAppend, sendFetched } from './replication.ts'
import { passHoles } from './state-restored.ts'
import { settleUncertainty } from './uncertainty.ts'

/**
 * A write is durable. Entries of a write that was submitted in an earlier term are not taken for durable even where the
 * log holds the same (index, term) now: they may have been overwritten and put back by writes that are still on their
 * way. The task that carried the new term attests the end of the log again. A snapshot holds committed state whatever
 * the term.
 */
export function handleStorageAppended<P>(s: GroupState<P>, m: StorageAppended<P>): void {
  if (m.term === s.term && m.index !== 0) s.log.durableTo({ index: m.index, term: m.logTerm })
  if (m.snapshot !== undefined) snapshotInstalled(s, m.snapshot)
  settleUncertainty(s)
}

function snapshotInstalled<P>(s: GroupState<P>, meta: SnapshotMeta<P>): void {
  s.log.snapshotInstalled(meta.index)
  s.stateMissing = false
  applied(s, meta.index, 0)
}

export function handleStorageApplied<P>(s: GroupState<P>, m: StorageApplied<P>): void {
  for (const entry of m.entries) {
    if (entry.kind === 'config') applyConfigEntry(s, entry)
  }
  // No task is without entries.
  applied(s, m.entries[m.entries.length - 1]!.index, bytesOf(m.entries))
}

function applied<P>(s: GroupState<P>, index: number, bytes: number): void {
  s.apply.appliedTo(index, bytes)
  s.log.configsAppliedTo(s.apply.applied)
  passHoles(s)
  leaveJointWhenApplied(s)
}

/** The log on disk starts after (index, term) now. Peers that are still before it get a snapshot. */
export function handleCompacted<P>(s: GroupState<P>, input: Extract<Input<P>, { type: 'compacted' }>): void {
  const { index, term, configuration, configurationIndex } = input
  s.log.compactTo({ index, term })
  if (configuration !== undefined && s.history.at(index) === undefined) {
    s.history.record({ index: configurationIndex ?? index, configuration }, index)
  }
  s.history.dropBelow(s.log.base.index)
}

/** Asks for committed entries that have left memory, one request at a time. */
export function fetchForApply<P>(s: GroupState<P>): void {
  if (!needsFetchForApply(s)) return
  const from = s.apply.applying + 1
  s.lastFetchId++
  s.applyFetch = s.lastFetchId
  s.fetches.push({
    id: s.lastFetchId,
    purpose: 'apply',
    peer: NONE,
    from,
    to: Math.min(s.log.appliable() + 1, s.log.window.first),
    bytesMax: s.apply.bytesLeft,
    termAtRequest: s.term,
  })
}

export function needsFetchForApply<P>(s: GroupState<P>): boolean {
  const from = s.apply.applying + 1
  return (
    !s.apply.paused &&
    s.applyFetch === NONE &&
    s.fetchedForApply?.from !== from &&
    from <= s.log.appliable() &&
    from < s.log.window.first
  )
}

export function handleFetched<P>(s: GroupState<P>, request: FetchRequest, entries: readonly Entry<P>[]): void {
  if (request.purpose === 'send') {
    if (takeSendFetch(s, request)) sendFetched(s, request.peer, request.from, entries)
    return
  }
  // A snapshot has brought what this was to be fetched for.
  if (s.applyFetch !== request.id) return
  if (joins(s, request.from, entries)) {
    s.applyFetch = NONE
    s.fetchedForApply = { from: request.from, entries }
  } else s.applyRetryDue = true
}

/**
 * A range could not be read. What is gone is replaced by a snapshot. Any other failure stops this peer only, until its
 * next heartbeat; apply asks again with the next tick.
 */
export function handleFetchFailed<P>(s: GroupState<P>, request: FetchRequest, reason: string): void {
  if (request.purpose === 'apply') {
    if (s.applyFetch === request.id) s.applyRetryDue = true
    return
  }
  if (!takeSendFetch(s, request)) return
  if (reason === 'compacted') sendAppend(s, request.peer, true)
  else s.tracker.progress.get(request.peer)!.flowPaused = true
}

/** @returns whether the answer is the one that is waited for, in the same leadership */
function takeSendFetch<P>(s: GroupState<P>, request: FetchRequest): boolean {
  const progress = s.tracker.progress.get(request.peer)
  if (s.role !== 'leader' || s.term !== request.termAtRequest || progress?.fetch !== request.id) return false
  progress.fetch = NONE
  return true
}

/** A failed fetch for apply is tried again. */
export function retryApplyFetch<P>(s: GroupState<P>): void {
  if (!s.applyRetryDue) return
  s.applyRetryDue = false
  s.applyFetch = NONE
}

/** Storage reads entries again that it could not: what they say is known now. */
export function handleHoleFilled<P>(s: GroupState<P>, input: Extract<Input<P>, { type: 'holeFilled' }>): void {
  const { first, last, terms, configurations } = input
  const { log } = s
  // They have been replaced since, or a snapshot took their place.
  if (!log.holes.concern(first, last)) return
  log.filled(first, last, terms)
  for (const entry of configurations) {
    if (entry.index > s.apply.applied) log.rememberConfig(entry.index)
    else applyConfigEntry(s, entry)
  }
  if (s.applyRetryDue) retryApplyFetch(s)
  settleUncertainty(s)
}

/** A snapshot can be sent: peers whose next entries are gone get it now. */
export function handleSnapshotAvailable<P>(s: GroupState<P>, snapshot: SnapshotMeta<P>): void {
  s.offeredSnapshot = snapshot
  if (s.role !== 'leader') return
  for (const [id, progress] of s.tracker.progress) {
    const before = progress.next - 1
    const isGone = s.log.term(before) === undefined && s.log.holes.hidingTerm(before) === undefined
    if (id !== s.id && isGone) sendAppend(s, id, true)
  }
}
