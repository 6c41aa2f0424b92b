/**
 * The disk of one node: a `FaultDisk`, in time. What makes something durable takes its time; all else is done at once,
 * as in a page cache. It can be slow, stand still, be full, and fail a sync. It outlives every process.
 */
import { FaultDisk } from '@millrace/log-store/testing'
import type { DiskPlan } from './plan.ts'
import type { RandomStream } from './random-stream.ts'
import type { SimProcess } from './sim-process.ts'
import type { World } from './world.ts'

/** What ends a process, seen from its disk. */
export type Ending =
  /** The kernel lives on: the next process sees everything that was written, synced or not. */
  | 'killed'
  /** What was not synced is there or not. */
  | 'powerLost'
  /** The same, sector by sector. */
  | 'powerLostTearing'

export class NodeDisk {
  /** Multiplies the time of every sync. */
  slowness = 1
  /** A bit has flipped, and no store has been opened since. */
  hasFlip = false
  /** There is no space before this time. */
  fullUntilUs = 0
  readonly #world: World
  readonly #random: RandomStream
  readonly #plan: DiskPlan
  #files: FaultDisk
  #stalledUntilUs = 0
  /** What would have been done, was it not for the stall. */
  #stalled: (() => void)[] = []
  #failsNextSync = false

  constructor(world: World) {
    this.#world = world
    this.#random = world.random.disk
    this.#plan = world.plan.disk
    this.#files = new FaultDisk(() => this.#random.fraction())
  }

  /** The files as the present process sees them. */
  get files(): FaultDisk {
    return this.#files
  }

  /** Lets a process use the disk. */
  attach(process: SimProcess): FaultDisk {
    this.#files.faults.delay = operation => this.#delay(process, operation)
    this.#files.faults.failing = operation => this.#failure(operation)
    return this.#files
  }

  /** The process that used the disk is gone. */
  detach(ending: Ending): void {
    this.#stalled = []
    this.#failsNextSync = false
    this.#files.faults.tears = ending === 'powerLostTearing'
    this.#files = ending === 'killed' ? this.#files.kill() : this.#files.losePower()
  }

  /** Nothing is done before `untilUs`. */
  stall(untilUs: number): void {
    this.#stalledUntilUs = Math.max(this.#stalledUntilUs, untilUs)
    this.#world.queue.at(untilUs, () => this.#goOn())
  }

  failNextSync(): void {
    this.#failsNextSync = true
  }

  /** Ends every fault. */
  heal(): void {
    this.slowness = 1
    this.fullUntilUs = 0
    this.#stalledUntilUs = 0
    this.#failsNextSync = false
    this.#goOn()
  }

  /** Flips a bit where there is a second copy, or what can be made anew. At most one until a store has opened. */
  flipInCopy(random: RandomStream): boolean {
    if (this.hasFlip) return false
    this.hasFlip = this.#flip(random, path => /(\/votes|\/mark-[ab]|\.index)$/.test(path))
    return this.hasFlip
  }

  /** Flips a bit in a log. */
  flipInFolder(folder: string, random: RandomStream): boolean {
    return this.#flip(random, path => path.startsWith(`${folder}/`) && /(\.log|\/base)$/.test(path))
  }

  /** Cuts the newest segment of a folder somewhere. */
  cutNewestSegment(folder: string, random: RandomStream): boolean {
    const path = this.#segments(folder).at(-1)
    if (path === undefined) return false
    const bytes = this.#files.contentOf(path)
    // What follows the last round is prepared space, and no loss.
    const end = bytes.findLastIndex(byte => byte !== 0) + 1
    this.#files.replace(path, bytes.slice(0, random.int(end)))
    return true
  }

  #flip(random: RandomStream, isMeant: (path: string) => boolean): boolean {
    const paths = this.#files.files().filter(isMeant).sort()
    if (paths.length === 0) return false
    const bytes = this.#files.contentOf(random.pick(paths))
    if (bytes.length === 0) return false
    const at = random.int(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.int(8))
    return true
  }

  /** Whether everything in the newest segment of a folder would survive. */
  isNewestSegmentDurable(folder: string): boolean {
    let newest: string | undefined
    for (const path of this.#files.files(`${folder}/`)) {
      if (path.endsWith('.log') && (newest === undefined || ageOf(path) > ageOf(newest))) newest = path
    }
    return newest === undefined || this.#files.isDurable(newest)
  }

  /** Segment files of a folder, oldest generation first. */
  #segments(folder: string): string[] {
    return this.#files
      .files(`${folder}/`)
      .filter(path => path.endsWith('.log'))
      .sort((a, b) => (ageOf(a) < ageOf(b) ? -1 : 1))
  }

  #delay(process: SimProcess, operation: string): Promise<void> | undefined {
    const syncs = operation === 'datasync' || operation === 'syncFolder'
    const stalled = this.#stalledUntilUs > this.#world.queue.nowUs
    if (!syncs && !stalled) return undefined
    const { writeLeastUs, writeMostUs } = this.#plan
    const us = syncs ? this.#random.between(writeLeastUs, writeMostUs) * this.slowness : 0
    return new Promise(resolve => {
      const done = (): void => {
        if (this.#stalledUntilUs > this.#world.queue.nowUs) this.#stalled.push(() => process.after(0, done))
        else resolve()
      }
      process.after(us, done)
    })
  }

  #goOn(): void {
    if (this.#stalledUntilUs > this.#world.queue.nowUs) return
    const stalled = this.#stalled
    this.#stalled = []
    for (const run of stalled) run()
  }

  #failure(operation: string): string | undefined {
    const { coverage, queue } = this.#world
    if (operation === 'datasync' && this.#failsNextSync) {
      this.#failsNextSync = false
      coverage.hit('syncError')
      return 'EIO'
    }
    if (this.fullUntilUs <= queue.nowUs || (operation !== 'writev' && operation !== 'freeBytes')) return undefined
    if (operation === 'writev') coverage.hit('diskFull')
    return 'ENOSPC'
  }
}

/** The end of a segment's name turned round, generation first: the newer the greater. */
function ageOf(path: string): string {
  const [base = '', generation = ''] = path.slice(path.lastIndexOf('/') + 1, -'.log'.length).split('-')
  return `${generation}-${base}`
}
