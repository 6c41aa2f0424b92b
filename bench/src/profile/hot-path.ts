/**
 * The hot path under watch: three nodes and a client as in `pnpm bench peers`, each with a probe, and a workload of which the
 * measured part alone is watched, in the leader, one follower and the client.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LocalCluster } from '@millrace/testkit'
import { ClientHandle } from '../peers/client-handle.ts'
import type { Cluster } from '../peers/cluster.ts'
import { contestsOf, type Entry } from '../peers/contests.ts'
import type { Measured, Order, WindowEdge } from '../peers/orders.ts'
import { asCluster } from '../peers/servers/millrace.ts'
import type { HotPathOptions } from './options.ts'
import { Probes } from './probes.ts'

/** Of values: an append ends earlier when it has written so much, so that disks are not filled up. */
const BYTES_MAX = 2e9
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const EXIT_FAILED = 1
const EXIT_USAGE = 2
const EXIT_INTERRUPTED = 130

/** One of the processes that are watched. */
export interface Watched {
  readonly name: 'leader' | 'follower' | 'client'
  /** With the number of the node. */
  readonly role: string
  readonly pid: number
}

/** What to do when the measured part begins and when it has ended; the client waits. */
export interface Watch {
  begin(watched: readonly Watched[]): Promise<void>
  end(watched: readonly Watched[]): Promise<void>
}

export interface Chosen {
  readonly title: string
  readonly entry: Entry
}

/** What was measured, and how long it took. */
export interface Carried {
  readonly measured: Measured
  readonly ms: number
}

/**
 * Runs a benchmark of the hot path: parses its command line, starts the processes, hands over each part of the workload
 * that was asked for, and ends everything.
 *
 * @param parse throws where the command line is wrong
 */
export async function benchHotPath<Options extends HotPathOptions>(
  name: string,
  parse: () => Options,
  run: (hotPath: HotPath, options: Options, chosen: readonly Chosen[]) => Promise<void>,
): Promise<void> {
  let options: Options
  let chosen: readonly Chosen[]
  try {
    options = parse()
    chosen = entriesOf(options)
  } catch (error) {
    process.stderr.write(`bench ${name}: ${(error as Error).message}\n`)
    process.exitCode = EXIT_USAGE
    return
  }
  const stop = new AbortController()
  for (const signal of SIGNALS) process.once(signal, () => stop.abort(new Error('interrupted')))
  try {
    await using hotPath = await HotPath.start(options, stop.signal)
    await run(hotPath, options, chosen)
  } catch (error) {
    if (!stop.signal.aborted) throw error
    process.exitCode = EXIT_INTERRUPTED
  }
}

/** What of the workload was asked for. */
function entriesOf({ workload, only }: HotPathOptions): readonly Chosen[] {
  const all = contestsOf([workload], ['millrace'], false).flatMap(({ title, entries }) =>
    entries.map(entry => ({ title: `${workload} ${title}`, entry })),
  )
  const chosen = all.filter(({ title, entry }) => `${title}: ${entry.way}`.includes(only))
  if (chosen.length > 0) return chosen
  const there = all.map(({ title, entry }) => `"${title}: ${entry.way}"`).join(', ')
  throw new RangeError(`--only: nothing has "${only}" in it; there are ${there}`)
}

export class HotPath implements AsyncDisposable {
  readonly probes: Probes
  readonly #cluster: Cluster
  readonly #client: ClientHandle
  readonly #stack: AsyncDisposableStack
  readonly #durationMs: number
  readonly #signal: AbortSignal

  private constructor(
    probes: Probes,
    processes: { readonly cluster: Cluster; readonly client: ClientHandle },
    stack: AsyncDisposableStack,
    durationMs: number,
    signal: AbortSignal,
  ) {
    this.probes = probes
    this.#cluster = processes.cluster
    this.#client = processes.client
    this.#stack = stack
    this.#durationMs = durationMs
    this.#signal = signal
  }

  static async start({ dir, durationMs }: HotPathOptions, signal: AbortSignal): Promise<HotPath> {
    await using stack = new AsyncDisposableStack()
    const folder = mkdtempSync(join(dir, 'millrace-profile-'))
    stack.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
    const sockets = mkdtempSync(join(tmpdir(), 'probes-'))
    stack.defer(() => rmSync(sockets, { recursive: true, force: true }))
    const probes = new Probes(sockets)
    using _installed = probes.install()
    const cluster = await asCluster(folder, LocalCluster)
    stack.use(cluster)
    const client = await ClientHandle.start(cluster.client, () => undefined, signal)
    stack.defer(() => client.end())
    return new HotPath(probes, { cluster, client }, stack.move(), durationMs, signal)
  }

  /** Of the nodes. */
  get version(): string {
    return this.#cluster.version
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync()
  }

  /** Carries out one part of the workload, with warm-up and check, under watch while it is measured. */
  async carryOut({ title, entry }: Chosen, watch: Watch): Promise<Carried> {
    process.stderr.write(`${title}: ${entry.way}\n`)
    let watched: readonly Watched[] = []
    let [startedMs, ms, led] = [0, 0, 0]
    const window = async ({ edge, leader }: WindowEdge): Promise<void> => {
      if (edge === 'begin') {
        led = leader
        watched = this.#watched(leader)
        await watch.begin(watched)
        startedMs = performance.now()
        return
      }
      ms = performance.now() - startedMs
      await watch.end(watched)
      if (leader !== led) process.stdout.write(`node ${led} led when this began, node ${leader} when it ended\n`)
    }
    const metered = { servers: this.#cluster.pids(), others: [] }
    const order = lengthened(entry.order, this.#durationMs)
    const measured = await this.#client.carryOut(order, metered, this.#signal, { window })
    if (Object.values(measured.faults).some(count => count > 0)) process.exitCode = EXIT_FAILED
    return { measured, ms }
  }

  #watched(leader: number): readonly Watched[] {
    const pids = this.#cluster.pids()
    // The node after the leader: any follower does the same.
    const follower = (leader % pids.length) + 1
    return [
      { role: `leader (node ${leader})`, name: 'leader', pid: pids[leader - 1]! },
      { role: `follower (node ${follower})`, name: 'follower', pid: pids[follower - 1]! },
      { role: 'client', name: 'client', pid: this.#client.pid },
    ]
  }
}

function lengthened(order: Order, durationMs: number): Order {
  if (order.type === 'append') return { ...order, durationMs, recordsMax: Math.floor(BYTES_MAX / order.recordBytes) }
  if (order.type === 'read') return { ...order, durationMs }
  throw new Error(`${order.type} cannot be watched`)
}
