/** Everything that can happen to a group, as one union: `RaftGroup.step` takes nothing else. */

import type { TermRun } from './config.ts'
import type { ConfigChange, Configuration } from './configuration.ts'
import type { Entry, LogIndex, ReplicaId, Term } from './entry.ts'
import type { HoleRange } from './log/log-holes.ts'
import type { Message, SnapshotMeta } from './message.ts'

export type Input<P = unknown> =
  /** A message of a peer, or a response of an append or apply task that is addressed to this replica itself. */
  | { readonly type: 'message'; readonly message: Message<P>; readonly nowMs?: number }
  /** One unit of logical time (see `electionTicks`, `heartbeatTicks`). `nowMs`: monotonic clock, for lease reads. */
  | { readonly type: 'tick'; readonly nowMs?: number }
  /** Entries to append. All are accepted in order or none is. */
  | { readonly type: 'propose'; readonly entries: readonly ProposedEntry<P>[] }
  | { readonly type: 'proposeConfigChange'; readonly change: ConfigChange; readonly payload?: P | null }
  /** `context` names the request; the answer comes as a `ReadState` with the same context. */
  | { readonly type: 'readIndex'; readonly context: number; readonly nowMs?: number }
  | { readonly type: 'transferLeader'; readonly target: ReplicaId }
  | { readonly type: 'campaign' }
  | { readonly type: 'forgetLeader' }
  /** The transport could not reach a peer: stop optimistic pipelining to it. */
  | { readonly type: 'unreachable'; readonly peer: ReplicaId }
  | { readonly type: 'snapshotStatus'; readonly peer: ReplicaId; readonly status: 'finished' | 'failed' }
  /** The answer to a `FetchRequest`. `entries` is contiguous from `request.from`, possibly shorter than asked. */
  | { readonly type: 'entriesFetched'; readonly request: FetchRequest; readonly entries: readonly Entry<P>[] }
  | { readonly type: 'fetchFailed'; readonly request: FetchRequest; readonly reason: 'compacted' | 'damaged' | 'io' }
  /**
   * The host dropped the log up to and including `index` (its base is (index, term) now). `configuration`, in force at
   * `index` since `configurationIndex`, is needed only where the core cannot know it: when changes between the base and
   * the applied index of the start are dropped.
   */
  | {
      readonly type: 'compacted'
      readonly index: LogIndex
      readonly term: Term
      readonly configuration?: Configuration
      readonly configurationIndex?: LogIndex
    }
  /** All ranges that storage cannot read now, rising and apart: damage was found since the start, or more of it. */
  | { readonly type: 'holesFound'; readonly holes: readonly HoleRange[] }
  /**
   * The entries [first, last] of a hole, or its first ones, can be read again. `terms` covers them; `configurations` are the
   * configuration entries among them, rising.
   */
  | {
      readonly type: 'holeFilled'
      readonly first: LogIndex
      readonly last: LogIndex
      readonly terms: readonly TermRun[]
      readonly configurations: readonly Entry<P>[]
    }
  /** The state machine's state was replaced, and the log was not. */
  | { readonly type: 'stateRestored'; readonly state: RestoredState }
  /** A leader that cannot do its work, for lack of entries that nobody gives it: somebody else may. */
  | { readonly type: 'stepDown' }
  /**
   * The newest snapshot that peers may be sent, kept until a newer one is offered. Without one the core makes up the
   * meta data of a snapshot of the log's base, and the host finds the state by its index.
   */
  | { readonly type: 'snapshotAvailable'; readonly snapshot: SnapshotMeta<P> }
  /**
   * One configuration entry of an apply task has been applied, ahead of the `storageApplied` of the whole task.
   * Optional: `storageApplied` does the same for every configuration entry that was not announced.
   */
  | { readonly type: 'configApplied'; readonly entry: Entry<P> }

/** A state that came from elsewhere: of everything committed up to `index`, an entry of `term`. */
export interface RestoredState {
  readonly index: LogIndex
  readonly term: Term
  /** In force at `index`, since `configurationIndex`. */
  readonly configuration: Configuration
  readonly configurationIndex: LogIndex
}

export interface ProposedEntry<P = unknown> {
  readonly size: number
  readonly payload: P
}

/**
 * Entries that are no longer in memory. At most one request per purpose and peer is outstanding. The answer is used
 * only if the log in that range has not changed since (`termAtRequest`).
 */
export interface FetchRequest {
  readonly id: number
  readonly purpose: 'send' | 'apply'
  /** The peer to send to; NONE for `apply`. */
  readonly peer: ReplicaId
  readonly from: LogIndex
  /** Exclusive. */
  readonly to: LogIndex
  readonly bytesMax: number
  readonly termAtRequest: Term
}

/** What `step` answers at once. Only proposals, transfers and messages can be refused. */
export type StepResult =
  | { readonly type: 'ok' }
  /** Appended to this leader's log at `index` (of the first entry) in `term`; not yet durable, not yet committed. */
  | { readonly type: 'accepted'; readonly index: LogIndex; readonly term: Term }
  /** Not stored, and it never will be: safe to try again. */
  | { readonly type: 'dropped'; readonly reason: DropReason; readonly leader: ReplicaId; readonly message: string }

export type DropReason =
  | 'notLeader'
  | 'noLeader'
  | 'transferring'
  | 'uncommittedBytesMax'
  | 'removed'
  | 'invalidConfigChange'
  | 'configChangePending'
  | 'expectedIndex'
  | 'unknownPeer'
  | 'localMessage'
  | 'readQueueFull'
