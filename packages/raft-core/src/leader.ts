/** A leader's reactions to its peers. What it sends is in replication.ts. Raft paper, sections 5.3 and 5.4. */
import { NONE, type ReplicaId } from './entry.ts'
import type { GroupState } from './group-state.ts'
import { promoteLearner } from './membership/membership.ts'
import type { AppendResponse, HeartbeatResponse } from './message.ts'
import type { Progress } from './progress/progress.ts'
import { acknowledgeRound, releaseEarlyReads } from './reads/reads.ts'
import { broadcastAppend, maybeCommit, sendAll, sendAppend } from './replication.ts'
import { becomeFollower } from './roles.ts'
import { finishTransfer } from './transfer.ts'

/** Also the leader's acknowledgement of its own entries, once they are durable. */
export function handleAppendResponse<P>(s: GroupState<P>, m: AppendResponse): void {
  // Answers of strangers have not passed the gate in step.ts.
  const progress = s.tracker.progress.get(m.from)!
  progress.recentActive = true
  if (m.rejected) handleRefusal(s, m, progress)
  else handleAcknowledgement(s, m, progress)
}

function handleRefusal<P>(s: GroupState<P>, m: AppendResponse, progress: Progress): void {
  // Where this log may agree with one that has hintTerm at hintIndex: skips the terms that the peer never had.
  const hint = m.hintTerm > 0 ? s.log.agreementHint(m.hintIndex, m.hintTerm).index : m.hintIndex
  if (m.lostTail === true) forgetMatch(progress, Math.min(hint, m.index))
  else if (!progress.reject(m.index, hint)) return
  else if (progress.state === 'replicate') progress.becomeProbe()
  sendAppend(s, m.from, true)
}

/** What the peer acknowledged is gone from its log: it counts for nothing until it is acknowledged again. */
function forgetMatch(progress: Progress, hint: number): void {
  progress.match = 0
  progress.becomeProbe()
  progress.next = Math.max(1, hint + 1)
}

function handleAcknowledgement<P>(s: GroupState<P>, m: AppendResponse, progress: Progress): void {
  const news = progress.acknowledge(m.index) || progress.answersProbe(m.index)
  if (!news) return
  if (progress.state === 'probe') progress.becomeReplicate()
  else if (progress.state === 'replicate') progress.inflights.freeTo(m.index)
  // Whatever brought the peer this far: as soon as the log goes on from there, it no longer needs the snapshot.
  else if (progress.match >= s.log.base.index) progress.becomeReplicate()
  // It has the snapshot, but the log was compacted beyond it meanwhile: it needs another one.
  else if (progress.match >= progress.pendingSnapshot) progress.becomeProbe()

  if (maybeCommit(s)) {
    releaseEarlyReads(s)
    broadcastAppend(s)
  } else if (m.from !== s.id && progress.canBumpCommit(s.log.commit)) {
    sendAppend(s, m.from, true)
  }
  if (m.from !== s.id) sendAll(s, m.from)
  finishTransfer(s, m.from)
  promoteLearner(s, m.from)
}

export function handleHeartbeatResponse<P>(s: GroupState<P>, m: HeartbeatResponse): void {
  const progress = s.tracker.progress.get(m.from)!
  progress.recentActive = true
  progress.flowPaused = false
  if (m.lostTail === true && progress.match > 0) forgetMatch(progress, progress.match)
  // Behind: what was in flight may be lost. Probing: this is what brings a peer that has everything back.
  if (progress.match < s.log.lastIndex || progress.state === 'probe') sendAppend(s, m.from, true)
  acknowledgeRound(s, m.from, m.context)
  promoteLearner(s, m.from)
}

/** Steps down unless a quorum was heard from since the last check. Raft thesis, section 6.2. */
export function checkQuorum<P>(s: GroupState<P>): void {
  if (!s.tracker.quorumActive()) {
    s.trace({ type: 'quorumLost', id: s.id, term: s.term })
    becomeFollower(s, s.term, NONE)
  }
  for (const [id, progress] of s.tracker.progress) {
    if (id !== s.id) progress.recentActive = false
  }
}

/** The transport lost messages to `peer`: find out by a probe how far it came. */
export function handleUnreachable<P>(s: GroupState<P>, peer: ReplicaId): void {
  const progress = s.tracker.progress.get(peer)
  if (s.role === 'leader' && progress?.state === 'replicate') progress.becomeProbe()
}

/**
 * The end of a snapshot's transfer. Nothing is sent until the peer answers (finished), or until its next heartbeat (failed):
 * it will not have changed its mind sooner.
 */
export function handleSnapshotStatus<P>(s: GroupState<P>, peer: ReplicaId, status: 'finished' | 'failed'): void {
  const progress = s.tracker.progress.get(peer)
  if (s.role !== 'leader' || progress?.state !== 'snapshot') return
  if (status === 'failed') progress.pendingSnapshot = 0
  progress.becomeProbe()
  progress.flowPaused = true
}
