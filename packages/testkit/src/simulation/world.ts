/** What every part of a simulation shares: time, chance, the network, the record of what happened. */
import type { LogStore } from '@millrace/log-store'
import type { GroupHandle } from '@millrace/raft-node'
import type { Coverage } from './coverage.ts'
import type { EventQueue } from './event-queue.ts'
import type { Network } from './network.ts'
import type { Plan } from './plan.ts'
import type { RandomStream } from './random-stream.ts'
import type { Replica } from './replica.ts'
import type { SimGroup } from './sim-group.ts'
import type { SimNode } from './sim-node.ts'
import type { SimProcess } from './sim-process.ts'
import type { StorageRecord } from './storage-record.ts'
import type { TraceKind, TraceLog } from './trace-log.ts'

/** One stream per concern. */
export interface Streams {
  readonly elections: RandomStream
  readonly disk: RandomStream
  readonly host: RandomStream
  readonly recovery: RandomStream
  readonly workload: RandomStream
  readonly membership: RandomStream
}

/** Who runs the replicas, where it is not the simulator's own host. */
export interface Hosting {
  createReplica(group: SimGroup, node: SimNode, id: number, disk: StorageRecord): Replica
  /** Called once per process, with its store open and no replica running. */
  start(node: SimNode, process: SimProcess, store: LogStore): Promise<NodeHost>
}

/** The host in one process. */
export interface NodeHost {
  open(replica: Replica): Promise<GroupHandle>
  /** Ends in good order, before the store is closed. */
  shutdown(): Promise<void>
  /** The process is gone. */
  ended(): void
}

export interface World {
  readonly plan: Plan
  readonly queue: EventQueue
  readonly network: Network
  readonly coverage: Coverage
  readonly trace: TraceLog
  readonly random: Streams
  readonly hosting?: Hosting
  /** Ids of commands, never used twice. */
  nextCommand(): number
  /** The run has failed; it ends with the present event. */
  fail(error: unknown): void
  /** False once the faults are over. */
  faulty(): boolean
  /** Hears of every election; faults that strike at such a moment start here. */
  elected(node: SimNode): void
}

export function note(world: World, kind: TraceKind, ...values: number[]): void {
  world.trace.note(world.queue.nowUs, kind, ...values)
}
