/**
 * One life of a node's process: everything that waits for time in it. Once it has ended nothing of it runs any more,
 * however many promises it had; while it is paused, all that falls due waits.
 */
import type { Clock, Timer } from '@millrace/log-store'
import type { World } from './world.ts'

/** The wall clock at the start of a run, milliseconds. */
const STARTED_MS = 1_700_000_000_000

export class SimProcess {
  readonly #world: World
  /** The rate of its clock: its seconds per second of true time. */
  readonly #clockRate: number
  /** Where what falls due during a pause goes; undefined while it runs. */
  #waiting: (() => void)[] | undefined
  #isAlive = true

  constructor(world: World, clockRate: number) {
    this.#world = world
    this.#clockRate = clockRate
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  /** The monotonic clock, in milliseconds. */
  get nowMs(): number {
    return (this.#world.queue.nowUs * this.#clockRate) / 1000
  }

  /** Runs something after a delay in true microseconds, if the process lives by then. */
  after(delayUs: number, run: () => void): void {
    this.#world.queue.after(delayUs, () => this.#due(run))
  }

  end(): void {
    this.#isAlive = false
    this.#waiting = undefined
  }

  pause(): void {
    this.#waiting ??= []
  }

  resume(): void {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    for (const run of waiting) this.after(0, run)
  }

  /** The clock of the log store. */
  readonly clock: Clock = {
    wallMs: () => STARTED_MS + Math.floor(this.nowMs),
    monotonicMs: () => this.nowMs,
    later: task => this.after(0, task),
    after: (ms, task) => this.#timer(ms, task),
  }

  #timer(ms: number, task: () => void): Timer {
    let isCancelled = false
    this.after(Math.round((ms * 1000) / this.#clockRate), () => {
      if (!isCancelled) task()
    })
    return {
      cancel: () => {
        isCancelled = true
      },
    }
  }

  #due(run: () => void): void {
    if (!this.#isAlive) return
    if (this.#waiting === undefined) run()
    else this.#waiting.push(run)
  }
}
