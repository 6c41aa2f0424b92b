/**
 * A cluster at full load for minutes: does it stay as fast, as small and as calm as it began? Three processes on loopback
 * with default settings, a client in a process of its own that appends as fast as it is answered, and this process, which
 * looks at them and has little else to do. At the end everything that retention has left is read back.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeFaults, type Faults, NO_FAULTS } from '@millrace/cli/bench'
import { connect } from '@millrace/client'
import { startCluster, type TestCluster } from '@millrace/testkit'
import { builtCli } from './built-program.ts'
import { AskedProcess } from './catch-up/asked-process.ts'
import type { LoadCount, LoadRequest, LoadSetup } from './catch-up/load-process.ts'
import { mebibytes } from './catch-up/promises.ts'
import { describeMachine } from './peers/report.ts'
import { residentBytes } from './resident-memory.ts'
import { describeLeadership, type LeaderChange, Leaderships } from './soak/leaderships.ts'
import { MachineUse } from './soak/machine-use.ts'
import { MemorySeries } from './soak/memory-series.ts'
import { type SoakOptions, soakOptions } from './soak/options.ts'
import { StatusCalls } from './soak/status-calls.ts'
import { headLine, type Period, periodLine, statusText } from './soak/table.ts'
import { grouped } from './statistics.ts'
import { untilInterrupted } from './until-interrupted.ts'

const TOPIC = 'soak'
const RECORD_BYTES = 1_024
const CALL_RECORDS = 500
const CALLS_IN_FLIGHT = 32
/** So that the disk is not filled. */
const RETENTION_BYTES = 1_024 * 1_024 * 1_024
/** Above the default interval at which nodes look for what retention may take. */
const RETENTION_LOOK_MS = 35_000
/** Leaderships go where they belong before anything is measured. */
const SETTLE_MS = 5_000
const SAMPLE_EVERY_MS = 1_000
/** Of the run, in which memory is expected to be flat. */
const FLAT_SHARE = 3 / 5
const EXIT_FAILED = 1
const EXIT_USAGE = 2

/** `pnpm bench soak [--minutes 5] [--quick] [--dir FOLDER]` */
export async function benchSoak(args: readonly string[]): Promise<void> {
  let options: SoakOptions
  try {
    options = soakOptions(args)
  } catch (error) {
    process.stderr.write(`bench soak: ${(error as Error).message}\n`)
    process.exitCode = EXIT_USAGE
    return
  }
  await untilInterrupted(signal => soak(options, signal))
}

