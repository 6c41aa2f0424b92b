/**
 * The messages between replicas of one group: the RPCs of the Raft paper as one-way messages, with pre-vote, conflict
 * hints in both directions, heartbeats apart from appends, and forwarded reads. Each names its sender, its addressee
 * and the sender's term (for `preVote`: the term it would campaign for).
 */
import type { Configuration } from './configuration.ts'
import type { Entry, LogIndex, ReplicaId, Term } from './entry.ts'

interface Envelope {
  readonly from: ReplicaId
  readonly to: ReplicaId
  readonly term: Term
}

/** Asks for a vote (`vote`) or whether a vote would be given (`preVote`). */
export interface VoteRequest extends Envelope {
  readonly type: 'preVote' | 'vote'
  readonly lastIndex: LogIndex
  readonly lastTerm: Term
  /** Campaign on behalf of a leadership transfer: leases and check-quorum do not protect the current leader. */
  readonly transfer: boolean
}

/** A pre-vote grant echoes the term of the request; every refusal carries the term of the sender. */
export interface VoteResponse extends Envelope {
  readonly type: 'preVoteResponse' | 'voteResponse'
  readonly granted: boolean
  /**
   * On a refusal by a replica that is not a voter in its own configuration: the last entry that it knows to be committed.
   * A candidate that holds the same entry commits it too, and with it the change that made the refusing one a non-voter;
   * without this it could wait for ever for the votes of replicas with longer logs that may not campaign themselves.
   */
  readonly committed?: { readonly index: LogIndex; readonly term: Term }
}

/** Entries after (prevIndex, prevTerm). `entries` is shared between messages and never changed. */
export interface AppendRequest<P = unknown> extends Envelope {
  readonly type: 'append'
  readonly prevIndex: LogIndex
  readonly prevTerm: Term
  readonly commit: LogIndex
  readonly entries: readonly Entry<P>[]
}

/**
 * Accepted: `index` is the last index known to match. Rejected: `index` is the refused prevIndex, and
 * (`hintIndex`, `hintTerm`) the sender's best guess where the logs still agree.
 */
export interface AppendResponse extends Envelope {
  readonly type: 'appendResponse'
  readonly index: LogIndex
  readonly rejected: boolean
  readonly hintIndex: LogIndex
  readonly hintTerm: Term
  /**
   * On a refusal: this log lost entries that it had acknowledged, so whatever match the leader remembers is void. Only
   * said while the end of the log is uncertain.
   */
  readonly lostTail?: boolean
}

/** `commit` is capped at the addressee's match. `context` (0: none) confirms a ReadIndex round. */
export interface Heartbeat extends Envelope {
  readonly type: 'heartbeat'
  readonly commit: LogIndex
  readonly context: number
}

export interface HeartbeatResponse extends Envelope {
  readonly type: 'heartbeatResponse'
  readonly context: number
  /** As in {@link AppendResponse}. */
  readonly lostTail?: boolean
}

/** What a snapshot covers. The state itself travels outside the core; `payload` is the host's handle on it. */
export interface SnapshotMeta<P = unknown> {
  readonly index: LogIndex
  readonly term: Term
  /** The configuration at `index`. */
  readonly configuration: Configuration
  /** Index of the entry that `configuration` took effect at, where it is known; else `index` stands for it. */
  readonly configurationIndex?: LogIndex
  payload: P | null
}

export interface InstallSnapshot<P = unknown> extends Envelope {
  readonly type: 'snapshot'
  readonly snapshot: SnapshotMeta<P>
}

/** Campaign now: the addressee has been chosen as the next leader. */
export interface TimeoutNow extends Envelope {
  readonly type: 'timeoutNow'
}

/** A follower asks its leader for a read index. `context` is the follower's own, and comes back unchanged. */
export interface ReadIndexRequest extends Envelope {
  readonly type: 'readIndex'
  readonly context: number
}

export interface ReadIndexResponse extends Envelope {
  readonly type: 'readIndexResponse'
  readonly index: LogIndex
  readonly context: number
}

/** A follower forwards a request for leadership transfer to its leader. */
export interface TransferRequest extends Envelope {
  readonly type: 'transferLeader'
  readonly target: ReplicaId
}

/** A follower forwards proposals to its leader; only where `forwardProposals` is on. */
export interface ForwardedProposal<P = unknown> extends Envelope {
  readonly type: 'propose'
  readonly entries: readonly Pick<Entry<P>, 'kind' | 'size' | 'payload' | 'config'>[]
}

/**
 * From the storage of a replica to itself: everything up to (`index`, `logTerm`) is durable, and the snapshot (if
 * any) is installed. `term` is the term in which the write was *submitted*; (`index`, `logTerm`) of an older term are
 * ignored even where they still match: they may have been replaced and put back since (the ABA race).
 */
export interface StorageAppended<P = unknown> extends Envelope {
  readonly type: 'storageAppended'
  readonly index: LogIndex
  readonly logTerm: Term
  readonly snapshot?: SnapshotMeta<P>
}

/** From the state machine of a replica to itself: these entries have been applied. */
export interface StorageApplied<P = unknown> extends Envelope {
  readonly type: 'storageApplied'
  readonly entries: readonly Entry<P>[]
}

export type Message<P = unknown> =
  | VoteRequest
  | VoteResponse
  | AppendRequest<P>
  | AppendResponse
  | Heartbeat
  | HeartbeatResponse
  | InstallSnapshot<P>
  | TimeoutNow
  | ReadIndexRequest
  | ReadIndexResponse
  | TransferRequest
  | ForwardedProposal<P>
  | StorageAppended<P>
  | StorageApplied<P>
