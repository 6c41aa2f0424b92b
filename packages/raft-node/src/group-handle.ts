/** What the layers above see of one Raft group on this node. */

import type { GroupLog } from '@millrace/log-store'
import type { Configuration, DropReason, Role } from '@millrace/raft-core'
import type { Frame, FrameBody } from '@millrace/record'

/** Where a replica lives: the Raft configuration names replicas, people name nodes. */
export interface ReplicaPlace {
  readonly replica: number
  readonly node: number
}

/** A configuration with the nodes of its replicas. */
export interface GroupConfiguration extends Configuration {
  readonly places: readonly ReplicaPlace[]
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
  /** Why this replica no longer takes part; absent while it does. */
  readonly halted?: string
  readonly followers: readonly {
    readonly node: number
    readonly match: number
    readonly state: 'probe' | 'replicate' | 'snapshot'
    readonly recentlyActive: boolean
  }[]
}

/** What changed; observers read the rest from `status()`. Called from the turn loop, must not throw. */
export type GroupObserver = (event: { readonly type: 'leader' | 'halted' | 'configuration' }) => void

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
   * An index that, once applied, makes a local read linearizable.
   *
   * @throws MillraceError NO_LEADER, PARTITION_HALTED, SHUTTING_DOWN
   */
  readIndex(): Promise<number>
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
  observe(observer: GroupObserver): () => void
}
