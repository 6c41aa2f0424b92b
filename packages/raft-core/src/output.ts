/** Everything that a group asks of its host, as one value: `RaftGroup.takeOutput` returns nothing else. */
import type { Entry, LogIndex, ReplicaId, Term } from './entry.ts'
import type { FetchRequest } from './input.ts'
import type { Message, SnapshotMeta } from './message.ts'

/** Term and vote must be durable before anything that depends on them leaves; commit need not be synced by itself. */
export interface HardState {
  readonly term: Term
  /** NONE: no vote given in `term`. */
  readonly vote: ReplicaId
  readonly commit: LogIndex
}

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader'

/** What changes without a write. */
export interface SoftState {
  readonly role: Role
  readonly leader: ReplicaId
}

/**
 * One write. The host stores hard state, then snapshot, then entries (seldom both), durably if `mustSync`; only then it delivers
 * `responses`: those addressed to this replica itself by `step`, the others over the network. Tasks of a group are
 * carried out in the order they were handed out; a task without entries queues behind the writes before it. The first
 * entry's index may be at or below the end of the stored log: everything from there on is replaced.
 */
export interface AppendTask<P = unknown> {
  readonly entries: readonly Entry<P>[]
  readonly hardState?: HardState
  readonly snapshot?: SnapshotMeta<P>
  readonly mustSync: boolean
  readonly responses: readonly Message<P>[]
}

/** Committed entries in log order, to be applied; then `responses` are delivered by `step`. */
export interface ApplyTask<P = unknown> {
  readonly entries: readonly Entry<P>[]
  readonly responses: readonly Message<P>[]
}

/** A read that was asked for with `context` is linearizable once the applied index has reached `index`. */
export interface ReadState {
  readonly index: LogIndex
  readonly context: number
  /** The read could not be confirmed (leadership lost); `index` is 0. */
  readonly aborted?: boolean
}

export interface Output<P = unknown> {
  /** To be sent at once, in parallel with the append task: they promise nothing about it. */
  readonly messages: readonly Message<P>[]
  readonly append?: AppendTask<P>
  readonly apply?: ApplyTask<P>
  readonly fetch: readonly FetchRequest[]
  readonly reads: readonly ReadState[]
  readonly soft?: SoftState
  /**
   * A peer needs a snapshot and the core knows none that it could send: the host answers with `snapshotAvailable`. Said
   * again as long as that is so.
   */
  readonly snapshotWanted?: boolean
}
