/**
 * Millrace beside other replicated logs, and beside what disk and sockets do without one: the same workloads on the same
 * machine in turns, A-B-A-B, every record checked. docs/internals/performance.md says what the columns mean.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ClientHandle } from './peers/client-handle.ts'
import type { Cluster, PeerSettings, StartCluster } from './peers/cluster.ts'
import { type Contest, contestsOf, type Entry } from './peers/contests.ts'
import { DiskProbe } from './peers/disk-probe.ts'
import { type PeerOptions, peerOptions } from './peers/options.ts'
import type { Durability, Measured, Metered, SystemName } from './peers/orders.ts'
import { cpuMsOf, forgetPeaks, monotonicMs, peakRssBytes } from './peers/process-figures.ts'
import { type Block, describeMachine, faultsOf, markdown, type Report, type Row, type Turn } from './peers/report.ts'
import { startBareCluster } from './peers/servers/bare.ts'
import { startKafkaCluster } from './peers/servers/kafka.ts'
import { startMillraceCluster } from './peers/servers/millrace.ts'
import { startNatsCluster } from './peers/servers/nats.ts'
import { untilInterrupted } from './until-interrupted.ts'

const START: Readonly<Record<SystemName, StartCluster>> = {
  millrace: startMillraceCluster,
  bare: startBareCluster,
  nats: startNatsCluster,
  kafka: startKafkaCluster,
}

const PROBE_WRITES = { full: 200, quick: 30 }
/** Records flow for so long before their leader is killed. */
const BEFORE_KILL_MS = 1_000
/** Below so many cores the servers of other systems count as idle; longer than the limit no turn waits for that. */
const CALM_CORES = 0.1
const CALM_LOOK_MS = 500
const CALM_LIMIT_MS = 5_000
const EXIT_FAILED = 1

interface Contestant {
  readonly system: SystemName
  readonly cluster: Cluster
  /** Another one when a turn has failed: nobody knows what the one before was still doing. */
  client: ClientHandle
}

/** Systems that run, and for the others why not. */
type Contestants = ReadonlyMap<SystemName, Contestant | string>

/** A system that is installed and does not start: its own words say more than a stack. */
class StartError extends Error {}

/** `pnpm bench peers [--systems …] [--workloads …] [--durability …] [--quick] [--turns N] [--peers DIR] [--dir FOLDER] [--json FILE]` */
export async function benchPeers(args: readonly string[]): Promise<void> {
  let options: PeerOptions
  try {
    options = peerOptions(args)
  } catch (error) {
    process.stderr.write(`bench peers: ${(error as Error).message}\n`)
    process.exitCode = 2
    return
  }
  await untilInterrupted(async signal => {
    try {
      await run(options, signal)
    } catch (error) {
      if (signal.aborted || !(error instanceof StartError)) throw error
      progress(`bench peers: ${error.message}`)
      process.exitCode = EXIT_FAILED
    }
  })
}

