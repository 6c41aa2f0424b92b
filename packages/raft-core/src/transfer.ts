/** Leadership transfer (Raft thesis, section 3.10): bring the target up to date, then tell it to campaign at once. */
import { NONE, type ReplicaId } from './entry.ts'
import type { GroupState } from './group-state.ts'
import type { StepResult } from './input.ts'
import { sendAppend } from './replication.ts'
import { abortTransfer } from './roles.ts'

const OK: StepResult = { type: 'ok' }

/** At the leader starts a transfer, at a follower passes the request on. */
export function requestTransfer<P>(s: GroupState<P>, target: ReplicaId): StepResult {
  if (s.leader === NONE) {
    return { type: 'dropped', reason: 'noLeader', leader: NONE, message: 'no leader is known that could hand over' }
  }
  if (s.role !== 'leader') {
    s.send({ type: 'transferLeader', to: s.leader, target })
    return OK
  }
  const progress = s.tracker.progress.get(target)
  if (progress === undefined || !s.tracker.isVoter(target)) {
    return { type: 'dropped', reason: 'unknownPeer', leader: s.leader, message: `replica ${target} is not a voter` }
  }
  if (s.transferee === target) return OK
  abortTransfer(s)
  if (target === s.id) return OK
  // It has one election timeout from here; see ticks.ts.
  s.electionElapsed = 0
  s.transferee = target
  s.lease.end()
  s.trace({ type: 'transferStarted', id: s.id, term: s.term, target })
  if (progress.match === s.log.lastIndex) sendTimeoutNow(s, target)
  else sendAppend(s, target, true)
  return OK
}

/** Called when a peer's match has moved. */
export function finishTransfer<P>(s: GroupState<P>, peer: ReplicaId): void {
  if (peer === s.transferee && s.tracker.progress.get(peer)?.match === s.log.lastIndex) sendTimeoutNow(s, peer)
}

function sendTimeoutNow<P>(s: GroupState<P>, to: ReplicaId): void {
  s.send({ type: 'timeoutNow', to })
}
