/** What the layers above see of one Raft group on this node. */

import type { GroupLog, SnapshotInfo } from '@millrace/log-store'
import type { ConfigChangeStep, Configuration, DropReason, HoleRange, Role } from '@millrace/raft-core'
import type { Frame, FrameBody } from '@millrace/record'
import type { GivenUp } from './damage-surrender.ts'
import type { TransferProgress } from './snapshot-sends.ts'
import type { StateRepair } from './state-fetch.ts'

/** Where a replica lives: the Raft configuration names replicas, people name nodes. */
export interface ReplicaPlace {
  readonly replica: number
  readonly node: number
  /** Where peers reach the node (`host:port`); absent where they know it from elsewhere. */
  readonly address?: string
}

/** A configuration with the nodes of its replicas. */
export interface GroupConfiguration extends Configuration {
  readonly places: readonly ReplicaPlace[]
  /** The leader answers reads under a lease. Said when the group is born, and never changed. Default false. */
  readonly leaseReads?: boolean
  /** The highest replica id that the group ever had, where that is none of the present members. */
  readonly lastReplica?: number
}

/** Told exactly once how a proposal ended, from the turn loop. */
export interface ProposalWaiter {
  /** Committed and applied here. `result` is what the state machine returned for the frame. */
  applied(frame: Frame, result: unknown): void
  /** `not_stored`: another entry was committed in its place. `unknown`: this node can no longer tell. */
  failed(outcome: 'not_stored' | 'unknown', reason: string): void
}

export type ProposeResult =
  | { readonly type: 'accepted'; readonly index: number; readonly term: number; readonly baseOffset: number }
  | {
      readonly type: 'dropped'
      readonly reason: DropReason | 'starting' | 'diskFull' | 'halted'
      readonly message: string
    }

/** A change of a group's members, as one step of the log; see `GroupMembers` for what people want. */
export interface MemberChange {
  /** More than one change of voters takes effect by way of a joint configuration, which is left by itself. */
  readonly steps: readonly ConfigChangeStep[]
  /** Where the replicas live that the steps add. */
  readonly joining: readonly ReplicaPlace[]
  /** Refused unless the configuration in force is the one of this index: what its maker saw. */
  readonly expectedIndex?: number
}

/** What of a replica's log cannot be read from its disk, and how far that is repaired from others. */
export interface GroupDamage {
  /** Rising; empty: everything is repaired. */
  readonly holes: readonly HoleRange[]
  /** In all holes together. */
  readonly entriesMissing: number
  /** Since the group was opened. */
  readonly framesRepaired: number
  /** Node that the last of them came from; 0: none yet. */
  readonly lastSource: number
}

export interface GroupStatus {
  readonly group: number
  readonly replica: number
  readonly role: Role
  readonly term: number
  /** Node of the leader; 0: none known. */
  readonly leaderNode: number
  readonly commit: number
  readonly applied: number
  readonly lastIndex: number
  readonly configuration: GroupConfiguration
  /** Index of the entry since which it is in force. */
  readonly configurationIndex: number
  /** Absent where no damage has been found since the group was opened. */
  readonly damage?: GroupDamage
  /** Absent where its state could be made from its own disk. */
  readonly state?: StateRepair
  /** Why this replica no longer takes part; absent while it does. */
  readonly halted?: string
  readonly followers: readonly {
    readonly node: number
    readonly replica: number
    /** It has no vote. */
    readonly learner: boolean
    readonly match: number
    readonly state: 'probe' | 'replicate' | 'snapshot'
    readonly recentlyActive: boolean
    /** The snapshot that is on its way to it. */
    readonly snapshot?: TransferProgress
  }[]
  /** The snapshot that is on its way here. */
  readonly receiving?: TransferProgress
}

/** What changed; observers read the rest from `status()`. Called from the turn loop, must not throw. */
export type GroupObserver = (event: { readonly type: 'leader' | 'configuration' | 'halted' | 'closed' }) => void