async function run(options: PeerOptions, signal: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const folder = mkdtempSync(join(options.dir, 'millrace-peers-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  const startedAt = new Date().toISOString()
  const probe = stack.use(new DiskProbe(join(folder, 'probe')))
  const versions: Record<string, string> = {}
  const blocks: Block[] = []
  for (const durability of options.durabilities) {
    const own = join(folder, durability)
    mkdirSync(own)
    const rows = await measureAll(options, durability, { folder: own, probe, versions }, signal)
    blocks.push({ durability, rows })
  }
  const report: Report = {
    startedAt,
    turns: options.turns,
    quick: options.quick,
    versions,
    machine: describeMachine(),
    fsync: probe.latency,
    blocks,
  }
  process.stdout.write(markdown(report))
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`)
  if (blocks.some(({ rows }) => rows.some(isBad))) process.exitCode = EXIT_FAILED
}

interface Bench {
  readonly folder: string
  readonly probe: DiskProbe
  /** By system, filled in here. */
  readonly versions: Record<string, string>
}

/** All contests with systems that acknowledge like that, started for them. */
async function measureAll(
  options: PeerOptions,
  durability: Durability,
  { folder, probe, versions }: Bench,
  signal: AbortSignal,
): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack()
  // What bare writes and sockets cost is shown once.
  const systems = options.systems.filter(system => durability === 'same' || system !== 'bare')
  const contestants = await startAll(systems, { ...options.peers, durability }, folder, stack, signal)
  for (const [system, contestant] of contestants)
    versions[system] = typeof contestant === 'string' ? `not run: ${contestant}` : contestant.cluster.version
  const rows: Row[] = []
  for (const contest of contestsOf(options.workloads, systems, options.quick)) {
    probe.measure(options.quick ? PROBE_WRITES.quick : PROBE_WRITES.full)
    rows.push(...(await hold(contest, contestants, options.turns, signal)))
  }
  return rows
}

/** A record that is not as it should be, or a system that could not go on; one that is not installed is no failure. */
function isBad(row: Row): boolean {
  const { lost, duplicated, reordered, foreign } = faultsOf(row)
  // Producers of Kafka that are not idempotent promise no order with several requests in flight: shown, no failure.
  const promisesOrder = row.system !== 'kafka' || row.way.startsWith('java')
  const disorder = promisesOrder ? reordered : 0
  return lost + duplicated + foreign + disorder > 0 || row.failed === true
}

async function startAll(
  systems: readonly SystemName[],
  settings: PeerSettings,
  folder: string,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<Contestants> {
  const contestants = new Map<SystemName, Contestant | string>()
  for (const system of systems) {
    signal.throwIfAborted()
    progress(`starting ${system}`)
    const own = join(folder, system)
    mkdirSync(own)
    const cluster = await START[system](own, settings).catch(error => {
      throw new StartError(`${system} cannot be started: ${(error as Error).message}`, { cause: error })
    })
    if ('notRun' in cluster) {
      progress(`${system} is not run: ${cluster.notRun}`)
      contestants.set(system, cluster.notRun)
      continue
    }
    stack.use(cluster)
    const contestant: Contestant = { system, cluster, client: await connectTo(system, cluster, signal) }
    stack.defer(() => contestant.client.end())
    contestants.set(system, contestant)
  }
  return contestants
}

async function connectTo(system: SystemName, cluster: Cluster, signal: AbortSignal): Promise<ClientHandle> {
  const check = (): void => {
    for (const server of cluster.servers ?? []) server.check()
  }
  try {
    return await ClientHandle.start(cluster.client, check, signal)
  } catch (error) {
    if (signal.aborted) throw error
    const logs = (cluster.servers ?? []).map(server => `\n--- end of the log of ${server.name}\n${server.lastLines}`)
    throw new StartError(`${system} did not start: ${(error as Error).message}${logs.join('')}`, { cause: error })
  }
}

/** All entries in turns. One that fails takes no part in later turns. */
async function hold(
  contest: Contest,
  contestants: Contestants,
  turns: number,
  signal: AbortSignal,
): Promise<readonly Row[]> {
  const { workload, title, entries } = contest
  const results = entries.map((entry): { turns: Turn[]; notRun?: string; failed?: boolean } => {
    const contestant = contestants.get(entry.system) as Contestant | string
    const notRun = typeof contestant === 'string' ? contestant : contestant.cluster.waysNotRun?.[entry.way]
    return notRun === undefined ? { turns: [] } : { turns: [], notRun }
  })
  for (let turn = 1; turn <= turns; turn++) {
    for (const [at, entry] of entries.entries()) {
      const result = results[at]!
      if (result.notRun !== undefined) continue
      progress(`${workload} ${title}: ${entry.system}, ${entry.way} (${turn} of ${turns})`)
      try {
        result.turns.push(await takeTurn(entry, contestants, signal))
      } catch (error) {
        if (signal.aborted) throw error
        result.notRun = (error as Error).message
        result.failed = true
        progress(`${entry.system}: ${result.notRun}`)
        await renewClient(contestants.get(entry.system) as Contestant, signal)
      }
    }
  }
  return entries.map(({ system, way }, at) => ({ workload, title, system, way, ...results[at]! }))
}

async function renewClient(contestant: Contestant, signal: AbortSignal): Promise<void> {
  await contestant.client.end()
  contestant.client = await connectTo(contestant.system, contestant.cluster, signal)
}

async function takeTurn(entry: Entry, contestants: Contestants, signal: AbortSignal): Promise<Turn> {
  const { cluster, client } = contestants.get(entry.system) as Contestant
  const metered: Metered = {
    servers: cluster.pids(),
    others: [...contestants.values()].flatMap(other =>
      typeof other === 'string' || other.cluster === cluster ? [] : other.cluster.pids(),
    ),
  }
  await untilCalm(metered.others, signal)
  forgetPeaks(metered.servers)
  const measured =
    entry.order.type === 'failover'
      ? await failOver(entry, cluster, client, metered, signal)
      : await client.carryOut(entry.order, metered, signal)
  const peaks = cluster.pids().flatMap(pid => peakRssBytes(pid) ?? [])
  return { measured, peakRssBytes: peaks.length === 0 ? undefined : Math.max(...peaks) }
}

/** Lets the servers of the turn before finish what that left them to do, such as removing a topic. */
async function untilCalm(pids: readonly number[], signal: AbortSignal): Promise<void> {
  for (let waitedMs = 0; waitedMs < CALM_LIMIT_MS; waitedMs += CALM_LOOK_MS) {
    const before = cpuMsOf(pids)
    await sleep(CALM_LOOK_MS, undefined, { signal })
    if (cpuMsOf(pids) - before < CALM_CORES * CALM_LOOK_MS) return
  }
}

async function failOver(
  entry: Entry,
  cluster: Cluster,
  client: ClientHandle,
  metered: Metered,
  signal: AbortSignal,
): Promise<Measured> {
  let victim = 0
  const killLeader = async (node: number): Promise<number> => {
    victim = node
    await sleep(BEFORE_KILL_MS)
    const atMs = monotonicMs()
    await cluster.kill(node)
    return atMs
  }
  let measured: Measured
  try {
    measured = await client.carryOut(entry.order, metered, signal, { leading: killLeader })
  } finally {
    if (victim !== 0 && !signal.aborted) await cluster.restart(victim)
  }
  const { faults } = await client.carryOut({ type: 'verify' }, metered, signal)
  return { ...measured, faults }
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}
