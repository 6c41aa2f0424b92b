/**
 * A follower's side of replication: what a leader's appends, heartbeats and snapshots do to the log. Raft paper, sections
 * 5.3 and 7. Every answer waits until the log that it speaks of is durable.
 */
import { type LogIndex, NONE } from './entry.ts'
import type { GroupState } from './group-state.ts'
import type { HoleRange } from './log/log-holes.ts'
import { adoptSnapshotConfiguration } from './membership/membership.ts'
import type { AppendRequest, Heartbeat, InstallSnapshot, SnapshotMeta } from './message.ts'
import { commitTo } from './replication.ts'
import { settleUncertainty } from './uncertainty.ts'

export function handleAppend<P>(s: GroupState<P>, m: AppendRequest<P>): void {
  const { log } = s
  if (m.prevIndex < log.commit) {
    // Reordered or repeated: everything up to the commit index is the same in the log of every later leader.
    matched(s, log.commit)
    accept(s, m.from, log.commit)
    return
  }
  const hole = log.holes.across(m.prevIndex)
  if (hole !== undefined) {
    refuseInHole(s, m, hole)
    return
  }
  if (!log.matches({ index: m.prevIndex, term: m.prevTerm })) {
    refuse(s, m)
    return
  }
  const last = m.prevIndex + m.entries.length
  const conflict = whereToReplace(s, m)
  // Nothing differs as far as can be told, but the message ends inside a hole: it is answered when that is repaired.
  if (conflict === 0 && log.holes.across(last) !== undefined) return
  if (conflict !== 0) {
    if (conflict <= log.lastIndex) s.trace({ type: 'truncated', id: s.id, from: conflict })
    // It is above the commit index, as prevIndex is not below that. What matches is left alone, and what follows it here
    // too where nothing conflicts: the message may be an old one.
    log.append(m.entries, conflict - m.prevIndex - 1)
  }
  matched(s, last)
  // The leader may have committed more than it has sent here; beyond `last` this log is not known to be its log.
  commitTo(s, Math.min(m.commit, last))
  accept(s, m.from, last)
}

/**
 * Where the log is to be replaced from; 0: nowhere. What follows an entry inside a hole cannot be told, so a hole with an
 * entry that differs is replaced from its start on. The message has what belongs there: it begins before the hole.
 */
function whereToReplace<P>({ log }: GroupState<P>, m: AppendRequest<P>): LogIndex {
  const conflict = log.firstConflict(m.entries)
  return conflict === 0 ? 0 : (log.holes.across(conflict - 1)?.first ?? conflict)
}

/**
 * The leader's previous entry is in a hole: whether the logs agree there cannot be told before the hole's start. What is
 * committed agrees in any case; a leader that goes on from a commit index inside a hole is answered when that is repaired.
 */
function refuseInHole<P>(s: GroupState<P>, m: AppendRequest<P>, hole: HoleRange): void {
  if (m.prevIndex === s.log.commit) return
  const hintIndex = Math.max(hole.first - 1, s.log.commit)
  const hintTerm = s.log.term(hintIndex) ?? 0
  s.send({ type: 'appendResponse', to: m.from, index: m.prevIndex, rejected: true, hintIndex, hintTerm })
}

function accept<P>(s: GroupState<P>, to: number, index: LogIndex): void {
  s.send({ type: 'appendResponse', to, index, rejected: false, hintIndex: 0, hintTerm: 0 })
}

/**
 * Refuses with the best guess where the logs agree: the highest entry here that is not above the leader's previous entry
 * in index or term. The leader does the same with the answer, so each round trip skips a whole term on one side.
 */
function refuse<P>(s: GroupState<P>, m: AppendRequest<P>): void {
  const hint = s.log.agreementHint(Math.min(m.prevIndex, s.log.lastIndex), m.prevTerm)
  s.send({
    type: 'appendResponse',
    to: m.from,
    index: m.prevIndex,
    rejected: true,
    hintIndex: hint.index,
    hintTerm: hint.term,
    ...(s.uncertainUntil && { lostTail: true }),
  })
}

function matched<P>(s: GroupState<P>, index: LogIndex): void {
  s.leaderMatch = Math.max(s.leaderMatch, index)
  settleUncertainty(s)
}

export function handleHeartbeat<P>(s: GroupState<P>, m: Heartbeat): void {
  // The leader caps the commit at what it knows to match: entries that this log has acknowledged, and still has unless
  // its end is uncertain. Then only what this leader has matched since counts.
  const lost = s.uncertainUntil !== undefined && m.commit > s.leaderMatch
  commitTo(s, lost ? s.leaderMatch : m.commit)
  s.send({
    type: 'heartbeatResponse',
    to: m.from,
    context: m.context,
    ...(lost && { lostTail: true }),
  })
}

export function handleSnapshot<P>(s: GroupState<P>, m: InstallSnapshot<P>): void {
  const restored = restore(s, m.snapshot)
  const index = restored ? s.log.lastIndex : s.log.commit
  matched(s, index)
  accept(s, m.from, index)
}

/**
 * A configuration without this replica is no reason to refuse: the snapshot is of the log's base, and the change that made
 * this replica a member may follow in the log.
 *
 * @returns false when the snapshot brings nothing: the log stays as it is
 */
function restore<P>(s: GroupState<P>, meta: SnapshotMeta<P>): boolean {
  if (meta.index <= s.log.commit) return false
  // Its entry may be in this log, and what follows it acknowledged: a log is not thrown away because nobody can tell.
  if (s.log.holes.hidingTerm(meta.index) !== undefined) return false
  if (s.log.matches(meta)) {
    // A log that holds the snapshot's last entry is never thrown away for it.
    commitTo(s, meta.index)
    return false
  }
  s.log.restore(meta)
  s.restored = undefined
  s.fetchedForApply = undefined
  s.applyFetch = NONE
  s.applyRetryDue = false
  s.trace({ type: 'snapshotRestored', id: s.id, index: meta.index, term: meta.term })
  adoptSnapshotConfiguration(s, meta)
  return true
}
