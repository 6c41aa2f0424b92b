/** What is measured: each workload as contests, in which every system takes part in each of its ways. */

import type { WorkloadName } from './options.ts'
import type { Order, SystemName } from './orders.ts'

export interface Contest {
  readonly workload: WorkloadName
  readonly title: string
  readonly entries: readonly Entry[]
}

export interface Entry {
  readonly system: SystemName
  /** Of the client, as the table shows it. */
  readonly way: string
  readonly order: Order
}

interface Ways {
  /** Many records per call. */
  readonly batches: readonly string[]
  /** A promise for each record. */
  readonly singles: readonly string[]
  readonly reads: readonly string[]
  /** Ways that serve many partitions at once. */
  readonly spread: readonly string[]
  /** By records per call: what is compared with the bare processes alone. */
  readonly sized?: Readonly<Record<number, string>>
}

const WAYS: Readonly<Record<SystemName, Ways>> = {
  millrace: {
    batches: ['appendMany, 500'],
    singles: ['append'],
    reads: ['read()', 'observe()'],
    spread: ['appendMany, 500', 'append'],
    sized: { 64: 'appendMany, 64', 256: 'appendMany, 256' },
  },
  bare: {
    batches: ['frames of 500'],
    singles: ['frames of 1'],
    reads: ['frames'],
    spread: ['frames of 1'],
    sized: { 64: 'frames of 64', 256: 'frames of 256' },
  },
  nats: { batches: ['fast ingest', 'nats CLI, 500'], singles: ['publish'], reads: ['consume'], spread: ['publish'] },
  kafka: {
    batches: ['platformatic, 500', 'kafkajs, 500', 'java, 256 KiB', 'java, 16 KiB'],
    singles: ['platformatic, gathered'],
    reads: ['platformatic', 'kafkajs', 'java'],
    spread: ['platformatic, 500', 'kafkajs, 500', 'java, 256 KiB', 'java, 16 KiB'],
  },
}

interface Limits {
  readonly durationMs: number
  readonly paceMs: number
  /** Bytes of values that one turn appends or reads at most. */
  readonly bytesMax: number
}

const FULL: Limits = { durationMs: 5_000, paceMs: 15_000, bytesMax: 512e6 }
const QUICK: Limits = { durationMs: 700, paceMs: 2_000, bytesMax: 32e6 }

const SMALL_BYTES = 100
const KIB = 1_024
const READ_SHARE = 0.25
/** Batches in which Millrace is compared with what disks and sockets give: records of 1 KiB, so many per call. */
const BATCHES_KIB = [64, 256]
const PACE_PER_SECOND = 1_000
const PARTITIONS = 100
/** Of Millrace alone: what it does with more partitions than anyone compares. */
const MANY_PARTITIONS = 1_000

/** Every contest of the workloads, in their order. */
export function contestsOf(
  workloads: readonly WorkloadName[],
  systems: readonly SystemName[],
  quick: boolean,
): readonly Contest[] {
  const limits = quick ? QUICK : FULL
  return workloads.flatMap(workload =>
    CONTESTS[workload](limits).map(({ title, of, order }) => ({
      workload,
      title,
      entries: systems.flatMap(system =>
        of(WAYS[system], system).map(way => ({ system, way, order: order(way, system) })),
      ),
    })),
  )
}

interface Kind {
  readonly title: string
  /** The ways in which a system takes part; none: it does not. */
  of(ways: Ways, system: SystemName): readonly string[]
  order(way: string, system: SystemName): Order
}

const CONTESTS: Readonly<Record<WorkloadName, (limits: Limits) => readonly Kind[]>> = {
  W1: limits => [
    ...[SMALL_BYTES, KIB].flatMap((bytes): readonly Kind[] => [
      { title: `append ${bytes} B, batches`, of: ways => ways.batches, order: way => append(way, bytes, 1, limits) },
      {
        title: `append ${bytes} B, a promise each`,
        of: ways => ways.singles,
        order: way => append(way, bytes, 1, limits),
      },
    ]),
    ...BATCHES_KIB.map(
      (kib): Kind => ({
        title: `append ${KIB} B, batches of ${kib} KiB`,
        of: ({ sized }) => (sized === undefined ? [] : [sized[kib]!]),
        order: way => append(way, KIB, 1, limits),
      }),
    ),
  ],
  W2: limits => [
    {
      title: `append ${SMALL_BYTES} B, one in flight`,
      of: ways => ways.singles,
      order: way => ({ ...append(way, SMALL_BYTES, 1, limits), callsInFlight: 1 }),
    },
  ],
  W3: limits =>
    [SMALL_BYTES, KIB].map(bytes => ({
      title: `catch-up read ${bytes} B`,
      of: ways => ways.reads,
      order: (way, system) => {
        const records = Math.floor((limits.bytesMax * READ_SHARE) / bytes)
        return { type: 'read', way, fillWay: WAYS[system].batches[0]!, recordBytes: bytes, records }
      },
    })),
  W4: limits => [
    {
      title: `end to end, ${PACE_PER_SECOND}/s of ${KIB} B`,
      of: ways => ways.singles,
      order: way => {
        const pace = { ratePerSecond: PACE_PER_SECOND, records: (PACE_PER_SECOND * limits.paceMs) / 1_000 }
        return { type: 'pace', way, recordBytes: KIB, pace }
      },
    },
  ],
  W5: limits => [
    {
      title: `append ${KIB} B to ${PARTITIONS} partitions`,
      of: ways => ways.spread,
      order: way => append(way, KIB, PARTITIONS, limits),
    },
    {
      title: `append ${KIB} B to ${MANY_PARTITIONS} partitions`,
      of: (ways, system) => (system === 'millrace' ? ways.spread : []),
      order: way => append(way, KIB, MANY_PARTITIONS, limits),
    },
  ],
  W6: () => [
    {
      title: 'leader killed: time to the next acknowledgement',
      of: (ways, system) => (system === 'bare' ? [] : ways.singles.slice(0, 1)),
      order: () => ({ type: 'failover', recordBytes: SMALL_BYTES }),
    },
  ],
}

function append(way: string, recordBytes: number, partitions: number, limits: Limits): Order & { type: 'append' } {
  const { durationMs, bytesMax } = limits
  return { type: 'append', way, recordBytes, partitions, durationMs, recordsMax: Math.floor(bytesMax / recordBytes) }
}
