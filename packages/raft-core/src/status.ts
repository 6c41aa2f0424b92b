/** What can be seen of a group from outside. */
import type { Configuration } from './configuration.ts'
import type { LogIndex, ReplicaId, Term } from './entry.ts'
import type { GroupState } from './group-state.ts'
import type { HoleRange } from './log/log-holes.ts'
import type { Role } from './output.ts'
import type { ProgressState } from './progress/progress.ts'

/** A leader's knowledge of one member, itself included. */
export interface PeerStatus {
  readonly id: ReplicaId
  readonly match: LogIndex
  readonly next: LogIndex
  readonly state: ProgressState
  /** Nothing but heartbeats is sent until the peer answers. */
  readonly paused: boolean
  readonly pendingSnapshot: LogIndex
  readonly recentActive: boolean
  readonly inflightMessages: number
  readonly inflightBytes: number
  readonly inflightFull: boolean
  readonly learner: boolean
}

export interface GroupStatus {
  readonly id: ReplicaId
  readonly role: Role
  readonly term: Term
  /** 0: no vote given in this term. */
  readonly vote: ReplicaId
  /** 0: none known. */
  readonly leader: ReplicaId
  readonly commit: LogIndex
  /** Handed out for apply up to here. */
  readonly applying: LogIndex
  readonly applied: LogIndex
  /** The log holds entries (baseIndex, lastIndex]. */
  readonly baseIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly lastTerm: Term
  /** Acknowledged by storage up to here. */
  readonly durableIndex: LogIndex
  readonly configuration: Configuration
  readonly configurationIndex: LogIndex
  /** 0: no transfer is under way. */
  readonly leadTransferee: ReplicaId
  /** Bytes accepted by this leader and not committed. */
  readonly uncommittedBytes: number
  readonly pendingReads: number
  readonly electionTicksElapsed: number
  readonly electionTimeoutTicks: number
  /** Takes no part in elections until its log is matched at or above this; absent while it does take part. */
  readonly uncertainUntil?: { readonly index: LogIndex; readonly term: Term }
  /** Nothing is applied until the state is restored. */
  readonly stateMissing: boolean
  /** A configuration in force may be in a hole: this replica cannot say which one is. */
  readonly hidesConfiguration: boolean
  /** What storage cannot read of the log, rising. */
  readonly holes: readonly HoleRange[]
  /** End of the read lease on the monotonic clock; only while there is one. */
  readonly leaseUntilMs?: number
  /** Of a leader: every member in rising order of id. Empty for others. */
  readonly peers: readonly PeerStatus[]
}

export function statusOf<P>(s: GroupState<P>): GroupStatus {
  return {
    id: s.id,
    role: s.role,
    term: s.term,
    vote: s.vote,
    leader: s.leader,
    commit: s.log.commit,
    applying: s.apply.applying,
    applied: s.apply.applied,
    baseIndex: s.log.base.index,
    lastIndex: s.log.lastIndex,
    lastTerm: s.log.lastTerm,
    durableIndex: s.log.durable,
    configuration: s.configuration,
    configurationIndex: s.history.newestIndex,
    leadTransferee: s.transferee,
    uncommittedBytes: s.uncommitted.bytes,
    pendingReads: s.reads.waiting,
    electionTicksElapsed: s.electionElapsed,
    electionTimeoutTicks: s.electionTimeout,
    stateMissing: s.stateMissing,
    hidesConfiguration: s.log.holes.hidesConfiguration(s.log.commit),
    holes: s.log.holes.ranges,
    ...(s.uncertainUntil && { uncertainUntil: s.uncertainUntil }),
    ...(Number.isFinite(s.lease.untilMs) && { leaseUntilMs: s.lease.untilMs }),
    peers: s.role === 'leader' ? peersOf(s) : [],
  }
}

function peersOf<P>(s: GroupState<P>): PeerStatus[] {
  return s.tracker.members.map(id => {
    const progress = s.tracker.progress.get(id)!
    return {
      id,
      match: progress.match,
      next: progress.next,
      state: progress.state,
      paused: progress.paused,
      pendingSnapshot: progress.pendingSnapshot,
      recentActive: progress.recentActive,
      inflightMessages: progress.inflights.count,
      inflightBytes: progress.inflights.bytes,
      inflightFull: progress.inflights.full,
      learner: s.tracker.isLearner(id),
    }
  })
}
