/** Gathers everything that a group asks of its host since the last time, as one {@link Output}. */
import type { Entry } from './entry.ts'
import type { GroupState } from './group-state.ts'
import { bytesOf } from './log/entry-window.ts'
import type { AppendTask, ApplyTask, HardState, Output } from './output.ts'
import { sendReadRound } from './reads/reads.ts'
import { fetchForApply, needsFetchForApply } from './storage.ts'

/** @see RaftGroup.hasOutput */
export function hasOutput<P>(s: GroupState<P>): boolean {
  return (
    s.messages.length > 0 ||
    s.afterAppend.length > 0 ||
    s.readStates.length > 0 ||
    s.fetches.length > 0 ||
    s.snapshotWanted ||
    softChanged(s) ||
    hardChanged(s) ||
    s.log.submitted < s.log.lastIndex ||
    s.log.snapshot?.submitted === false ||
    (s.role === 'leader' && s.reads.roundDue) ||
    canApply(s) ||
    needsFetchForApply(s)
  )
}

/** @see RaftGroup.takeOutput */
export function takeOutput<P>(s: GroupState<P>): Output<P> {
  sendReadRound(s)
  const append = takeAppendTask(s)
  const apply = takeApplyTask(s)
  fetchForApply(s)
  const soft = softChanged(s) ? { role: s.role, leader: s.leader } : undefined
  if (soft !== undefined) s.lastSoft = soft
  const output: Output<P> = {
    messages: s.messages,
    fetch: s.fetches,
    reads: s.readStates,
    ...(append && { append }),
    ...(apply && { apply }),
    ...(soft && { soft }),
    ...(s.snapshotWanted && { snapshotWanted: true }),
  }
  s.messages = []
  s.fetches = []
  s.readStates = []
  s.snapshotWanted = false
  return output
}

function softChanged<P>(s: GroupState<P>): boolean {
  return s.lastSoft.role !== s.role || s.lastSoft.leader !== s.leader
}

function hardChanged<P>(s: GroupState<P>): boolean {
  const { lastHard } = s
  return lastHard.term !== s.term || lastHard.vote !== s.vote || lastHard.commit !== s.log.commit
}

/**
 * One write with everything since the last one. Whenever a part of the log is not durable yet, the task attests the end
 * of the log once more: an earlier attestation may have been of an earlier term, and void.
 */
function takeAppendTask<P>(s: GroupState<P>): AppendTask<P> | undefined {
  const { log } = s
  const entries = log.unsubmitted()
  const snapshot = log.snapshot?.submitted === false ? log.snapshot.meta : undefined
  const hardState = hardChanged(s) ? s.hardState() : undefined
  if (entries.length === 0 && snapshot === undefined && hardState === undefined && s.afterAppend.length === 0) {
    return undefined
  }
  const responses = s.afterAppend
  s.afterAppend = []
  const attests = log.durable < log.lastIndex
  if (attests || snapshot !== undefined) {
    responses.push({
      type: 'storageAppended',
      from: s.id,
      to: s.id,
      term: s.term,
      index: attests ? log.lastIndex : 0,
      logTerm: attests ? log.lastTerm : 0,
      ...(snapshot && { snapshot }),
    })
  }
  const mustSync =
    entries.length > 0 || snapshot !== undefined || (hardState !== undefined && voteChanged(s, hardState))
  log.submit()
  if (hardState !== undefined) s.lastHard = hardState
  return { entries, mustSync, responses, ...(hardState && { hardState }), ...(snapshot && { snapshot }) }
}

/** A commit index that is lost is learned again; a vote that is lost is given twice. */
function voteChanged<P>(s: GroupState<P>, hardState: HardState): boolean {
  return hardState.term !== s.lastHard.term || hardState.vote !== s.lastHard.vote
}

function canApply<P>(s: GroupState<P>): boolean {
  const from = s.apply.applying + 1
  return (
    !s.apply.paused && from <= s.log.appliable() && (from >= s.log.window.first || s.fetchedForApply?.from === from)
  )
}

function takeApplyTask<P>(s: GroupState<P>): ApplyTask<P> | undefined {
  if (!canApply(s)) return undefined
  const from = s.apply.applying + 1
  const appliable = s.log.appliable()
  let entries: readonly Entry<P>[]
  if (from >= s.log.window.first) entries = s.log.window.slice(from, appliable + 1, s.apply.bytesLeft)
  else entries = s.fetchedForApply!.entries
  s.fetchedForApply = undefined
  const last = entries[entries.length - 1]!.index
  // What was fetched ends where the request did: that alone is no reason to wait.
  s.apply.handedOut(last, bytesOf(entries), from >= s.log.window.first ? appliable : last)
  const response = { type: 'storageApplied', from: s.id, to: s.id, term: s.term, entries } as const
  return { entries, responses: [response] }
}
