/**
 * The one way in: the gate by term that every message passes (Raft paper, section 5.1), and the table of who handles what
 * in which role.
 */
import { handleAppend, handleHeartbeat, handleSnapshot } from './append-handler.ts'
import {
  handleVoteRequest,
  handleVoteResponse,
  inLease,
  learnCommitted,
  refuseVote,
  startElection,
} from './election.ts'
import { NONE } from './entry.ts'
import type { GroupState } from './group-state.ts'
import type { Input, StepResult } from './input.ts'
import { handleAppendResponse, handleHeartbeatResponse, handleSnapshotStatus, handleUnreachable } from './leader.ts'
import { applyConfigEntry } from './membership/membership.ts'
import type { AppendRequest, Heartbeat, InstallSnapshot, Message } from './message.ts'
import { dropped, handleForwarded, propose, proposeConfigChange } from './proposals.ts'
import { handleReadResponse, requestRead } from './reads/reads.ts'
import { draftsOf } from './replication.ts'
import { becomeFollower } from './roles.ts'
import { handleStateRestored } from './state-restored.ts'
import {
  handleCompacted,
  handleFetched,
  handleFetchFailed,
  handleHoleFilled,
  handleSnapshotAvailable,
  handleStorageAppended,
  handleStorageApplied,
  retryApplyFetch,
} from './storage.ts'
import { tick } from './ticks.ts'
import { requestTransfer } from './transfer.ts'

const OK: StepResult = { type: 'ok' }

/** @see RaftGroup.step */
export function stepInput<P>(s: GroupState<P>, input: Input<P>): StepResult {
  switch (input.type) {
    case 'message':
      if (input.nowMs !== undefined) s.nowMs = input.nowMs
      return stepMessage(s, input.message)
    case 'tick':
      if (input.nowMs !== undefined) s.nowMs = input.nowMs
      retryApplyFetch(s)
      tick(s)
      return OK
    case 'propose':
      return propose(s, draftsOf(input.entries))
    case 'proposeConfigChange':
      return proposeConfigChange(s, input.change, input.payload ?? null)
    case 'readIndex':
      if (input.nowMs !== undefined) s.nowMs = input.nowMs
      return requestRead(s, { from: NONE, context: input.context }, input.nowMs)
    case 'transferLeader':
      return requestTransfer(s, input.target)
    default:
      stepNotice(s, input)
      return OK
  }
}

type Answered = 'message' | 'tick' | 'propose' | 'proposeConfigChange' | 'readIndex' | 'transferLeader'

/** Inputs that are never refused. */
function stepNotice<P>(s: GroupState<P>, input: Exclude<Input<P>, { type: Answered }>): void {
  switch (input.type) {
    case 'campaign':
      startElection(s, s.settings.preVote ? 'preElection' : 'election')
      break
    case 'forgetLeader':
      forgetLeader(s)
      break
    case 'unreachable':
      handleUnreachable(s, input.peer)
      break
    case 'snapshotStatus':
      handleSnapshotStatus(s, input.peer, input.status)
      break
    case 'entriesFetched':
      handleFetched(s, input.request, input.entries)
      break
    case 'fetchFailed':
      handleFetchFailed(s, input.request, input.reason)
      break
    case 'compacted':
      handleCompacted(s, input)
      break
    case 'snapshotAvailable':
      handleSnapshotAvailable(s, input.snapshot)
      break
    case 'holesFound':
      s.log.holes.found(input.holes)
      break
    case 'holeFilled':
      handleHoleFilled(s, input)
      break
    case 'stateRestored':
      handleStateRestored(s, input.state)
      break
    case 'stepDown':
      stepDown(s)
      break
    case 'configApplied':
      applyConfigEntry(s, input.entry)
      break
  }
}

/** A follower with evidence that its leader is gone votes for others at once. Never under leases: they rest on waiting. */
function forgetLeader<P>(s: GroupState<P>): void {
  if (s.role !== 'follower' || s.leader === NONE || s.settings.readMode === 'lease') return
  s.trace({ type: 'leaderForgotten', id: s.id, term: s.term, leader: s.leader })
  s.leader = NONE
}

function stepDown<P>(s: GroupState<P>): void {
  if (s.role !== 'leader') return
  s.trace({ type: 'steppedDown', id: s.id, term: s.term })
  becomeFollower(s, s.term, NONE)
}

