/** Majorities: what a set of voters has agreed on. Raft paper, section 5.2 (votes) and 5.3 (commitment). */
import type { LogIndex, ReplicaId } from '../entry.ts'

export type VoteResult = 'pending' | 'lost' | 'won'

/** Voters needed of `count`. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1
}

/**
 * The highest index that a majority of `voters` has acknowledged.
 *
 * @param acknowledged index per voter; `undefined` counts as 0
 * @returns Infinity for no voters, so that an empty half of a joint configuration does not hold back the other
 */
export function majorityCommitted(
  voters: readonly ReplicaId[],
  acknowledged: (id: ReplicaId) => LogIndex | undefined,
): LogIndex {
  const count = voters.length
  if (count === 0) return Number.POSITIVE_INFINITY
  if (count === 1) return acknowledged(voters[0]!) ?? 0
  // Insertion sort: voter sets are small, and this runs for every acknowledgement.
  const sorted: LogIndex[] = []
  for (const id of voters) {
    const index = acknowledged(id) ?? 0
    let at = sorted.length
    while (at > 0 && sorted[at - 1]! < index) at--
    sorted.splice(at, 0, index)
  }
  return sorted[majorityOf(count) - 1]!
}

/**
 * The state of a vote.
 *
 * @param voteOf true: granted, false: refused, undefined: not heard yet
 * @returns 'won' for no voters, for the same reason as above
 */
export function majorityVote(voters: readonly ReplicaId[], voteOf: (id: ReplicaId) => boolean | undefined): VoteResult {
  if (voters.length === 0) return 'won'
  let granted = 0
  let missing = 0
  for (const id of voters) {
    const vote = voteOf(id)
    if (vote === undefined) missing++
    else if (vote) granted++
  }
  const needed = majorityOf(voters.length)
  if (granted >= needed) return 'won'
  return granted + missing >= needed ? 'pending' : 'lost'
}
