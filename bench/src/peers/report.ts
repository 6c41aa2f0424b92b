/** The one table of all results, as Markdown, and what it says about the machine and the versions. */
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { describeFaults, type Faults, type Latency } from '@millrace/cli/bench'
import { grouped, median, threeDigits } from '../statistics.ts'
import type { WorkloadName } from './options.ts'
import type { Durability, Measured, SystemName } from './orders.ts'
import { summaryOf } from './summary.ts'

/** One turn of one system in one contest. */
export interface Turn {
  readonly measured: Measured
  /** Of the node that had most, in this turn. */
  readonly peakRssBytes: number | undefined
}

export interface Row {
  readonly workload: WorkloadName
  readonly title: string
  readonly system: SystemName
  readonly way: string
  readonly turns: readonly Turn[]
  /** Why there are no turns, or fewer than there should be. */
  readonly notRun?: string
  /** It began and could not go on. */
  readonly failed?: boolean
}

export interface Report {
  readonly startedAt: string
  readonly turns: number
  readonly quick: boolean
  readonly versions: Readonly<Partial<Record<SystemName, string>>>
  readonly machine: string
  /** 4 KiB written and synced, all through the run. */
  readonly fsync: Latency
  readonly blocks: readonly Block[]
}

/** What was measured with all systems alike, or with each as it comes. */
export interface Block {
  readonly durability: Durability
  readonly rows: readonly Row[]
}

/** Share of a core above which servers that should be idle disturb what is measured. */
const OTHERS_CORES_MAX = 0.05

const HEADINGS: Readonly<Record<Durability, string>> = {
  same: 'Same durability: acknowledged when synced to disk on a majority',
  own: 'Each at its own default: Millrace synced on a majority, the others in the page cache',
}

const COLUMNS = [
  ...['', 'workload', 'system', 'client', 'records/s', 'lowest–highest', 'MB/s', 'p50 ms', 'p99 ms', 'p99.9 ms'],
  ...['failover ms', 'CPU s/M servers', 'CPU s/M client', 'peak RSS MB', 'check'],
]

/** Processor, memory, kernel and Node of this machine. */
export function describeMachine(): string {
  const model = cpus()[0]?.model ?? 'unknown processor'
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  return `${availableParallelism()} × ${model.trim()}, ${memory}, ${process.platform} ${release()}, Node ${process.version}`
}

export function markdown(report: Report): string {
  const { fsync, versions, blocks } = report
  const facts = [
    `${report.startedAt}, ${report.quick ? 'quick run, of which only the checks count' : `medians of ${report.turns} turns`}`,
    report.machine,
    `disk, 4 KiB written and synced: p50 ${threeDigits(fsync.p50Ms)} ms, p99 ${threeDigits(fsync.p99Ms)} ms, max ${threeDigits(fsync.maxMs)} ms`,
    ...Object.entries(versions).map(([system, version]) => `${system}: ${version}`),
    ...disturbance(blocks.flatMap(({ rows }) => rows)),
  ]
  return `${facts.map(fact => `- ${fact}`).join('\n')}\n${blocks.map(tableOf).join('')}`
}

function tableOf({ durability, rows }: Block): string {
  const lines = [COLUMNS, COLUMNS.map(() => '---'), ...rows.map(cellsOf)].map(cells => `| ${cells.join(' | ')} |`)
  const parts = [`**${HEADINGS[durability]}**`, summaryOf(rows).join('\n'), 'All ways:', lines.join('\n')]
  return parts.map(part => `\n${part}\n`).join('')
}

/** Faults of all turns together. */
export function faultsOf(row: Row): Faults {
  const sum = (what: keyof Faults): number =>
    row.turns.reduce((total, { measured }) => total + measured.faults[what], 0)
  return { lost: sum('lost'), duplicated: sum('duplicated'), reordered: sum('reordered'), foreign: sum('foreign') }
}

function cellsOf(row: Row): readonly string[] {
  const { workload, title, system, way, notRun, turns } = row
  const head = [workload, title, system, way]
  if (turns.length === 0) return [...head, ...COLUMNS.slice(head.length + 1).map(() => ''), `not run: ${notRun}`]
  const of = (figure: (measured: Measured) => number | undefined): number =>
    medianOf(turns.map(turn => figure(turn.measured)))
  // A failover is one record at a time with a gap in the middle: its rate would say nothing.
  const rate = (measured: Measured): number | undefined =>
    measured.failoverMs === undefined ? measured.records / (measured.ms / 1_000) : undefined
  const rates = turns.map(turn => rate(turn.measured) ?? Number.NaN)
  const perMillion = (cpuMs: number | undefined, { records }: Measured): number | undefined =>
    cpuMs === undefined ? undefined : (cpuMs / 1_000 / records) * 1e6
  return [
    ...head,
    shown(of(rate), grouped),
    turns.length < 2 ? '' : shown(Math.min(...rates), low => `${grouped(low)}–${grouped(Math.max(...rates))}`),
    shown(
      of(measured => ((rate(measured) ?? Number.NaN) * measured.recordBytes) / 1e6),
      mb => mb.toFixed(1),
    ),
    shown(
      of(measured => measured.latency?.p50Ms),
      threeDigits,
    ),
    shown(
      of(measured => measured.latency?.p99Ms),
      threeDigits,
    ),
    shown(
      of(measured => measured.latency?.p999Ms),
      threeDigits,
    ),
    shown(
      of(measured => measured.failoverMs),
      threeDigits,
    ),
    shown(
      of(measured => perMillion(measured.serverCpuMs, measured)),
      cpu => cpu.toFixed(1),
    ),
    shown(
      of(measured => perMillion(measured.clientCpuMs, measured)),
      cpu => cpu.toFixed(1),
    ),
    shown(medianOf(turns.map(turn => turn.peakRssBytes)), bytes => (bytes / 1e6).toFixed(0)),
    checkOf(row),
  ]
}

function checkOf(row: Row): string {
  const refused = row.turns.reduce((sum, { measured }) => sum + measured.refused, 0)
  const faults = describeFaults(faultsOf(row))
  const counted = row.turns.some(({ measured }) => measured.countedOnly === true)
  return [
    counted && faults === 'ok' ? 'count only' : faults,
    ...(refused === 0 ? [] : [`${refused} not acknowledged`]),
    ...(row.notRun === undefined ? [] : [`then not run: ${row.notRun}`]),
  ].join(', ')
}

function disturbance(rows: readonly Row[]): string[] {
  const shares = rows.flatMap(row => row.turns.map(({ measured }) => measured.othersCores ?? 0))
  const most = Math.max(0, ...shares)
  const what = `servers of other systems took at most ${(100 * most).toFixed(1)} % of a core during a measurement`
  return most > OTHERS_CORES_MAX ? [`${what}: too much, measure with fewer --systems`] : [what]
}

function medianOf(samples: readonly (number | undefined)[]): number {
  return median(samples.filter(sample => sample !== undefined && !Number.isNaN(sample)) as number[])
}

/** Nothing where there is no figure. */
function shown(value: number, format: (value: number) => string): string {
  return Number.isNaN(value) ? '' : format(value)
}
