/** The short table: of each system its best way, and how Millrace compares with it. */
import { grouped, median, threeDigits } from '../statistics.ts'
import type { SystemName } from './orders.ts'
import type { Row, Turn } from './report.ts'

/** What a contest is about: more is better of rates, less of times. */
interface Figure {
  readonly of: (turn: Turn) => number | undefined
  readonly better: 'more' | 'less'
  readonly text: (row: Row) => string
}

const RATE: Figure = {
  of: ({ measured }) => measured.records / (measured.ms / 1_000),
  better: 'more',
  text: row => `${grouped(medianOf(row, RATE))}/s`,
}
const LATENCY: Figure = {
  of: ({ measured }) => measured.latency?.p50Ms,
  better: 'less',
  text: row => {
    const p99 = median(row.turns.map(({ measured }) => measured.latency?.p99Ms ?? Number.NaN))
    return `p50 ${milliseconds(medianOf(row, LATENCY))}, p99 ${milliseconds(p99)}`
  },
}
const FAILOVER: Figure = {
  of: ({ measured }) => measured.failoverMs,
  better: 'less',
  text: row => milliseconds(medianOf(row, FAILOVER)),
}
const FIGURES: Readonly<Record<Row['workload'], Figure>> = {
  W1: RATE,
  W2: LATENCY,
  W3: RATE,
  W4: LATENCY,
  W5: RATE,
  W6: FAILOVER,
}

/** Lines of Markdown: a line for each contest, a column for each system, and one for what Millrace is of each other one. */
export function summaryOf(rows: readonly Row[]): readonly string[] {
  const systems = [...new Set(rows.map(({ system }) => system))]
  const others = systems.filter(system => system !== 'millrace')
  const heads = ['', 'workload', ...systems, ...others.map(other => `Millrace : ${other}`)]
  const contests = Map.groupBy(rows, ({ workload, title }) => `${workload} ${title}`)
  const lines = [...contests.values()].map(contest => {
    const [{ workload, title }] = contest as [Row]
    const best = new Map(systems.map(system => [system, bestOf(contest, system)]))
    const cells = systems.map(system => cellOf(best.get(system)))
    return [workload, title, ...cells, ...others.map(other => ratioOf(best.get('millrace'), best.get(other)))]
  })
  return [heads, heads.map(() => '---'), ...lines].map(cells => `| ${cells.join(' | ')} |`)
}

function bestOf(contest: readonly Row[], system: SystemName): Row | undefined {
  const measured = contest.filter(row => row.system === system && row.turns.length > 0)
  const value = (row: Row): number => medianOf(row, FIGURES[row.workload])
  const sign = measured[0] !== undefined && FIGURES[measured[0].workload].better === 'less' ? 1 : -1
  return measured.toSorted((one, other) => sign * (value(one) - value(other)))[0]
}

function cellOf(row: Row | undefined): string {
  if (row === undefined) return ''
  return `${FIGURES[row.workload].text(row)} (${row.way})`
}

function ratioOf(one: Row | undefined, other: Row | undefined): string {
  if (one === undefined || other === undefined) return ''
  const ratio = medianOf(one, FIGURES[one.workload]) / medianOf(other, FIGURES[other.workload])
  return Number.isNaN(ratio) ? '' : `${ratio >= 0.1 ? ratio.toFixed(2) : ratio.toFixed(3)} ×`
}

function medianOf(row: Row, figure: Figure): number {
  return median(row.turns.map(turn => figure.of(turn) ?? Number.NaN).filter(value => !Number.isNaN(value)))
}

function milliseconds(value: number): string {
  return `${threeDigits(value)} ms`
}
