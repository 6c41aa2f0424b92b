/**
 * A cluster on the real log store and on disks of its own, which stall, fill up, fail and lose their power when a test says
 * so. The clocks of the stores stand still until a test moves them.
 */
import { type LogError, type LogStore, openSegmentedLogStore } from '@millrace/log-store'
import { FaultDisk, ManualClock, seededRandom } from '@millrace/log-store/testing'
import { TestCluster, type TestClusterOptions } from './test-cluster.ts'
import { until } from './until.ts'

const RESERVE_BYTES = 1 << 20

/** Names of the files whose syncs wait end like this: those of segments, or the votes. */
type Stallable = '.log' | '/votes'

interface Stall {
  readonly files: Stallable
  readonly over: Promise<void>
  readonly end: () => void
  /** Syncs that wait. */
  waiting: number
}

export class FaultyCluster {
  readonly disks: Map<number, FaultDisk> = new Map()
  readonly clocks: Map<number, ManualClock> = new Map()
  /** What stores have said by `onFatal`. */
  readonly fatal: { readonly node: number; readonly error: LogError }[] = []
  readonly c: TestCluster
  readonly #random = seededRandom(1)
  readonly #full = new Set<number>()
  readonly #stalls = new Map<number, Stall>()
  readonly #failing = new Set<number>()

  private constructor(options: TestClusterOptions) {
    this.c = new TestCluster({
      ...options,
      openStore: node => this.#open(node),
      // As when a process ends: no write is finished, and none answered.
      crashStore: async () => undefined,
    })
  }

  static async start(options: TestClusterOptions = {}): Promise<FaultyCluster> {
    const cluster = new FaultyCluster(options)
    for (const node of cluster.c.nodeIds) await cluster.c.startNode(node)
    return cluster
  }

  /** Syncs of these files of a node wait, from now on. */
  stall(node: number, files: Stallable): void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#stalls.set(node, { files, over: promise, end: resolve, waiting: 0 })
  }

  /** Until a sync waits; everything before it is written. */
  async stalled(node: number): Promise<void> {
    await until('a sync waits', () => (this.#stalls.get(node)?.waiting ?? 0) > 0)
  }

  goOn(node: number): void {
    this.#stalls.get(node)?.end()
    this.#stalls.delete(node)
  }

  /** Syncs of these nodes fail, until they lose their power. */
  fail(nodes: readonly number[]): void {
    for (const node of nodes) this.#failing.add(node)
  }

  /** From now on a measurement of the free space finds none on any node, or enough again. */
  async fillUp(full: boolean): Promise<void> {
    for (const node of this.c.nodeIds) {
      if (full) this.#full.add(node)
      else this.#full.delete(node)
      this.clocks.get(node)!.advance(1_000)
    }
    const stores = (): LogStore[] => [...this.c.up.values()].map(({ store }) => store)
    await until('every store has noticed', () => stores().every(store => store.acceptsAppends === !full))
  }

  /** Kills the process of a node; its disk is seen by the next one as it was written, synced or not. */
  async kill(node: number): Promise<void> {
    this.disks.set(node, this.disks.get(node)!.kill())
    await this.c.kill(node)
  }

  /** Ends a node in good order. */
  async shutdown(node: number): Promise<void> {
    const running = this.c.up.get(node)!
    this.c.up.delete(node)
    await running.node.shutdown()
    await running.store.close()
    this.disks.set(node, this.disks.get(node)!.clone())
  }

  /** Cuts the last sector off the log of a node that does not run. */
  cutLog(node: number): void {
    const disk = this.disks.get(node)!
    const newest = disk
      .files()
      .filter(path => path.startsWith('log/groups') && path.endsWith('.log'))
      .toSorted()
      .at(-1)!
    const bytes = disk.contentOf(newest)
    const used = 512 * Math.ceil((bytes.findLastIndex(byte => byte !== 0) + 1) / 512)
    disk.replace(newest, bytes.slice(0, used - 512))
  }

  /** All machines lose power at once, and start again with what their disks had made durable. */
  async losePower(): Promise<void> {
    for (const node of this.c.nodeIds) this.disks.set(node, this.disks.get(node)!.losePower())
    for (const node of [...this.c.up.keys()]) await this.c.kill(node)
    this.#failing.clear()
    this.#stalls.clear()
    for (const node of this.c.nodeIds) await this.c.startNode(node)
  }

  stop(): Promise<void> {
    for (const node of this.c.nodeIds) this.goOn(node)
    return this.c.stop()
  }

  #open(node: number): Promise<LogStore> {
    const disk = this.disks.get(node) ?? new FaultDisk(seededRandom(node))
    const clock = new ManualClock()
    this.disks.set(node, disk)
    this.clocks.set(node, clock)
    disk.faults.delay = (operation, path) => {
      const stall = this.#stalls.get(node)
      if (operation !== 'datasync' || stall === undefined || !path.endsWith(stall.files)) return undefined
      stall.waiting += 1
      return stall.over
    }
    disk.faults.failing = operation => {
      if (operation === 'freeBytes') return this.#full.has(node) ? 'ENOSPC' : undefined
      return operation === 'datasync' && this.#failing.has(node) ? 'EIO' : undefined
    }
    return openSegmentedLogStore({
      ...{ dir: 'log', disk, clock, diskReserveBytes: RESERVE_BYTES, segmentBytesMax: 8_192 },
      random: bytes => {
        for (let at = 0; at < bytes.length; at++) bytes[at] = this.#random() * 256
      },
      onFatal: error => this.fatal.push({ node, error }),
      onProblem: () => undefined,
    })
  }
}
