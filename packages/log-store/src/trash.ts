/**
 * Where removed files and folders go first: a rename, undone by hand if it was a mistake, emptied after a delay. Nothing
 * else in this package deletes data. Of what is deleted, segments may serve as space for new ones.
 */
import type { Clock, Timer } from './clock.ts'
import { type Disk, errnoOf } from './disk.ts'
import type { SpareSegments } from './spare-segments.ts'

export const TRASH_FOLDER = 'trash'
const SWEEP_INTERVAL_MS = 60_000
/** `<ms>-<count>-<group>-<segment>.log`, as `discardSegment` names it. */
const SEGMENT_NAME = /^\d+-\d+-\d+-[0-9a-f]{16}-[0-9a-f]{8}\.log$/

export class Trash {
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #folder: string
  readonly #keepMs: number
  readonly #spares: SpareSegments | null
  readonly #onProblem: (error: Error) => void
  #timer: Timer | null = null
  #stopped = false
  #count = 0

  /** @param spares may take segments whose time is over; null: everything is deleted */
  constructor(
    disk: Disk,
    clock: Clock,
    storeFolder: string,
    keepMs: number,
    onProblem: (error: Error) => void,
    spares: SpareSegments | null = null,
  ) {
    this.#disk = disk
    this.#clock = clock
    this.#folder = `${storeFolder}/${TRASH_FOLDER}`
    this.#keepMs = keepMs
    this.#spares = spares
    this.#onProblem = onProblem
  }

  async open(): Promise<void> {
    await this.#disk.makeFolder(this.#folder)
    this.#sweepLater()
  }

  /** Moves a file or folder here; quiet where it is gone already. `name` says what it was. */
  async take(path: string, name: string): Promise<void> {
    try {
      await this.#disk.rename(path, `${this.#folder}/${this.#clock.wallMs()}-${this.#count++}-${name}`)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** Deletes what has been here for longer than the delay. */
  async sweep(): Promise<void> {
    const before = this.#clock.wallMs() - this.#keepMs
    for (const name of await this.#disk.list(this.#folder)) {
      const takenMs = Number.parseInt(name, 10)
      if (Number.isNaN(takenMs) || takenMs > before || this.#stopped) continue
      const path = `${this.#folder}/${name}`
      if (this.#spares !== null && SEGMENT_NAME.test(name) && (await this.#spares.offer(path))) continue
      await this.#remove(path)
    }
  }

  #sweepLater(): void {
    this.#timer = this.#clock.after(Math.min(SWEEP_INTERVAL_MS, this.#keepMs), () => {
      const next = (): void => {
        if (!this.#stopped) this.#sweepLater()
      }
      this.sweep().then(next, (error: Error) => {
        this.#onProblem(error)
        next()
      })
    })
  }

  async #remove(path: string): Promise<void> {
    try {
      await this.#disk.removeFile(path)
    } catch (error) {
      // Linux says EISDIR, POSIX EPERM.
      if (errnoOf(error) !== 'EISDIR' && errnoOf(error) !== 'EPERM') throw error
      for (const name of await this.#disk.list(path)) await this.#disk.removeFile(`${path}/${name}`)
      await this.#disk.removeFolder(path)
    }
  }
}
