/**
 * Where the time of the hot path goes: three nodes and a client as in `pnpm bench peers`, with a CPU profile of the leader,
 * of one follower and of the client, taken while a workload is measured. Profiling slows all of them: shares count, rates
 * do not.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeFaults } from '@millrace/cli/bench'
import { ClientHandle } from './peers/client-handle.ts'
import type { Cluster } from './peers/cluster.ts'
import { contestsOf, type Entry } from './peers/contests.ts'
import type { Measured, Order, WindowEdge } from './peers/orders.ts'
import { cpuOfThreads, type ThreadCpu } from './peers/process-figures.ts'
import { startMillraceCluster } from './peers/servers/millrace.ts'
import { type ProfileOptions, profileOptions } from './profile/options.ts'
import { Probes } from './profile/probes.ts'
import { type CpuProfile, selfTimes } from './profile/self-times.ts'
import { busyText, functionTable, packageTable, threadsText } from './profile/tables.ts'
import { grouped } from './statistics.ts'

/** As Node names it. */
const MAIN_THREAD = 'MainThread'
/** Of values: an append ends earlier when it has written so much, so that disks are not filled up. */
const BYTES_MAX = 2e9
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const EXIT_USAGE = 2
const EXIT_FAILED = 1
const EXIT_INTERRUPTED = 130

interface Chosen {
  readonly title: string
  readonly entry: Entry
}

/** One process while it is profiled. */
interface Profiled {
  readonly role: string
  readonly pid: number
  readonly file: string
  readonly threads: ReadonlyMap<string, ThreadCpu>
}

interface Taken extends Profiled {
  readonly cpu: ReadonlyMap<string, ThreadCpu>
}

/** `pnpm bench profile W1 [--only TEXT] [--seconds 5] [--interval-us 500] [--rows 25] [--out DIR] [--dir FOLDER]` */
export async function benchProfile(args: readonly string[]): Promise<void> {
  let options: ProfileOptions
  let chosen: readonly Chosen[]
  try {
    options = profileOptions(args)
    chosen = entriesOf(options)
  } catch (error) {
    process.stderr.write(`bench profile: ${(error as Error).message}\n`)
    process.exitCode = EXIT_USAGE
    return
  }
  const stop = new AbortController()
  for (const name of SIGNALS) process.once(name, () => stop.abort(new Error('interrupted')))
  try {
    await run(options, chosen, stop.signal)
  } catch (error) {
    if (!stop.signal.aborted) throw error
    process.exitCode = EXIT_INTERRUPTED
  }
}

/** What of the workload was asked for. */
function entriesOf({ workload, only }: ProfileOptions): readonly Chosen[] {
  const all = contestsOf([workload], ['millrace'], false).flatMap(({ title, entries }) =>
    entries.map(entry => ({ title: `${workload} ${title}`, entry })),
  )
  const chosen = all.filter(({ title, entry }) => `${title}: ${entry.way}`.includes(only))
  if (chosen.length > 0) return chosen
  const there = all.map(({ title, entry }) => `"${title}: ${entry.way}"`).join(', ')
  throw new RangeError(`--only: nothing has "${only}" in it; there are ${there}`)
}

