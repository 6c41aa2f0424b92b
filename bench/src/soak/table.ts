/** The table of a run over time: a row for each minute, printed when the minute is over. */
import { mebibytes } from '../catch-up/promises.ts'
import { grouped } from '../statistics.ts'
import type { StatusTally } from './status-calls.ts'

/** Of one minute. */
export interface Period {
  readonly endMs: number
  readonly ms: number
  readonly acknowledged: number
  readonly failed: number
  readonly recordBytes: number
  readonly status: StatusTally
  readonly leaderChanges: number
  /** By node. */
  readonly memory: readonly { readonly meanBytes: number; readonly peakBytes: number }[]
}

const MIB = 1_024 * 1_024

interface Column {
  readonly title: string
  readonly width: number
  cell(period: Period): string
}

const FACTS: readonly Column[] = [
  { title: 'up to', width: 7, cell: ({ endMs }) => `${Math.round(endMs / 1_000)} s` },
  { title: 'records/s', width: 11, cell: ({ acknowledged, ms }) => grouped((acknowledged * 1_000) / ms) },
  {
    title: 'MiB/s',
    width: 7,
    cell: ({ acknowledged, recordBytes, ms }) => ((acknowledged * recordBytes * 1_000) / ms / MIB).toFixed(1),
  },
  { title: 'refused', width: 9, cell: ({ failed }) => grouped(failed) },
  { title: 'status p50', width: 12, cell: ({ status }) => ms(status.latencies.percentileMs(0.5)) },
  { title: 'p99', width: 9, cell: ({ status }) => ms(status.latencies.percentileMs(0.99)) },
  { title: 'max', width: 9, cell: ({ status }) => ms(status.latencies.maxMs) },
  { title: 'made late p99', width: 15, cell: ({ status }) => ms(status.lateness.percentileMs(0.99)) },
  { title: 'leader changes', width: 16, cell: ({ leaderChanges }) => String(leaderChanges) },
]

export function headLine(nodes: number): string {
  return columns(nodes)
    .map(({ title, width }) => title.padStart(width))
    .join('')
}

export function periodLine(period: Period): string {
  return columns(period.memory.length)
    .map(({ cell, width }) => cell(period).padStart(width))
    .join('')
}

function columns(nodes: number): readonly Column[] {
  const memory = Array.from({ length: nodes }, (_, at): Column[] => [
    { title: `node ${at + 1}: mean`, width: 15, cell: period => mebibytes(period.memory[at]!.meanBytes) },
    { title: 'peak', width: 11, cell: period => mebibytes(period.memory[at]!.peakBytes) },
  ])
  return [...FACTS, ...memory.flat()]
}

/** `p50 1.2 ms, p99 3.4 ms, max 5.6 ms of 100 calls` */
export function statusText({ latencies, failed, lastError }: StatusTally): string {
  const { p50Ms, p99Ms, maxMs } = latencies.summary()
  const failures = failed === 0 ? '' : `, ${failed} failed (${lastError})`
  return `p50 ${ms(p50Ms)}, p99 ${ms(p99Ms)}, max ${ms(maxMs)} of ${latencies.count} calls${failures}`
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`
}
