/** What the benchmark and the process of one system's client tell each other. */
import type { Faults, Latency } from '@millrace/cli/bench'
import type { BareConfig } from './clients/bare.ts'
import type { KafkaConfig } from './clients/kafka.ts'
import type { MillraceConfig } from './clients/millrace.ts'
import type { NatsConfig } from './clients/nats.ts'
import type { Pace } from './open-loop.ts'

/** Which client, and where its servers are: the argument of the process, as JSON. */
export type ClientConfig =
  | ({ readonly system: 'millrace' } & MillraceConfig)
  | ({ readonly system: 'bare' } & BareConfig)
  | ({ readonly system: 'nats' } & NatsConfig)
  | ({ readonly system: 'kafka' } & KafkaConfig)

export type SystemName = ClientConfig['system']

/**
 * When servers acknowledge. `same`: when a record is durable on a majority, all of them. `own`: as each does by default, which is
 * the same for Millrace, and from the page cache for the others.
 */
export type Durability = 'same' | 'own'

/** Processes whose processor time is counted. */
export interface Metered {
  readonly servers: readonly number[]
  /** Servers of the other systems, which should be idle. */
  readonly others: readonly number[]
}

/** Append for a while; then everything is read back and checked. */
export interface AppendOrder {
  readonly type: 'append'
  /** A name among the client's ways to append. */
  readonly way: string
  readonly recordBytes: number
  readonly partitions: number
  /** 1: latencies are measured too. Absent: as many as the client takes for throughput. */
  readonly callsInFlight?: number
  readonly durationMs: number
  /** Ends earlier when so many are sent. */
  readonly recordsMax: number
}

/** The part of an order that is measured begins, or has ended. The client waits for an answer before it goes on. */
export interface WindowEdge {
  readonly edge: 'begin' | 'end'
  /** Node, from 1, that leads partition 0. */
  readonly leader: number
}

/** Read a topic of so many records from the start; it is made when first asked for. */
export interface ReadOrder {
  readonly type: 'read'
  readonly way: string
  readonly fillWay: string
  readonly recordBytes: number
  readonly records: number
  /** Read it again and again for so long. Absent: once. */
  readonly durationMs?: number
}

/** Append at a fixed rate, and read what comes. */
export interface PaceOrder {
  readonly type: 'pace'
  readonly way: string
  readonly recordBytes: number
  readonly pace: Pace
}

/** Append one at a time; says who leads, expects to be told when that node was killed, and goes on for a while. */
export interface FailoverOrder {
  readonly type: 'failover'
  readonly recordBytes: number
}

/** Read back what the last failover left; every node runs again. */
export interface VerifyOrder {
  readonly type: 'verify'
}

export type Order = AppendOrder | ReadOrder | PaceOrder | FailoverOrder | VerifyOrder

export type ToClient =
  /** `windowed`: the client says when what it measures begins and ends, of appends and reads. */
  | (Order & { readonly metered: Metered; readonly windowed: boolean })
  | { readonly type: 'killed'; readonly atMs: number }
  | { readonly type: 'proceed' }

/** What one turn of one workload gave. Times and processor time are of the measured part alone. */
export interface Measured {
  readonly records: number
  readonly recordBytes: number
  readonly ms: number
  readonly serverCpuMs?: number
  readonly clientCpuMs?: number
  /** Share of one core that the servers of other systems took meanwhile. */
  readonly othersCores?: number
  readonly latency?: Latency
  /** From when a record was due to its acknowledgement, where `latency` is to its arrival. */
  readonly acknowledged?: Latency
  /** From the death of the leader to the next acknowledgement. */
  readonly failoverMs?: number
  /** Not acknowledged, with an error; such a record may be stored or not. */
  readonly refused: number
  readonly faults: Faults
  /** The faults are those of a count: no record was looked at. */
  readonly countedOnly?: boolean
}

export type FromClient =
  | { readonly type: 'ready' }
  | { readonly type: 'leading'; readonly node: number }
  | ({ readonly type: 'window' } & WindowEdge)
  | { readonly type: 'measured'; readonly measured: Measured }
  | { readonly type: 'failed'; readonly message: string }