async function run(options: ProfileOptions, chosen: readonly Chosen[], signal: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const folder = mkdtempSync(join(options.dir, 'millrace-profile-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  const sockets = mkdtempSync(join(tmpdir(), 'probes-'))
  stack.defer(() => rmSync(sockets, { recursive: true, force: true }))
  const out = options.out ?? mkdtempSync(join(tmpdir(), 'millrace-profiles-'))
  mkdirSync(out, { recursive: true })
  const probes = new Probes(sockets)
  const { cluster, client } = await start(folder, probes, stack, signal)
  process.stdout.write(`${cluster.version}, Node ${process.version}; profiles in ${out}\n`)
  for (const { title, entry } of chosen)
    await new ProfiledRun(cluster, client, probes, { ...options, out }, title).carryOut(entry, signal)
}

async function start(
  folder: string,
  probes: Probes,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<{ cluster: Cluster; client: ClientHandle }> {
  using _installed = probes.install()
  const cluster = await startMillraceCluster(folder)
  stack.use(cluster)
  const client = await ClientHandle.start(cluster.client, () => undefined, signal)
  stack.defer(() => client.end())
  return { cluster, client }
}

class ProfiledRun {
  readonly #cluster: Cluster
  readonly #client: ClientHandle
  readonly #probes: Probes
  readonly #options: ProfileOptions & { readonly out: string }
  readonly #title: string
  #leader = 0
  #startedMs = 0
  #ms = 0
  #profiled: readonly Profiled[] = []
  #taken: readonly Taken[] = []

  constructor(
    cluster: Cluster,
    client: ClientHandle,
    probes: Probes,
    options: ProfileOptions & { readonly out: string },
    title: string,
  ) {
    this.#cluster = cluster
    this.#client = client
    this.#probes = probes
    this.#options = options
    this.#title = title
  }

  async carryOut({ way, order }: Entry, signal: AbortSignal): Promise<void> {
    process.stderr.write(`${this.#title}: ${way}\n`)
    const metered = { servers: this.#cluster.pids(), others: [] }
    const window = (edge: WindowEdge): Promise<void> =>
      edge.edge === 'begin' ? this.#begin(edge, way) : this.#end(edge)
    const measured = await this.#client.carryOut(this.#lengthened(order), metered, signal, { window })
    this.#print(way, measured)
    if (Object.values(measured.faults).some(count => count > 0)) process.exitCode = EXIT_FAILED
  }

  #lengthened(order: Order): Order {
    const { durationMs } = this.#options
    if (order.type === 'append') return { ...order, durationMs, recordsMax: Math.floor(BYTES_MAX / order.recordBytes) }
    if (order.type === 'read') return { ...order, durationMs }
    throw new Error(`${order.type} cannot be profiled`)
  }

  async #begin({ leader }: WindowEdge, way: string): Promise<void> {
    this.#leader = leader
    const pids = this.#cluster.pids()
    // The node after the leader: any follower does the same.
    const follower = (leader % pids.length) + 1
    const chosen = [
      { role: `leader (node ${leader})`, name: 'leader', pid: pids[leader - 1]! },
      { role: `follower (node ${follower})`, name: 'follower', pid: pids[follower - 1]! },
      { role: 'client', name: 'client', pid: this.#client.pid },
    ]
    const stem = `${this.#title} ${way}`
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replace(/-$/, '')
    this.#profiled = chosen.map(({ role, name, pid }) => ({
      role,
      pid,
      file: join(this.#options.out, `${stem}-${name}.cpuprofile`),
      threads: cpuOfThreads(pid),
    }))
    const { intervalUs } = this.#options
    await Promise.all(this.#profiled.map(({ pid }) => this.#probes.ask(pid, { type: 'start', intervalUs })))
    this.#startedMs = performance.now()
  }

  async #end({ leader }: WindowEdge): Promise<void> {
    this.#ms = performance.now() - this.#startedMs
    if (leader !== this.#leader)
      process.stdout.write(`node ${this.#leader} led when this began, node ${leader} when it ended\n`)
    this.#taken = this.#profiled.map(one => ({ ...one, cpu: difference(cpuOfThreads(one.pid), one.threads) }))
    await Promise.all(this.#profiled.map(({ pid, file }) => this.#probes.ask(pid, { type: 'stop', file })))
  }

  #print(way: string, { records, recordBytes, faults }: Measured): void {
    const perSecond = records / (this.#ms / 1_000)
    const rate = `${grouped(perSecond)} records/s, ${((perSecond * recordBytes) / 1e6).toFixed(1)} MB/s`
    const lines = [
      `\n# ${this.#title}: ${way}`,
      `${grouped(records)} records in ${(this.#ms / 1_000).toFixed(2)} s while profiled: ${rate}; check ${describeFaults(faults)}`,
    ]
    for (const { role, file, cpu } of this.#taken) {
      const times = selfTimes(JSON.parse(readFileSync(file, 'utf8')) as CpuProfile)
      lines.push(
        `\n## ${role}: ${file}`,
        `threads: ${threadsText(cpu, this.#ms)}`,
        busyText(times, cpu.get(MAIN_THREAD)),
        '',
        ...packageTable(times, records),
        '',
        ...functionTable(times, records, this.#options.rows),
      )
    }
    process.stdout.write(`${lines.join('\n')}\n`)
  }
}

function difference(
  now: ReadonlyMap<string, ThreadCpu>,
  before: ReadonlyMap<string, ThreadCpu>,
): ReadonlyMap<string, ThreadCpu> {
  return new Map(
    [...now].map(([name, { userMs, systemMs }]) => {
      const base = before.get(name) ?? { userMs: 0, systemMs: 0 }
      return [name, { userMs: userMs - base.userMs, systemMs: systemMs - base.systemMs }]
    }),
  )
}
