/**
 * Changes of role. Each sets term, vote, leader and timers as one, so that no other module can leave them at odds. Raft
 * paper, figure 4; pre-candidates: Raft thesis, section 9.6.
 */
import { NONE, type ReplicaId, type Term } from './entry.ts'
import type { GroupState } from './group-state.ts'
import { appendOwn } from './replication.ts'

/** What every change of role but that to pre-candidate starts with. */
function reset<P>(s: GroupState<P>, term: Term): void {
  if (s.term !== term) {
    s.term = term
    s.vote = NONE
    s.leaderMatch = 0
  }
  s.leader = NONE
  s.electionElapsed = 0
  s.heartbeatElapsed = 0
  s.drawElectionTimeout()
  abortTransfer(s)
  s.tracker.resetVotes()
  s.tracker.reset(s.id, s.log.lastIndex, s.log.durable)
  s.pendingConfigIndex = 0
  s.uncommitted.reset()
  s.lease.reset()
  s.snapshotWanted = false
  for (const context of s.reads.abort()) s.readStates.push({ index: 0, context, aborted: true })
}

export function becomeFollower<P>(s: GroupState<P>, term: Term, leader: ReplicaId): void {
  if (s.role === 'leader') withdrawUnsubmitted(s)
  reset(s, term)
  s.leader = leader
  s.role = 'follower'
  s.trace({ type: 'becameFollower', id: s.id, term, leader })
}

/** Entries that no append task has held may be replaced before one does: then the host would never have sealed them. */
function withdrawUnsubmitted<P>(s: GroupState<P>): void {
  s.messages = s.messages.filter(
    message => message.type !== 'append' || (message.entries.at(-1)?.index ?? 0) <= s.log.submitted,
  )
}

/** Neither term nor vote change: a pre-candidate has not disturbed anybody yet. */
export function becomePreCandidate<P>(s: GroupState<P>): void {
  s.tracker.resetVotes()
  s.leader = NONE
  s.role = 'preCandidate'
  s.trace({ type: 'becamePreCandidate', id: s.id, term: s.term })
}

export function becomeCandidate<P>(s: GroupState<P>): void {
  reset(s, s.term + 1)
  s.vote = s.id
  s.role = 'candidate'
  s.trace({ type: 'becameCandidate', id: s.id, term: s.term })
}

/** The empty entry commits what earlier terms have left (Raft paper, section 8). */
export function becomeLeader<P>(s: GroupState<P>): void {
  reset(s, s.term)
  s.leader = s.id
  s.role = 'leader'
  // A candidate is a voter, and its configuration stays while it campaigns: no change was waiting to be applied.
  const own = s.tracker.progress.get(s.id)!
  own.becomeReplicate()
  own.recentActive = true
  // The tail may hold a change that is not applied yet: scanning it costs more than waiting until it is applied.
  s.pendingConfigIndex = s.log.lastIndex
  s.trace({ type: 'becameLeader', id: s.id, term: s.term })
  appendOwn(s, [{ kind: 'normal', size: s.settings.ownEntryBytes, payload: null }])
}

export function abortTransfer<P>(s: GroupState<P>): void {
  if (s.transferee === NONE) return
  s.trace({ type: 'transferAborted', id: s.id, term: s.term, target: s.transferee })
  s.transferee = NONE
}
