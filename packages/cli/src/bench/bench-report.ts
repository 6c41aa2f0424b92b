/** Results of `millrace bench` for people and as JSON. */
import { formatBytes, formatCount } from '../quantities.ts'
import type { AppendPlan, Stored } from './append-bench.ts'
import type { BenchTopic } from './bench-topic.ts'
import type { Histogram } from './histogram.ts'
import type { Tally } from './load.ts'
import type { Pass } from './read-bench.ts'

/** 1, 2, 5, 10, … from 0.05 ms to 1,000 s: a line of a distribution each. */
const EDGES_MS: readonly number[] = Array.from({ length: 23 }, (_, at) => {
  const mantissa = [5, 10, 20][at % 3]!
  return Number((mantissa * 10 ** (Math.floor(at / 3) - 2)).toFixed(2))
})
const BAR_COLUMNS = 40

type TopicFacts = Pick<BenchTopic, 'name' | 'ranges' | 'replication'>

/** One measurement of appends. */
export interface AppendResult {
  readonly topic: TopicFacts
  readonly plan: AppendPlan
  readonly tally: Tally
  /** Share of a core that this process used. */
  readonly clientCores: number
  readonly stored: Stored
  /** What reading everything back has found, where it was asked for. */
  readonly check: string | undefined
  /** From when a record was due to its arrival at a reader. */
  readonly delivered?: { readonly latencies: Histogram; readonly missing: number }
}

export interface ReadResult {
  readonly topic: TopicFacts
  readonly passes: readonly Pass[]
  readonly clientCores: number
  readonly foreign: number
}

/** `0.52 ms`, `12.3 ms`, `1,250 ms` */
export function formatMs(ms: number): string {
  return `${ms >= 100 ? formatCount(Math.round(ms)) : ms.toPrecision(3)} ms`
}

export function appendLines({ topic, plan, tally, clientCores, ...rest }: AppendResult): string[] {
  const { recordBytes, callRecords, callsInFlight, ratePerSecond } = plan
  const calls = callRecords === 1 ? 'one record' : `${formatCount(callRecords)} records`
  const rate = ratePerSecond === undefined ? '' : `, ${formatCount(ratePerSecond)} records/s due`
  return [
    `${formatCount(tally.acknowledged)} records of ${formatBytes(recordBytes)} acknowledged in ${ratesText(tally.acknowledged, tally.acknowledged * recordBytes, tally.ms)}`,
    `${topicText(topic)}; ${calls} per call, at most ${formatCount(callsInFlight)} under way${rate}`,
    `this process used ${clientCores.toFixed(2)} cores`,
    ...latencyLines(
      `acknowledged, from when a call was ${ratePerSecond === undefined ? 'made' : 'due'}`,
      tally.latencies,
    ),
    ...(rest.delivered === undefined
      ? []
      : latencyLines('delivered to a reader, from the same moment', rest.delivered.latencies)),
    ...troubles(tally, rest.delivered?.missing ?? 0),
    storedText(rest.stored),
    ...(rest.check === undefined ? [] : [`read back: ${rest.check}`]),
  ]
}

export function readLines({ topic, passes, clientCores, foreign }: ReadResult): string[] {
  const { records, bytes, ms } = sumOf(passes)
  const rates = passes.filter(pass => pass.ms > 0).map(pass => (pass.records * 1_000) / pass.ms)
  const [low, high] = [Math.min(...rates), Math.max(...rates)].map(rate => formatCount(Math.round(rate)))
  const firsts = passes.map(pass => pass.firstMs)
  return [
    `${formatCount(records)} records read in ${ratesText(records, bytes, ms)}`,
    `${topicText(topic)}; ${formatCount(passes.length)} times from the start, ${low}–${high} records/s`,
    `first records after ${formatMs(Math.min(...firsts))} to ${formatMs(Math.max(...firsts))}`,
    `this process used ${clientCores.toFixed(2)} cores`,
    foreign === 0
      ? 'every record is as it was appended'
      : `${formatCount(foreign)} records are not as they were appended`,
  ]
}

export function appendJson({ topic, plan, tally, clientCores, stored, check, delivered }: AppendResult): object {
  return {
    ...topicJson(topic),
    recordBytes: plan.recordBytes,
    batch: plan.callRecords,
    inFlight: plan.callsInFlight,
    rate: plan.ratePerSecond ?? null,
    ...ratesJson(tally.acknowledged, tally.acknowledged * plan.recordBytes, tally.ms),
    clientCores,
    acknowledgedMs: latencyJson(tally.latencies),
    ...(delivered === undefined
      ? {}
      : { deliveredMs: latencyJson(delivered.latencies), undelivered: delivered.missing }),
    notStored: tally.notStored,
    unknown: tally.unknown,
    unsent: tally.unsent,
    stored,
    ...(check === undefined ? {} : { check }),
  }
}

