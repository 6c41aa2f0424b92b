/**
 * How full the disk is: asked about once a second, and told by whoever ran into the wall. Below the reserve client
 * appends are refused; what is left serves votes, no-ops and whatever frees space.
 */
import type { Clock, Timer } from './clock.ts'
import type { Disk } from './disk.ts'

const INTERVAL_MS = 1_000

export class SpaceWatch {
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #folder: string
  readonly #reserveBytes: number
  readonly #onLow: () => void
  #freeBytes = 0
  /** A write failed for lack of space and has not succeeded yet. */
  #full = 0
  #timer: Timer | null = null

  /** @param onLow called whenever less than the reserve is found, or a write lacks space: what is not needed can go */
  constructor(disk: Disk, clock: Clock, folder: string, reserveBytes: number, onLow: () => void) {
    this.#disk = disk
    this.#clock = clock
    this.#folder = folder
    this.#reserveBytes = reserveBytes
    this.#onLow = onLow
  }

  get acceptsAppends(): boolean {
    return this.#full === 0 && this.#freeBytes >= this.#reserveBytes
  }

  get freeBytes(): number {
    return this.#freeBytes
  }

  /** Takes the first measurement and goes on measuring until `stop`. */
  async start(): Promise<void> {
    await this.measure()
    this.#again()
  }

  async measure(): Promise<void> {
    this.#freeBytes = await this.#disk.freeBytes(this.#folder)
    if (this.#freeBytes < this.#reserveBytes) this.#onLow()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  /** A write waits for space. Returns what to call when it got it, or gave up. */
  noteFull(): () => void {
    this.#full++
    this.#onLow()
    return () => void this.#full--
  }

  #again(): void {
    this.#timer = this.#clock.after(INTERVAL_MS, () => {
      const next = (): void => {
        if (this.#timer !== null) this.#again()
      }
      // A file system that cannot say how full it is counts as full until it can.
      this.measure().then(next, () => {
        this.#freeBytes = 0
        next()
      })
    })
  }
}