function stepMessage<P>(s: GroupState<P>, m: Message<P>): StepResult {
  if (m.type === 'storageAppended' || m.type === 'storageApplied') {
    if (m.from !== s.id) return dropped(s, 'localMessage', `${m.type} of replica ${m.from} is not for others`)
    if (m.type === 'storageAppended') handleStorageAppended(s, m)
    else handleStorageApplied(s, m)
    return OK
  }
  // These two make no claim about terms: who passes a request on may be ahead of its leader.
  if (m.type === 'propose') return handleForwarded(s, m)
  if (m.type === 'readIndex') {
    return s.role === 'leader' ? requestRead(s, { from: m.from, context: m.context }, undefined) : OK
  }
  if (isResponse(m) && !s.tracker.progress.has(m.from)) {
    return dropped(s, 'unknownPeer', `replica ${m.from} is not a member of the configuration`)
  }
  if (m.term > s.term && !admitHigherTerm(s, m)) return OK
  if (m.term < s.term) answerLowerTerm(s, m)
  else dispatch(s, m)
  return OK
}

function isResponse<P>(m: Message<P>): boolean {
  return m.type.endsWith('Response')
}

/** What has no term, or none that counts. */
type Ungated = 'storageAppended' | 'storageApplied' | 'propose' | 'readIndex'

/** @returns false when the message is to be ignored */
function admitHigherTerm<P>(s: GroupState<P>, m: Message<P>): boolean {
  if (m.type === 'vote' || m.type === 'preVote') {
    if (!m.transfer && inLease(s)) return false
    // A pre-vote changes nobody's term.
    if (m.type === 'preVote') return true
  }
  // A granted pre-vote carries the term that was asked for; only a refusal tells of a term that exists.
  if (m.type === 'preVoteResponse' && m.granted) return true
  becomeFollower(s, m.term, isFromLeader(m) ? m.from : NONE)
  return true
}

function isFromLeader<P>(m: Message<P>): m is AppendRequest<P> | Heartbeat | InstallSnapshot<P> {
  return m.type === 'append' || m.type === 'heartbeat' || m.type === 'snapshot'
}

/**
 * A sender of an earlier term. With pre-vote or check-quorum this replica's higher term disturbs nobody by itself: an
 * isolated candidate would never be heard, and stuck. The answer makes that leader step down, or that pre-candidate learn
 * the term. Of everything else of an earlier term only what it says of committed entries counts.
 */
function answerLowerTerm<P>(s: GroupState<P>, m: Message<P>): void {
  const { checkQuorum, preVote } = s.settings
  if ((checkQuorum || preVote) && (m.type === 'heartbeat' || m.type === 'append')) {
    s.send({ type: 'appendResponse', to: m.from, index: 0, rejected: false, hintIndex: 0, hintTerm: 0 })
  } else if (m.type === 'preVote') {
    refuseVote(s, m.from, 'preVoteResponse')
  } else if (m.type === 'preVoteResponse' || m.type === 'voteResponse') {
    // A refused pre-vote raises nobody's term: those who refuse may stay in an earlier one for ever.
    learnCommitted(s, m)
  }
}

/** A message of the current term, or a pre-vote (answer) of a later one. */
function dispatch<P>(s: GroupState<P>, m: Exclude<Message<P>, { type: Ungated }>): void {
  switch (m.type) {
    case 'vote':
    case 'preVote':
      handleVoteRequest(s, m)
      break
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      stepFromLeader(s, m)
      break
    case 'voteResponse':
    case 'preVoteResponse':
      handleVoteResponse(s, m)
      break
    case 'appendResponse':
      if (s.role === 'leader') handleAppendResponse(s, m)
      break
    case 'heartbeatResponse':
      if (s.role === 'leader') handleHeartbeatResponse(s, m)
      break
    case 'timeoutNow':
      if (s.role === 'follower') startElection(s, 'transfer')
      break
    case 'transferLeader':
      requestTransfer(s, m.target)
      break
    case 'readIndexResponse':
      handleReadResponse(s, m)
      break
  }
}

function stepFromLeader<P>(s: GroupState<P>, m: AppendRequest<P> | Heartbeat | InstallSnapshot<P>): void {
  if (s.role === 'leader') {
    throw new Error(`two leaders in term ${s.term}: replica ${s.id} and replica ${m.from}`)
  }
  // Somebody else has won the term.
  if (s.role !== 'follower') becomeFollower(s, m.term, m.from)
  s.electionElapsed = 0
  s.leader = m.from
  if (m.type === 'append') handleAppend(s, m)
  else if (m.type === 'heartbeat') handleHeartbeat(s, m)
  else handleSnapshot(s, m)
}
