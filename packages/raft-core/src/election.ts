/**
 * Campaigns and votes. Raft paper, sections 5.2 and 5.4.1; pre-vote and leader stickiness: Raft thesis, sections 9.6 and
 * 4.2.3. Votes, the candidate's own included, are answered after storage has them.
 */
import { NONE, type ReplicaId } from './entry.ts'
import type { GroupState } from './group-state.ts'
import type { VoteRequest, VoteResponse } from './message.ts'
import { broadcastAppend, commitTo } from './replication.ts'
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from './roles.ts'
import type { CampaignRefusal } from './trace.ts'

/** `election`: a real one. `transfer`: the same, on behalf of the leader in office, which no lease protects. */
export type CampaignKind = 'preElection' | 'election' | 'transfer'

/** Campaigns, unless this replica must not. */
export function startElection<P>(s: GroupState<P>, kind: CampaignKind): void {
  if (s.role === 'leader') return
  const refusal = refusalToCampaign(s, kind)
  if (refusal === undefined) campaign(s, kind)
  else s.trace({ type: 'campaignRefused', id: s.id, reason: refusal })
}

/** A voter, with its state in place. */
export function isPromotable<P>(s: GroupState<P>): boolean {
  return s.tracker.isVoter(s.id) && s.log.snapshot === undefined
}

function refusalToCampaign<P>(s: GroupState<P>, kind: CampaignKind): CampaignRefusal | undefined {
  if (!s.tracker.isVoter(s.id)) return 'notVoter'
  if (s.log.snapshot !== undefined) return 'snapshotPending'
  // It would campaign under a configuration that is known to be out of date.
  if (s.log.hasConfigEntry(s.apply.applied, s.log.commit)) return 'unappliedConfigChange'
  if (s.uncertainUntil !== undefined) return 'uncertain'
  // It could lead, and never get to serve: it cannot apply the first entry of its term.
  if (s.stateMissing) return 'stateMissing'
  if (s.log.holes.hidesConfiguration(s.log.commit)) return 'unreadConfiguration'
  // A whole replica is the better leader; on its own this one campaigns when all of those would have.
  if (kind === 'transfer' && !s.log.holes.none) return 'damaged'
  // A leader hands over to a peer that has acknowledged everything. If this one has not, the request is an old one.
  if (kind === 'transfer' && s.log.durable < s.log.lastIndex) return 'notFlushed'
  return undefined
}

function campaign<P>(s: GroupState<P>, kind: CampaignKind): void {
  const pre = kind === 'preElection'
  if (pre) becomePreCandidate(s)
  else becomeCandidate(s)
  const term = pre ? s.term + 1 : s.term
  for (const id of s.tracker.voterIds()) {
    if (id === s.id) {
      s.send({ type: pre ? 'preVoteResponse' : 'voteResponse', to: id, term, granted: true })
    } else {
      s.send({
        type: pre ? 'preVote' : 'vote',
        to: id,
        term,
        lastIndex: s.log.lastIndex,
        lastTerm: s.log.lastTerm,
        transfer: kind === 'transfer',
      })
    }
  }
}

/**
 * A leader was heard from within the shortest election timeout. Then a request for a vote changes nothing here, not even
 * the term, or a server that was removed could depose leaders for ever (Raft thesis, section 4.2.3).
 */
export function inLease<P>(s: GroupState<P>): boolean {
  return s.settings.checkQuorum && s.leader !== NONE && s.electionElapsed < s.settings.electionTicks
}

/** Answers a request for a vote or a pre-vote of this term or (pre-vote) a later one. */
export function handleVoteRequest<P>(s: GroupState<P>, m: VoteRequest): void {
  const type = m.type === 'vote' ? 'voteResponse' : 'preVoteResponse'
  if (mayVoteFor(s, m) && s.log.isUpToDate({ index: m.lastIndex, term: m.lastTerm })) {
    // Learners vote too: who asks may know of a promotion that has not arrived here.
    s.send({ type, to: m.from, term: m.term, granted: true })
    if (m.type === 'vote') {
      s.electionElapsed = 0
      s.vote = m.from
      s.trace({ type: 'voted', id: s.id, term: s.term, candidate: m.from })
    }
  } else {
    refuseVote(s, m.from, type)
  }
}

export function refuseVote<P>(s: GroupState<P>, to: ReplicaId, type: VoteResponse['type']): void {
  const term = s.log.term(s.log.commit)
  const tells = term !== undefined && s.log.commit > 0 && !s.tracker.isVoter(s.id)
  s.send({ type, to, granted: false, ...(tells && { committed: { index: s.log.commit, term } }) })
}

function mayVoteFor<P>(s: GroupState<P>, m: VoteRequest): boolean {
  if (s.uncertainUntil !== undefined) return false
  if (s.voteEmbargoTicks > 0 && !m.transfer) return false
  return s.vote === m.from || (s.vote === NONE && s.leader === NONE) || (m.type === 'preVote' && m.term > s.term)
}

/**
 * What a refusal says of committed entries holds in any role and term: an entry with the same index and term is the same
 * entry, and so is everything before it.
 */
export function learnCommitted<P>(s: GroupState<P>, m: VoteResponse): void {
  if (m.committed === undefined || s.role === 'leader' || !s.log.matches(m.committed)) return
  commitTo(s, m.committed.index)
  // The campaign was for a configuration that is known to be out of date now.
  const campaigns = s.role !== 'follower'
  if (campaigns && s.log.hasConfigEntry(s.apply.applied, s.log.commit)) becomeFollower(s, s.term, NONE)
}

/** Counts an answer to this replica's own campaign. */
export function handleVoteResponse<P>(s: GroupState<P>, m: VoteResponse): void {
  learnCommitted(s, m)
  // An answer to a pre-campaign that arrives during the campaign, or the other way round, is for neither.
  const awaitedBy = m.type === 'preVoteResponse' ? 'preCandidate' : 'candidate'
  if (s.role !== awaitedBy) return
  s.tracker.recordVote(m.from, m.granted)
  switch (s.tracker.voteResult()) {
    case 'won':
      // Not before its own term is durable: after a crash it would campaign in the same term again, win it by the votes it
      // was given before, and lead it a second time with other entries.
      if (s.role === 'candidate' && !s.tracker.votes.has(s.id)) return
      if (s.role === 'preCandidate') campaign(s, 'election')
      else {
        becomeLeader(s)
        broadcastAppend(s)
      }
      return
    case 'lost':
      // A refused pre-vote carries no term above this one: the gate in step.ts has seen to that.
      becomeFollower(s, s.term, NONE)
      return
    case 'pending':
      return
  }
}
