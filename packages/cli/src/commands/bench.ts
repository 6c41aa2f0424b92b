/** `millrace bench`: how fast one running cluster is, from here. */
import type { Client } from '@millrace/client'
import { LIMITS } from '@millrace/record'
import { Command, Option } from 'commander'
import { AppendBench, type AppendPlan } from '../bench/append-bench.ts'
import { benchLine, type Done } from '../bench/bench-line.ts'
import { appendJson, appendLines, isBorneOut, readJson, readLines } from '../bench/bench-report.ts'
import { BenchTopic, type TopicWish } from '../bench/bench-topic.ts'
import { DeliveryWatch } from '../bench/delivery-watch.ts'
import { ReadBench } from '../bench/read-bench.ts'
import { RECORD_BYTES_MIN } from '../bench/stamped-records.ts'
import { CliError, describeError, Interrupted } from '../cli-error.ts'
import { listTopics } from '../cluster/topic-api.ts'
import { EXIT, type ExitCode } from '../exit-code.ts'
import { stopSignal } from '../process/stop-signal.ts'
import { formatBytes, parseCount, parseDuration, parseSize } from '../quantities.ts'
import { noteTroubles } from '../terminal/connection-notes.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { jsonOption, urlOption, urlsFrom } from './common-options.ts'

interface Common extends TopicWish {
  readonly topic?: string
  readonly recordBytes: number
  readonly duration: number
  readonly warmUp: number
  readonly keep?: boolean
  readonly json?: boolean
  readonly url?: string
}

interface AppendFlags extends Common {
  readonly batch: number
  readonly inFlight: number
  readonly rate?: number
  readonly size: number
  readonly check?: boolean
}

/** What a run needs, and what it shares with the command around it. */
interface Bench {
  readonly terminal: Terminal
  readonly client: Client
  readonly topic: BenchTopic
  readonly signal: AbortSignal
}

const MIB = 2 ** 20
/** Of values, that calls may hold in this process. */
const HELD_BYTES_MAX = 1_024 * MIB
const BATCH_RECORDS_MAX = 100_000
const IN_FLIGHT_CALLS_MAX = 100_000
/** Calls under way where the rate says when they begin. */
const RATED_CALLS_IN_FLIGHT = 1_000
/** What a client keeps for a record beside its value. */
const RECORD_OVERHEAD_BYTES = 256
/** How a topic is filled that is to be read. */
const FILL = { callBytes: 256 * 1_024, callsInFlight: 32 }

/** Where results go. */
interface Context {
  readonly terminal: Terminal
  readonly setExitCode: (code: ExitCode) => void
}

export function benchCommand(terminal: Terminal, setExitCode: (code: ExitCode) => void): Command {
  const context: Context = { terminal, setExitCode }
  return new Command('bench')
    .description('measure how fast a running cluster is, in a topic that is made for it and removed')
    .addCommand(appendBenchCommand(context))
    .addCommand(latencyBenchCommand(context))
    .addCommand(readBenchCommand(context))
}

function appendBenchCommand(context: Context): Command {
  const command = new Command('append')
    .description('append as fast as possible, or at a rate')
    .addOption(option('--batch <N>', 'records per call', count('--batch', BATCH_RECORDS_MAX), 500))
    .addOption(option('--in-flight <N>', 'calls under way', count('--in-flight', IN_FLIGHT_CALLS_MAX), 32))
    .option('--rate <N>', 'records that become due each second, whatever became of those before', count('--rate'))
    .addOption(option('--size <SIZE>', 'end after so many bytes of values', size('--size'), 4_096 * MIB, '4GiB'))
    .option('--check', 'read everything back and compare')
  return common(command, '1KiB').action(async (flags: AppendFlags) => {
    const { recordBytes, batch, inFlight, rate, duration, warmUp } = flags
    const plan: AppendPlan = {
      recordBytes,
      callRecords: batch,
      callsInFlight: inFlight,
      durationMs: duration,
      warmUpMs: warmUp,
      recordsMax: Math.floor(flags.size / recordBytes),
      ratePerSecond: rate,
    }
    if (plan.recordsMax < batch)
      throw new CliError(`--size ${formatBytes(flags.size)} is less than one call of ${batch} records`, EXIT.usage)
    await withTopic(context, flags, bufferBytes(plan), bench =>
      measureAppends(bench, plan, { ...flags, what: 'append' }),
    )
  })
}

