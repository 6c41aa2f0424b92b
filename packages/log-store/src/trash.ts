/**
 * Where removed files and folders go first: a rename, undone by hand if it was a mistake, emptied after a delay. Nothing
 * else in this package deletes data. Of what is deleted, segments may serve as space for new ones.
 *
 * No more than so many segments are kept, however much is written and removed meanwhile, and nothing on a full disk: what
 * retention has removed must not be what fills it.
 */
import type { Clock, Timer } from './clock.ts'
import { type Disk, errnoOf } from './disk.ts'
import type { SpareSegments } from './spare-segments.ts'

export const TRASH_FOLDER = 'trash'
const SWEEP_INTERVAL_MS = 60_000
/** `<ms>-<count>-<group>-<segment>.log`, as `discardSegment` names it. */
const SEGMENT_NAME = /^\d+-\d+-\d+-[0-9a-f]{16}-[0-9a-f]{8}\.log$/

export interface TrashOptions {
  readonly disk: Disk
  readonly clock: Clock
  /** Of the store; the trash is a folder in it. */
  readonly storeFolder: string
  readonly keepMs: number
  /** Segments kept for so long; of more the oldest are deleted at once. */
  readonly segmentsMax: number
  readonly onProblem: (error: Error) => void
  /** May take segments whose time is over; absent: everything is deleted. */
  readonly spares?: SpareSegments
}

/** Something in the trash, by its name. */
interface Removed {
  readonly name: string
  readonly takenMs: number
  readonly count: number
  readonly isSegment: boolean
}

export class Trash {
  readonly #options: TrashOptions
  readonly #folder: string
  #timer: Timer | null = null
  #stopped = false
  #count = 0
  /** Segments here, as far as is known: those that a process before left are counted by the first sweep. */
  #segments = 0
  /** Sweeps, one after the other. */
  #sweeping: Promise<void> = Promise.resolve()
  #sweepAsked = false

  constructor(options: TrashOptions) {
    this.#options = options
    this.#folder = `${options.storeFolder}/${TRASH_FOLDER}`
  }

  async open(): Promise<void> {
    await this.#options.disk.makeFolder(this.#folder)
    this.#sweepLater()
  }

  /** Moves a file or folder here; quiet where it is gone already. `name` says what it was. */
  async take(path: string, name: string): Promise<void> {
    const { disk, clock, segmentsMax } = this.#options
    const own = `${clock.wallMs()}-${this.#count++}-${name}`
    try {
      await disk.rename(path, `${this.#folder}/${own}`)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return
      throw error
    }
    if (SEGMENT_NAME.test(own) && ++this.#segments > segmentsMax) this.#sweepSoon()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** Deletes what has been here for longer than the delay, and the oldest segments where there are too many. */
  sweep(): Promise<void> {
    return this.#afterOthers(() => this.#sweep())
  }

  /** Deletes everything, the oldest first: the disk is full. */
  empty(): Promise<void> {
    return this.#afterOthers(async () => {
      for (const { name } of await this.#list()) await this.#remove(`${this.#folder}/${name}`)
      this.#segments = 0
    })
  }

  async #sweep(): Promise<void> {
    const { clock, keepMs, segmentsMax, spares } = this.#options
    const before = clock.wallMs() - keepMs
    const all = await this.#list()
    this.#segments = all.filter(({ isSegment }) => isSegment).length
    for (const { name, takenMs, isSegment } of all) {
      const isOver = takenMs <= before
      if (this.#stopped || !(isOver || (isSegment && this.#segments > segmentsMax))) continue
      const path = `${this.#folder}/${name}`
      if (isSegment) this.#segments--
      // Before its time is over a reader may still have it open, and must not see what is written over it.
      if (isSegment && isOver && spares !== undefined && (await spares.offer(path))) continue
      await this.#remove(path)
    }
  }

  /** What is here, the oldest first; nothing where the folder has not been made yet. */
  async #list(): Promise<readonly Removed[]> {
    const names = await this.#options.disk.list(this.#folder).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return []
      throw error
    })
    return names
      .map(name => {
        const [takenMs = Number.NaN, count = 0] = name.split('-', 2).map(Number)
        return { name, takenMs, count, isSegment: SEGMENT_NAME.test(name) }
      })
      .filter(({ takenMs }) => !Number.isNaN(takenMs))
      .sort((one, other) => one.takenMs - other.takenMs || one.count - other.count)
  }

  #afterOthers(work: () => Promise<void>): Promise<void> {
    const done = this.#sweeping.then(() => (this.#stopped ? undefined : work()))
    this.#sweeping = done.catch(() => undefined)
    return done
  }

  /** Once, for all that asked before it began. */
  #sweepSoon(): void {
    if (this.#sweepAsked || this.#stopped) return
    this.#sweepAsked = true
    this.#afterOthers(() => {
      this.#sweepAsked = false
      return this.#sweep()
    }).catch(this.#options.onProblem)
  }

  #sweepLater(): void {
    const { clock, keepMs, onProblem } = this.#options
    this.#timer = clock.after(Math.min(SWEEP_INTERVAL_MS, keepMs), () => {
      const next = (): void => {
        if (!this.#stopped) this.#sweepLater()
      }
      this.sweep().then(next, (error: Error) => {
        onProblem(error)
        next()
      })
    })
  }

  async #remove(path: string): Promise<void> {
    const { disk } = this.#options
    try {
      await disk.removeFile(path)
    } catch (error) {
      // Linux says EISDIR, POSIX EPERM.
      if (errnoOf(error) !== 'EISDIR' && errnoOf(error) !== 'EPERM') throw error
      for (const name of await disk.list(path)) await disk.removeFile(`${path}/${name}`)
      await disk.removeFolder(path)
    }
  }
}
