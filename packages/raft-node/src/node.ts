/** One node: many Raft groups over one log store and one transport, in one turn loop. Implemented in raft-host.ts. */
import type { GroupLog, LogStore } from '@millrace/log-store'
import type { InitialState, RaftConfig, RaftGroup, RandomInt } from '@millrace/raft-core'
import type { EntryPayload } from './entry-frame.ts'
import type { BootstrapOptions } from './group-bootstrap.ts'
import type { GroupFounding } from './group-founding.ts'
import type { GroupHandle } from './group-handle.ts'
import type { InboundLimits } from './inbound-credit.ts'
import type { RepairTraffic } from './repair-budget.ts'
import type { SnapshotOptions } from './snapshot-options.ts'
import type { RunningTransfer, SnapshotTraffic } from './snapshot-sends.ts'
import type { StateMachine } from './state-machine.ts'
import type { Transport } from './transport.ts'

/** Time as the node sees it; simulated in tests. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. */
  wallMs(): number
  /** Monotonic, milliseconds. */
  monotonicMs(): number
  setTimer(delayMs: number, run: () => void): { cancel(): void }
  /** Runs `run` after I/O callbacks that are due: the next turn. */
  nextTurn(run: () => void): void
}

/** Makes the core of a group's replica. */
export type CreateCore = (
  group: number,
  config: RaftConfig,
  initial: InitialState<EntryPayload>,
  randomInt: RandomInt,
) => RaftGroup<EntryPayload>

export interface NodeTiming {
  /** Default 150. */
  readonly heartbeatMs?: number
  /** Default 1,500; the timeout of an election is random in [min, 2 × min]. */
  readonly electionTimeoutMinMs?: number
  /** Delay by rank before a campaign on evidence that the leader is gone. Default 40. */
  readonly campaignRankDelayMs?: number
  /** Default 30 s, and at shutdown. */
  readonly checkpointIntervalMs?: number
}

export interface NodeOptions {
  readonly nodeId: number
  readonly logStore: LogStore
  readonly transport: Transport
  readonly clock?: Clock
  /** Uniform integer in [0, bound). */
  readonly randomInt?: (bound: number) => number
  readonly timing?: NodeTiming
  /** Bounds of what peers have sent and is not durable yet. */
  readonly inbound?: InboundLimits
  /** When snapshots are taken and how fast they are sent. */
  readonly snapshots?: SnapshotOptions
  /**
   * Whether the founding of a group is known to be over: this node has said so durably. To others it has the group then,
   * also where nothing has happened to its replica yet, or where that is gone. Default: as far as its log tells.
   */
  readonly isFounded?: (group: number) => boolean
  /** For simulators, which watch the core or give it other settings. Default: a `RaftGroup` as it is. */
  readonly createCore?: CreateCore
  /** Role changes, halts and the like, one line each. */
  readonly log?: (event: NodeEvent) => void
}

export interface NodeEvent {
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
  readonly group?: number
  readonly details?: Readonly<Record<string, string | number | boolean>>
}

/** What a node does with snapshots, over all groups; the traffic since its start. */
export interface SnapshotActivity extends Readonly<SnapshotTraffic> {
  /** Transfers to other nodes under way, and those that wait for their turn. */
  readonly sending: number
  readonly waiting: number
  /** How far those under way are. */
  readonly transfers: readonly RunningTransfer[]
}

/** Repairs of logs from other nodes, over all groups; the traffic since the start of the node. */
export interface RepairActivity extends Readonly<RepairTraffic> {
  /** Groups that repair their logs now, or wait for their turn. */
  readonly running: number
}

export interface RaftNode {
  readonly nodeId: number
  /**
   * Founds a group together with its other nodes, which have to call it too, with the same arguments, and to be there.
   * Resolves when every one of them has its replica, durably; `open` it then. Finishes what was interrupted.
   *
   * @throws FoundingError with nothing changed, where this node or another one has the group already, where a node founds
   *   something else under its number, or where not all are there in time; MillraceError SHUTTING_DOWN; the reason of
   *   `options.signal`
   * @throws RangeError where this node is not among the founding ones
   */
  bootstrap(founding: Omit<GroupFounding, 'nodeId'>, options?: BootstrapOptions): Promise<GroupLog>
  /** Runs the replica of `group` whose log the store holds. */
  open(group: number, machine: StateMachine): Promise<GroupHandle>
  group(group: number): GroupHandle | undefined
  groups(): readonly GroupHandle[]
  /** Stops taking part in the group; its log stays until it is dropped from the store. */
  closeGroup(group: number): Promise<void>
  isConnected(node: number): boolean
  snapshots(): SnapshotActivity
  repairs(): RepairActivity
  /** Hands leaderships away, finishes writes, checkpoints, closes transport and machines; not the log store. */
  shutdown(): Promise<void>
}