function latencyBenchCommand(context: Context): Command {
  const command = new Command('latency')
    .description('append records one at a time, or at a rate, and follow them to a reader')
    .option('--rate <N>', 'records that become due each second, whatever became of those before', count('--rate'))
  return common(command, '100').action(async (flags: Common & { readonly rate?: number }) => {
    const { recordBytes, rate, duration, warmUp } = flags
    if (flags.partitions !== undefined && flags.partitions !== 1)
      throw new CliError('--partitions: latency is measured in one partition', EXIT.usage)
    const plan: AppendPlan = {
      recordBytes,
      callRecords: 1,
      callsInFlight: rate === undefined ? 1 : RATED_CALLS_IN_FLIGHT,
      durationMs: duration,
      warmUpMs: warmUp,
      recordsMax: Number.MAX_SAFE_INTEGER,
      ratePerSecond: rate,
    }
    await withTopic(context, flags, bufferBytes(plan), async bench => {
      if (bench.topic.ranges.length !== 1)
        throw new CliError(`topic ${bench.topic.name} has several partitions: latency is measured in one`, EXIT.usage)
      return await measureAppends(bench, plan, { ...flags, what: 'latency', watch: new DeliveryWatch() })
    })
  })
}

function readBenchCommand(context: Context): Command {
  const command = new Command('read')
    .description('read a topic from its start, again and again: one of bench append --keep, or a new one')
    .addOption(option('--size <SIZE>', 'bytes of values in a new topic', size('--size'), 256 * MIB, '256MiB'))
  return common(command, '1KiB').action(async (flags: Common & { readonly size: number }) => {
    const { recordBytes, warmUp } = flags
    const callRecords = Math.max(1, Math.floor(FILL.callBytes / recordBytes))
    const plan: AppendPlan = {
      recordBytes,
      callRecords,
      callsInFlight: FILL.callsInFlight,
      durationMs: Number.POSITIVE_INFINITY,
      warmUpMs: 0,
      // Whole calls: at least one.
      recordsMax: Math.max(callRecords, Math.floor(flags.size / recordBytes)),
    }
    await withTopic(context, flags, bufferBytes(plan), async bench => {
      if (bench.topic.created) await fill(bench, plan)
      if (warmUp > 0) await new ReadBench(bench.topic).run(warmUp, bench.signal)
      return await measureReads(bench, flags)
    })
  })
}

function common(command: Command, recordBytes: string): Command {
  const bytes = parseSize(recordBytes)
  return command
    .addOption(option('--record-bytes <SIZE>', 'bytes of each value', recordSize, bytes, recordBytes))
    .addOption(option('--duration <TIME>', 'how long it is measured', duration('--duration', 1), 10_000, '10s'))
    .addOption(option('--warm-up <TIME>', 'the same before that, unmeasured', duration('--warm-up', 0), 1_000, '1s'))
    .option('--topic <TOPIC>', 'a topic that is new, empty, or left by millrace bench (default: a new one)')
    .option('--partitions <N>', 'of a new topic (default: 1)', count('--partitions', LIMITS.partitionsPerTopicMax))
    .option('--replication <N>', 'of a new topic (default: min(3, nodes))', count('--replication', 9))
    .option('--keep', 'leave a new topic there')
    .addOption(jsonOption())
    .addOption(urlOption())
}

function option(
  flags: string,
  what: string,
  parse: (text: string) => number,
  value: number,
  shown: string = String(value),
): Option {
  return new Option(flags, what).argParser(parse).default(value, shown)
}

/** Gives a run its topic, and removes what was made, however the run ends. */
async function withTopic(
  { terminal, setExitCode }: Context,
  flags: Common,
  bufferBytesMax: number,
  run: (bench: Bench) => Promise<boolean>,
): Promise<void> {
  const urls = urlsFrom(flags.url)
  using stop = stopSignal()
  // The SDK would wait for a cluster to come up; a person would rather know at once.
  await listTopics(urls)
  const { connect } = await import('@millrace/client')
  await using client = connect(urls, { bufferBytesMax })
  using _notes = noteTroubles(client.status$, line => terminal.note(line))
  const { topic: name, partitions, replication } = flags
  const topic = await BenchTopic.open(urls, client, { name, partitions, replication })
  try {
    if (!(await run({ terminal, client, topic, signal: stop.signal }))) setExitCode(EXIT.failed)
  } finally {
    if (!(await leave(terminal, topic, flags.keep === true))) setExitCode(EXIT.failed)
  }
  if (stop.signal.aborted) throw new Interrupted()
}

/** Removes a topic that was made, unless it is to be kept. @returns whether that is so; a run that failed has its own error */
async function leave(terminal: Terminal, topic: BenchTopic, keep: boolean): Promise<boolean> {
  const { name, created } = topic
  const command = `millrace topics delete ${name}`
  if (keep && created) terminal.note(`topic ${name} is kept: ${command} removes it`)
  if (keep || !created) return true
  try {
    await topic.remove()
    return true
  } catch (error) {
    terminal.note(`millrace: topic ${name} could not be removed, and is left (${describeError(error)}): ${command}`)
    return false
  }
}

