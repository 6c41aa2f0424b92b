/** Joint quorums: a decision needs both voter sets. Raft thesis, section 4.3; Raft paper, section 6. */
import type { LogIndex, ReplicaId } from '../entry.ts'
import { majorityCommitted, majorityVote, type VoteResult } from './majority.ts'

/** The two voter sets of a configuration; `votersOutgoing` is empty unless the configuration is joint. */
export interface VoterSets {
  readonly voters: readonly ReplicaId[]
  readonly votersOutgoing: readonly ReplicaId[]
}

/** The highest index that both voter sets have acknowledged. Infinity when both are empty. */
export function jointCommitted(sets: VoterSets, acknowledged: (id: ReplicaId) => LogIndex | undefined): LogIndex {
  return Math.min(majorityCommitted(sets.voters, acknowledged), majorityCommitted(sets.votersOutgoing, acknowledged))
}

/** Lost as soon as one set has lost, won when both have won. */
export function jointVote(sets: VoterSets, voteOf: (id: ReplicaId) => boolean | undefined): VoteResult {
  const incoming = majorityVote(sets.voters, voteOf)
  const outgoing = majorityVote(sets.votersOutgoing, voteOf)
  if (incoming === outgoing) return incoming
  return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending'
}
