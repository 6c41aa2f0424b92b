/** What every part of a simulation shares: time, chance, the network, the record of what happened. */
import type { Coverage } from './coverage.ts'
import type { EventQueue } from './event-queue.ts'
import type { Network } from './network.ts'
import type { Plan } from './plan.ts'
import type { RandomStream } from './random-stream.ts'
import type { SimNode } from './sim-node.ts'
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

export interface World {
  readonly plan: Plan
  readonly queue: EventQueue
  readonly network: Network
  readonly coverage: Coverage
  readonly trace: TraceLog
  readonly random: Streams
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