/** @returns whether everything was acknowledged and is there */
async function measureAppends(
  { terminal, topic, signal }: Bench,
  plan: AppendPlan,
  flags: { readonly what: string; readonly json?: boolean; readonly check?: boolean; readonly watch?: DeliveryWatch },
): Promise<boolean> {
  const { what, watch } = flags
  const bench: AppendBench = new AppendBench(topic, plan, (sequence, dueMs) => {
    if (bench.isMeasuring) watch?.measureFrom(bench.firstMeasured)
    watch?.expect(sequence, dueMs)
  })
  const watching = new AbortController()
  const following = watch?.follow(topic, bench.records, watching.signal)
  const meter = cpuMeter()
  {
    using _line = benchLine(terminal, () => progressOf(bench, what, plan.recordBytes))
    await bench.run(signal)
  }
  const clientCores = meter()
  const { tally } = bench
  for (const call of tally.failedCalls) watch?.forget(bench.firstMeasured + call)
  const delivered = watch && { latencies: watch.latencies, missing: await watch.missing(signal) }
  watching.abort()
  await following
  const stored = await bench.stored()
  const check = flags.check === true ? await checked(terminal, bench, plan.recordBytes, signal) : undefined
  const result = { topic, plan, tally, clientCores, stored, check, ...(delivered && { delivered }) }
  if (flags.json === true) terminal.print(JSON.stringify({ workload: what, ...appendJson(result) }))
  else for (const line of appendLines(result)) terminal.print(line)
  return tally.failedCalls.size === 0 && isBorneOut(stored) && (check === undefined || check === 'ok')
}

function progressOf(bench: AppendBench, what: string, recordBytes: number): Done {
  const { acknowledged, notStored, unknown, latencies } = bench.current
  const p99Ms = latencies.percentileMs(0.99)
  const phase = bench.isMeasuring ? what : `${what}, warming up`
  return { what: phase, records: acknowledged, bytes: acknowledged * recordBytes, p99Ms, failed: notStored + unknown }
}

async function checked(
  terminal: Terminal,
  bench: AppendBench,
  recordBytes: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (signal.aborted) return undefined
  let records = 0
  using _line = benchLine(terminal, () => ({ what: 'reading back', records, bytes: records * recordBytes }))
  return await bench.check(signal, seen => {
    records = seen
  })
}

async function fill({ terminal, topic, signal }: Bench, plan: AppendPlan): Promise<void> {
  const bench = new AppendBench(topic, plan)
  {
    using _line = benchLine(terminal, () => progressOf(bench, 'filling the topic', plan.recordBytes))
    await bench.run(signal)
  }
  if (signal.aborted) throw new Interrupted()
  if (bench.tally.error !== undefined) throw bench.tally.error
}

/** @returns whether every record was one of `millrace bench` */
async function measureReads({ terminal, topic, signal }: Bench, flags: Common): Promise<boolean> {
  const bench = new ReadBench(topic)
  const meter = cpuMeter()
  {
    using _line = benchLine(terminal, () => ({ what: 'read', records: bench.records, bytes: bench.bytes }))
    await bench.run(flags.duration, signal)
  }
  const { passes, foreign } = bench
  const result = { topic, passes, foreign, clientCores: meter() }
  if (flags.json === true) terminal.print(JSON.stringify({ workload: 'read', ...readJson(result) }))
  else for (const line of readLines(result)) terminal.print(line)
  return foreign === 0
}

/** Share of a core that this process has used since. */
function cpuMeter(): () => number {
  const [startedMs, before] = [performance.now(), process.cpuUsage()]
  return () => {
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1_000 / (performance.now() - startedMs)
  }
}

/** Room for all that may be under way, so that nothing is refused for want of it. */
function bufferBytes({ callsInFlight, callRecords, recordBytes }: AppendPlan): number {
  const held = callsInFlight * callRecords * recordBytes
  if (held > HELD_BYTES_MAX) {
    const what = `${callsInFlight} calls of ${callRecords} records of ${formatBytes(recordBytes)}`
    throw new CliError(
      `${what} are ${formatBytes(held)} under way, and ${formatBytes(HELD_BYTES_MAX)} may be: lower --in-flight, --batch or --record-bytes`,
      EXIT.usage,
    )
  }
  return Math.max(32 * MIB, held + callsInFlight * callRecords * RECORD_OVERHEAD_BYTES)
}

function count(option: string, max?: number): (text: string) => number {
  return text => parseCount(text, option, 1, max)
}

function recordSize(text: string): number {
  return within('--record-bytes', text, parseSize(text), RECORD_BYTES_MIN, LIMITS.recordBytesMax)
}

function size(option: string): (text: string) => number {
  return text => within(option, text, parseSize(text), 1, Number.MAX_SAFE_INTEGER)
}

function duration(option: string, least: number): (text: string) => number {
  return text => within(option, text, parseDuration(text), least, Number.MAX_SAFE_INTEGER)
}

function within(option: string, text: string, value: number, least: number, most: number): number {
  if (value >= least && value <= most) return value
  throw new CliError(`${option}: "${text}" is not between ${least} and ${most}`, EXIT.usage)
}