export interface ConfirmedLeader {
  readonly node: number
  readonly term: number
}

export interface GroupHandle {
  readonly group: number
  readonly log: GroupLog
  /** True once the leader's first entry of its term is applied and until it steps down: proposals are taken. */
  readonly leading: boolean
  readonly leaderNode: number
  readonly term: number
  status(): GroupStatus
  /**
   * Appends a frame to the group's log, if this replica leads. The answer is immediate; `waiter` hears the end. The
   * frame is sealed within the turn. `body.payload` belongs to the node from now on and is never changed.
   *
   * @throws MillraceError RECORD_TOO_LARGE for a payload above 8 MiB
   */
  propose(body: FrameBody, waiter: ProposalWaiter): ProposeResult
  /**
   * Proposes a change of members, if this replica leads. The answer is immediate; `waiter` hears that the change is
   * committed and in force here, or what became of it. A joint configuration may have to be left then.
   */
  proposeChange(change: MemberChange, waiter: ProposalWaiter): ProposeResult
  /**
   * An index that, once applied, makes a local read linearizable. A follower asks the leader. A leader that has not
   * committed an entry of its term yet answers once it has, or not: everybody waits for one election timeout at most.
   *
   * @throws MillraceError NO_LEADER, THROTTLED, PARTITION_HALTED, SHUTTING_DOWN
   */
  readIndex(): Promise<number>
  /**
   * Who leads, confirmed by a majority after this was called. A follower asks the leader.
   *
   * @throws as {@link readIndex}
   */
  verifyLeader(): Promise<ConfirmedLeader>
  /**
   * Reads under the leader's lease, without a round of messages: linearizable as long as the monotonic clocks of the
   * nodes run at the same rate within 20 %. The lease is looked at before `read` runs and after it.
   *
   * @param read reads what is applied, at once; it may run and its result be thrown away
   * @throws MillraceError UNSUPPORTED where the group was not born with `leaseReads`, NOT_LEADER, NO_LEADER where there is no
   *   lease now (then `readIndex` may still help), PARTITION_HALTED, SHUTTING_DOWN
   */
  leaseRead<T>(read: () => T): Promise<T>
  /**
   * Resolves when `index` is applied here.
   *
   * @throws MillraceError PARTITION_HALTED, SHUTTING_DOWN when the group no longer takes part
   */
  waitApplied(index: number): Promise<void>
  /**
   * Starts to hand leadership over; `observe` tells when it has happened. Proposals are dropped meanwhile.
   *
   * @throws MillraceError NOT_LEADER, INVALID_ARGUMENT where no voter lives on that node
   */
  transferLeadership(toNode: number): void
  /**
   * Takes a snapshot of everything that is applied here, and trims the log behind it. For state machines whose snapshots
   * are of kind `applied`.
   *
   * @returns it, or a newer one
   * @throws Error where the state machine takes none; what the snapshot store throws, `ENOSPC` among it
   */
  takeSnapshot(): Promise<SnapshotInfo>
  /**
   * Drops entries up to `index` from this replica's log, or fewer: none that the newest checkpoint does not cover, and
   * none that a follower needs after a snapshot. Of state machines whose snapshots are of kind `applied` the node does it
   * by itself.
   *
   * @returns index of the log's base afterwards
   * @throws LogError
   */
  trimLog(index: number): Promise<number>
  /**
   * Gives up entries for good, at an operator's word: damaged on every replica, and applied by none. On the leader, where apply
   * waits for them. Every replica forgets its producers then, and reads of these entries stay refused.
   *
   * @param without nodes that are gone for good: they are not asked whether they have the entries, or a state past them
   * @param accept false: only says what would be given up
   * @throws MillraceError NOT_LEADER; INVALID_ARGUMENT where there is nothing to give up; REPLICA_BEHIND naming a node that may
   *   still help; LEADERSHIP_LOST where the outcome is not known
   */
  giveUpDamage(without: readonly number[], accept: boolean): Promise<GivenUp>
  observe(observer: GroupObserver): () => void
}