export function readJson({ topic, passes, clientCores, foreign }: ReadResult): object {
  const { records, bytes, ms } = sumOf(passes)
  return { ...topicJson(topic), ...ratesJson(records, bytes, ms), clientCores, passes, foreign }
}

/** Whether the offsets of the topic bear out what was acknowledged. */
export function isBorneOut({ acknowledged, unknown, stored }: Stored): boolean {
  return stored >= acknowledged && stored <= acknowledged + unknown
}

function storedText(result: Stored): string {
  const { acknowledged, unknown, stored } = result
  const counts = `${formatCount(stored)} records stored, ${formatCount(acknowledged)} acknowledged`
  if (isBorneOut(result)) return `${counts} with the warm-up: none is lost, none is there twice`
  if (stored < acknowledged) return `${counts}: ${formatCount(acknowledged - stored)} are missing`
  const more = formatCount(stored - acknowledged - unknown)
  return `${counts}: ${more} too many; somebody else appends, or records are there twice`
}

function troubles({ notStored, unknown, unsent }: Tally, missing: number): string[] {
  const failed = notStored + unknown
  const late = 'were due and found no place within five seconds after the end: the rate was not held'
  return [
    ...(failed === 0
      ? []
      : [
          `${formatCount(notStored)} records not stored, ${formatCount(unknown)} unknown; their calls are in no latency`,
        ]),
    ...(unsent === 0 ? [] : [`${formatCount(unsent)} records ${late}`]),
    ...(missing === 0 ? [] : [`${formatCount(missing)} records did not reach the reader within five seconds`]),
  ]
}

function latencyLines(what: string, latencies: Histogram): string[] {
  if (latencies.count === 0) return [`${what}: nothing`]
  const { p50Ms, p99Ms, p999Ms, maxMs } = latencies.summary()
  const percentiles = Object.entries({ p50: p50Ms, p99: p99Ms, 'p99.9': p999Ms, max: maxMs })
  const counts = distribution(latencies)
  const most = Math.max(...counts.map(({ count }) => count))
  return [
    `${what}:`,
    `  ${percentiles.map(([name, ms]) => `${name} ${formatMs(ms)}`).join('   ')}`,
    ...counts.map(({ upToMs, count }) => {
      const bar = '#'.repeat(Math.ceil((count / most) * BAR_COLUMNS)).padEnd(BAR_COLUMNS)
      const share = ((100 * count) / latencies.count).toFixed(2).padStart(6)
      return `  up to ${`${formatCount(upToMs)} ms`.padStart(10)}  ${bar}  ${share} %  ${formatCount(count)}`
    }),
  ]
}

/** From the first line that has values to the last. */
function distribution(latencies: Histogram): { readonly upToMs: number; readonly count: number }[] {
  const lines = latencies.countsUpTo(EDGES_MS).map((count, at) => ({ upToMs: EDGES_MS[at]!, count }))
  const first = lines.findIndex(({ count }) => count > 0)
  return lines.slice(first, lines.findLastIndex(({ count }) => count > 0) + 1)
}

function latencyJson(latencies: Histogram): object {
  const { p50Ms, p99Ms, p999Ms, maxMs } = latencies.summary()
  return { p50: p50Ms, p99: p99Ms, 'p99.9': p999Ms, max: maxMs, distribution: distribution(latencies) }
}

function ratesText(records: number, bytes: number, ms: number): string {
  const perSecond = (amount: number): number => (ms > 0 ? (amount * 1_000) / ms : 0)
  return `${(ms / 1_000).toFixed(2)} s: ${formatCount(Math.round(perSecond(records)))} records/s, ${formatBytes(perSecond(bytes))}/s`
}

function ratesJson(records: number, bytes: number, ms: number): object {
  const perSecond = (amount: number): number => (ms > 0 ? (amount * 1_000) / ms : 0)
  return {
    records,
    bytes,
    seconds: ms / 1_000,
    recordsPerSecond: perSecond(records),
    bytesPerSecond: perSecond(bytes),
  }
}

function topicText({ name, ranges, replication }: TopicFacts): string {
  const partitions = ranges.length === 1 ? '1 partition' : `${formatCount(ranges.length)} partitions`
  return `topic ${name}, ${partitions}, replication ${replication}`
}

function topicJson({ name, ranges, replication }: TopicFacts): object {
  return { topic: name, partitions: ranges.length, replication }
}

function sumOf(passes: readonly Pass[]): { readonly records: number; readonly bytes: number; readonly ms: number } {
  const sum = (of: (pass: Pass) => number): number => passes.reduce((total, pass) => total + of(pass), 0)
  return { records: sum(pass => pass.records), bytes: sum(pass => pass.bytes), ms: sum(pass => pass.ms) }
}
