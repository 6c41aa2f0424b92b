/** The configuration in force with the progress of every member, and the votes of the running campaign. */
import type { Configuration } from '../configuration.ts'
import type { LogIndex, ReplicaId } from '../entry.ts'
import { jointCommitted, jointVote } from '../quorum/joint.ts'
import type { VoteResult } from '../quorum/majority.ts'
import { Progress, type ProgressLimits } from './progress.ts'

export class Tracker {
  configuration: Configuration
  /** All members in rising order: the order in which messages are made. */
  members: readonly ReplicaId[] = []
  readonly progress: Map<ReplicaId, Progress> = new Map()
  readonly votes: Map<ReplicaId, boolean> = new Map()
  readonly #limits: ProgressLimits

  constructor(configuration: Configuration, lastIndex: LogIndex, limits: ProgressLimits) {
    this.#limits = limits
    this.configuration = configuration
    this.adopt(configuration, lastIndex)
  }

  /** Switches to `configuration`: newcomers are probed from `lastIndex` on, the progress of those who stay is kept. */
  adopt(configuration: Configuration, lastIndex: LogIndex): void {
    this.configuration = configuration
    this.members = membersOf(configuration)
    for (const id of this.progress.keys()) {
      if (!this.members.includes(id)) this.progress.delete(id)
    }
    for (const id of this.members) {
      // Counted as active: a newcomer must not cost the leader its quorum before it had time to answer.
      if (!this.progress.has(id)) {
        this.progress.set(id, new Progress(Math.max(lastIndex, 1), true, this.#limits))
      }
    }
  }

  /** Forgets what was known about every member's log, at the start of a term; its own is known up to `durable`. */
  reset(self: ReplicaId, lastIndex: LogIndex, durable: LogIndex): void {
    for (const id of this.members) {
      const fresh = new Progress(lastIndex + 1, false, this.#limits)
      if (id === self) fresh.match = durable
      this.progress.set(id, fresh)
    }
  }

  isVoter(id: ReplicaId): boolean {
    return this.configuration.voters.includes(id) || this.configuration.votersOutgoing.includes(id)
  }

  isLearner(id: ReplicaId): boolean {
    return this.configuration.learners.includes(id)
  }

  /** The members of both voter sets, in rising order. */
  voterIds(): ReplicaId[] {
    return this.members.filter(id => this.isVoter(id))
  }

  isJoint(): boolean {
    return this.configuration.votersOutgoing.length > 0
  }

  /** The highest index that is durable on a quorum. */
  committed(): LogIndex {
    return jointCommitted(this.configuration, id => this.progress.get(id)?.match)
  }

  quorumActive(): boolean {
    return jointVote(this.configuration, id => this.progress.get(id)?.recentActive === true) === 'won'
  }

  resetVotes(): void {
    this.votes.clear()
  }

  /** Only the first answer of a voter counts. */
  recordVote(id: ReplicaId, granted: boolean): void {
    if (!this.votes.has(id)) this.votes.set(id, granted)
  }

  voteResult(): VoteResult {
    return jointVote(this.configuration, id => this.votes.get(id))
  }
}

/** Everybody whom a leader sends to, in rising order. */
export function membersOf(configuration: Configuration): ReplicaId[] {
  const ids = new Set([...configuration.voters, ...configuration.votersOutgoing, ...configuration.learners])
  return [...ids].sort((a, b) => a - b)
}