async function soak(options: SoakOptions, signal: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const folder = mkdtempSync(join(options.dir, 'millrace-soak-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  const cluster = stack.use(await startCluster({ dir: folder, processes: (await builtCli()).LocalCluster }))
  await using client = connect(cluster.urls)
  await client.topics.create(TOPIC, { partitions: 1, retentionMs: 0, retentionBytes: RETENTION_BYTES })
  await cluster.leaders(TOPIC)
  const setup: LoadSetup = {
    ...{ urls: cluster.urls, topic: TOPIC, recordBytes: RECORD_BYTES },
    ...{ callRecords: CALL_RECORDS, callsInFlight: CALLS_IN_FLIGHT },
  }
  const load = await AskedProcess.start('load-process.ts', setup, 'the client')
  stack.defer(() => load.kill())
  await sleep(SETTLE_MS, undefined, { signal })
  await using run = new SoakRun(cluster, load, options)
  await run.carryOut(signal)
  const { acknowledged } = await run.end(signal)
  const isTrimmed = acknowledged * RECORD_BYTES > RETENTION_BYTES
  // Nothing is to go while it is read.
  if (isTrimmed) await sleep(RETENTION_LOOK_MS, undefined, { signal })
  const { logStartOffset, highWatermark } = (await client.topics.describe(TOPIC)).partitions[0]!
  await run.check({ logStartOffset, highWatermark })
}

/** What the leader says of the partition. */
interface Range {
  readonly logStartOffset: number
  readonly highWatermark: number
}

class SoakRun {
  readonly #cluster: TestCluster
  readonly #load: AskedProcess
  readonly #options: SoakOptions
  readonly #leaderships = new Leaderships()
  readonly #changes: LeaderChange[] = []
  readonly #memory: readonly MemorySeries[]
  readonly #status: StatusCalls
  #machine: MachineUse | undefined
  #startedMs = 0
  #loadMs = 0

  constructor(cluster: TestCluster, load: AskedProcess, options: SoakOptions) {
    this.#cluster = cluster
    this.#load = load
    this.#options = options
    this.#memory = cluster.nodes.map(() => new MemorySeries())
    this.#status = new StatusCalls(cluster.urls, ({ replicas }) => this.#look(replicas))
  }

  async carryOut(signal: AbortSignal): Promise<void> {
    for (const { status } of (await this.#cluster.processes.summary()).nodes) this.#look(status?.replicas ?? [])
    print(`${describeMachine()}\nat the start: ${this.#leaderships.describe()}`)
    print(`${RECORD_BYTES} B, ${CALL_RECORDS} records per call, ${CALLS_IN_FLIGHT} calls in flight, one partition\n`)
    print(headLine(this.#memory.length))
    const nodes = this.#cluster.nodes.map(({ node, pid }) => [`node ${node}`, pid] as const)
    this.#machine = new MachineUse({
      ...Object.fromEntries(nodes),
      client: this.#load.pid,
      'this process': process.pid,
    })
    this.#startedMs = performance.now()
    await this.#ask({ type: 'run' })
    this.#status.start()
    const { durationMs, periodMs } = this.#options
    let before = await this.#count()
    let [sinceMs, changes] = [this.#startedMs, 0]
    for (let endMs = periodMs; endMs <= durationMs; endMs += periodMs) {
      await this.#sampleUntil(this.#startedMs + endMs, signal)
      const now = await this.#count()
      const nowMs = performance.now()
      const period: Period = {
        ...{ endMs, ms: nowMs - sinceMs, recordBytes: RECORD_BYTES, status: this.#status.takePeriod() },
        acknowledged: now.acknowledged - before.acknowledged,
        failed: now.failed - before.failed,
        leaderChanges: this.#changes.length - changes,
        memory: this.#memory.map(series => series.since(sinceMs)),
      }
      print(periodLine(period))
      before = now
      sinceMs = nowMs
      changes = this.#changes.length
    }
  }

  /** Ends the load and says what the whole of it was. */
  async end(signal: AbortSignal): Promise<LoadCount> {
    this.#loadMs = performance.now() - this.#startedMs
    const measured = await this.#count()
    const use = this.#machine?.describe()
    await this.#status.stop()
    await this.#ask({ type: 'stop' })
    while ((await this.#count()).running) await sleep(100, undefined, { signal })
    const perSecond = (measured.acknowledged * 1_000) / this.#loadMs
    print(`\n${grouped(perSecond)} records/s, ${mebibytes(perSecond * RECORD_BYTES)}/s over ${seconds(this.#loadMs)}`)
    print(`processor: ${use}`)
    this.#printStatus()
    const flatMs = this.#startedMs + this.#loadMs * (1 - FLAT_SHARE)
    const slopes = this.#memory.map((series, at) => `node ${at + 1} ${signed(series.bytesPerMinuteSince(flatMs))}`)
    print(`memory per minute over the last ${seconds(this.#loadMs * FLAT_SHARE)}: ${slopes.join(', ')}`)
    print(`at the end: ${this.#leaderships.describe()}; ${this.#changes.length} leader changes`)
    for (const change of this.#changes) print(`  ${describeChange(change)}`)
    return await this.#count()
  }

  #printStatus(): void {
    print(`cluster status: ${statusText(this.#status.total)}`)
    const leader = this.#leaderships.leaderOf(`${TOPIC}/0`)
    for (const [at, tally] of this.#status.nodes.entries())
      print(`  node ${at + 1} (${leader === at + 1 ? 'leader' : 'follower'}): ${statusText(tally)}`)
    const { p50Ms, p99Ms, maxMs } = this.#status.total.lateness.summary()
    const late = [p50Ms, p99Ms, maxMs].map(ms => ms.toFixed(1))
    print(`  made late by this process: p50 ${late[0]} ms, p99 ${late[1]} ms, max ${late[2]} ms`)
  }

  /** Reads back what retention has left. */
  async check({ logStartOffset, highWatermark }: Range): Promise<void> {
    const { acknowledged, failed, lastError } = await this.#count()
    process.stderr.write(`reading back ${grouped(highWatermark - logStartOffset)} records\n`)
    const faults = (await this.#ask({ type: 'verify' })) as Faults
    const failures = failed === 0 ? '' : `, ${grouped(failed)} not (${lastError})`
    print(
      `${grouped(acknowledged)} records acknowledged${failures}; offsets ${logStartOffset} to ${highWatermark} left`,
    )
    print(`read back: ${describeFaults(faults)}`)
    const retained = (highWatermark - logStartOffset) * RECORD_BYTES
    const isTooShort = logStartOffset > 0 && retained < RETENTION_BYTES
    // An append that failed may be stored or not.
    const isWrong = highWatermark < acknowledged || highWatermark > acknowledged + failed
    if (isTooShort) print(`retention has left ${mebibytes(retained)}, and should leave ${mebibytes(RETENTION_BYTES)}`)
    if (isWrong) print(`${grouped(highWatermark)} records are stored`)
    const isFaulty = Object.keys(NO_FAULTS).some(name => faults[name as keyof Faults] > 0)
    if (isFaulty || isTooShort || isWrong) process.exitCode = EXIT_FAILED
  }

  /** Whatever ended the run: nobody is asked any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#status.stop()
  }

  #look(replicas: Parameters<Leaderships['see']>[0]): void {
    for (const change of this.#leaderships.see(replicas)) {
      this.#changes.push(change)
      const at = seconds(performance.now() - this.#startedMs)
      process.stderr.write(`${at}: ${describeChange(change)}\n`)
    }
  }

  async #sampleUntil(endMs: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const leftMs = endMs - performance.now()
      if (leftMs <= 0) return
      await sleep(Math.min(SAMPLE_EVERY_MS, leftMs), undefined, { signal })
      for (const [at, { pid }] of this.#cluster.nodes.entries())
        this.#memory[at]!.add(performance.now(), residentBytes(pid))
    }
  }

  async #count(): Promise<LoadCount> {
    return (await this.#ask({ type: 'count' })) as LoadCount
  }

  #ask(request: LoadRequest): Promise<unknown> {
    return this.#load.ask(request)
  }
}

function describeChange({ group, from, to }: LeaderChange): string {
  return `${group}: ${describeLeadership(from)}, then ${describeLeadership(to)}`
}

function signed(bytes: number): string {
  return `${bytes < 0 ? '' : '+'}${mebibytes(bytes)}`
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(0)} s`
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
