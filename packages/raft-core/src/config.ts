/** Settings and the state a group starts from. All limits have a name, a unit and a default (`DEFAULTS`). */
import type { Configuration } from './configuration.ts'
import type { Entry, LogIndex, ReplicaId, Term } from './entry.ts'
import type { InitialHole } from './log/log-holes.ts'
import type { HardState } from './output.ts'
import type { TraceEvent } from './trace.ts'

export interface RaftConfig {
  readonly id: ReplicaId
  /** Ticks without word from a leader before an election; the real timeout is random in [n, 2n − 1]. Default 10. */
  readonly electionTicks?: number
  /** Ticks between heartbeats. Default 1. */
  readonly heartbeatTicks?: number
  /** Default true. */
  readonly preVote?: boolean
  /** The leader steps down when it has not heard from a quorum for an election timeout. Default true. */
  readonly checkQuorum?: boolean
  /** Lease reads need checkQuorum and `nowMs` on ticks and messages. Default 'safe'. */
  readonly readMode?: 'safe' | 'lease'
  readonly leaseMs?: number
  readonly stepDownOnRemoval?: boolean
  readonly forwardProposals?: boolean
  readonly autoPromoteLearners?: boolean
  /** Switches validation of proposed configuration changes off; for tests of the apply path only. */
  readonly validateConfigChanges?: boolean
  /** Higher campaigns first when several could win; a preference only. Default 0. */
  readonly priority?: number
  /** Entries of one append message. Default 1 MiB; a single larger entry still travels. */
  readonly messageBytesMax?: number
  /** Append messages in flight to one peer. Default 256. */
  readonly inflightMessagesMax?: number
  /** Payload bytes in flight to one peer. Default 16 MiB; 0: no limit. */
  readonly inflightBytesMax?: number
  /** Accepted but uncommitted bytes; more is `dropped`. Default 64 MiB; 0: no limit. */
  readonly uncommittedBytesMax?: number
  /** Committed entries handed out for apply and not yet applied. Default 16 MiB. */
  readonly applyingBytesMax?: number
  /** Durable entries kept in memory by reference. Default 4 MiB. Entries that are not durable are always kept. */
  readonly cacheBytesMax?: number
  /** Reads waiting for the first commit of the term. Default 1,024. */
  readonly pendingReadsMax?: number
  /** What an entry that the core makes itself counts for against byte limits, in bytes. Default 0. */
  readonly ownEntryBytes?: number
  /** Hears one event per transition. Must not throw and must not call the group. */
  readonly trace?: (event: TraceEvent) => void
}

/** A run of entries of one term: from `first` up to the next run. */
export interface TermRun {
  readonly first: LogIndex
  readonly term: Term
}

/** What storage knows at start. */
export interface InitialState<P = unknown> {
  readonly hardState: HardState
  /** The log holds entries (base.index, last]. */
  readonly base: { readonly index: LogIndex; readonly term: Term }
  readonly lastIndex: LogIndex
  /** Covers (base.index, lastIndex], rising; empty when the log is. */
  readonly terms: readonly TermRun[]
  /** The newest configuration at or below `hardState.commit`, and the index it took effect at. */
  readonly configuration: Configuration
  readonly configurationIndex: LogIndex
  /**
   * The configuration in force at `base.index`, where `configurationIndex` is above it: what a snapshot at the base
   * says. Without it the core asks for one (see `Output.snapshotWanted`) until its log is compacted further.
   */
  readonly baseConfiguration?: Configuration
  /** The index that `baseConfiguration` took effect at. Default: `base.index` stands for it. */
  readonly baseConfigurationIndex?: LogIndex
  /** Applied by the state machine; apply tasks start after it. Never above `hardState.commit`. */
  readonly applied: LogIndex
  /** Recent entries, contiguous and ending at lastIndex; may be empty (the core then fetches what it needs). */
  readonly entries?: readonly Entry<P>[]
  /** Configuration entries above `configurationIndex` in the log; the core must know that they are there. */
  readonly unappliedConfigIndexes?: readonly LogIndex[]
  /**
   * Ranges that storage cannot read, rising and apart. Inside one of several terms `terms` say that of the entry before it,
   * up to its last entry, which they say truly.
   */
  readonly holes?: readonly InitialHole[]
  /** Until the durable log matches a leader of the current term at or above this, neither vote nor campaign. */
  readonly uncertainUntil?: { readonly index: LogIndex; readonly term: Term }
  /** Nothing can be applied until a `stateRestored`: it votes and stores until then, and does not campaign. */
  readonly stateMissing?: boolean
}

/** A uniform integer in [0, bound). The only randomness of the core. */
export type RandomInt = (bound: number) => number
