/** Linearizable reads: Raft thesis, section 6.4. See read-queue.ts for rounds and lease.ts for leases. */
import { NONE, type ReplicaId } from '../entry.ts'
import type { GroupState } from '../group-state.ts'
import type { StepResult } from '../input.ts'
import type { ReadIndexResponse } from '../message.ts'
import { broadcastHeartbeat } from '../replication.ts'
import type { ConfirmedRead, ReadRequest } from './read-queue.ts'

const OK: StepResult = { type: 'ok' }

/** Takes a read of this replica's host or (at the leader) of a peer. */
export function requestRead<P>(s: GroupState<P>, request: ReadRequest, nowMs: number | undefined): StepResult {
  if (s.leader === NONE) return dropped(s, 'noLeader', 'no leader is known: try again once there is one')
  if (s.reads.full) {
    return dropped(
      s,
      'readQueueFull',
      `${s.reads.waiting} reads wait, pendingReadsMax is ${s.settings.pendingReadsMax}`,
    )
  }
  if (s.role !== 'leader') {
    s.reads.forward(request.context)
    s.send({ type: 'readIndex', to: s.leader, context: request.context })
    return OK
  }
  // Before its first commit a leader does not know what earlier terms have committed.
  if (hasCommittedInTerm(s)) takeRead(s, request, nowMs)
  else s.reads.waitForFirstCommit(request)
  return OK
}

function dropped<P>(s: GroupState<P>, reason: 'noLeader' | 'readQueueFull', message: string): StepResult {
  return { type: 'dropped', reason, leader: s.leader, message }
}

export function hasCommittedInTerm<P>(s: GroupState<P>): boolean {
  return s.log.term(s.log.commit) === s.term
}

function takeRead<P>(s: GroupState<P>, request: ReadRequest, nowMs: number | undefined): void {
  if (isAlone(s) || leaseHolds(s, nowMs)) answer(s, { request, index: s.log.commit })
  else s.reads.gather(request, s.log.commit)
}

/** Nobody else can be elected. */
function isAlone<P>(s: GroupState<P>): boolean {
  const { voters } = s.configuration
  return voters.length === 1 && voters[0] === s.id && !s.tracker.isJoint()
}

/** Only a reading of the clock that came with the request itself counts: the process may have slept since any other. */
function leaseHolds<P>(s: GroupState<P>, nowMs: number | undefined): boolean {
  return s.settings.readMode === 'lease' && s.lease.valid(nowMs)
}

function answer<P>(s: GroupState<P>, read: ConfirmedRead): void {
  const { from, context } = read.request
  if (from === NONE) s.readStates.push({ index: read.index, context })
  else s.send({ type: 'readIndexResponse', to: from, index: read.index, context })
}

/** To be called when the leader has committed an entry of its term: reads that waited for it go on. */
export function releaseEarlyReads<P>(s: GroupState<P>): void {
  for (const request of s.reads.takeEarly()) takeRead(s, request, undefined)
}

/** One round of heartbeats for everything gathered since the last one. */
export function sendReadRound<P>(s: GroupState<P>): void {
  if (s.role !== 'leader' || !s.reads.roundDue) return
  broadcastHeartbeat(s, s.reads.openRound(s.nowMs))
  // The configuration may have shrunk to this leader since the reads arrived: then nobody else will answer.
  confirmReads(s)
}

/** The heartbeats of the clock: they repeat the newest open round, and renew the lease where there is one. */
export function sendHeartbeats<P>(s: GroupState<P>): void {
  const ownRound = s.reads.roundDue || s.settings.readMode === 'lease'
  broadcastHeartbeat(s, ownRound ? s.reads.openRound(s.nowMs) : s.reads.openContext)
}

/** A peer has acknowledged a round. */
export function acknowledgeRound<P>(s: GroupState<P>, from: ReplicaId, context: number): void {
  if (context === 0) return
  s.reads.acknowledge(from, context)
  confirmReads(s)
}

/** Answers what a quorum has confirmed. To be called for another configuration too: it may need fewer answers. */
export function confirmReads<P>(s: GroupState<P>): void {
  const confirmed = s.reads.confirm(s.configuration, s.id)
  if (confirmed.sentMs !== undefined && s.settings.readMode === 'lease') s.lease.renew(confirmed.sentMs)
  for (const read of confirmed.reads) answer(s, read)
}

/** The leader's answer to a read that this replica had passed on. */
export function handleReadResponse<P>(s: GroupState<P>, m: ReadIndexResponse): void {
  if (s.reads.answered(m.context)) s.readStates.push({ index: m.index, context: m.context })
}
