/** Bytes per second over everybody who asks, first come, first served. Idle time is not saved up. */
import type { Clock } from './node.ts'

export class RateLimit {
  readonly #clock: Pick<Clock, 'monotonicMs' | 'setTimer'>
  readonly #bytesPerSecondMax: number
  /** When everything that was granted so far is through. */
  #freeAtMs = 0

  constructor(clock: Pick<Clock, 'monotonicMs' | 'setTimer'>, bytesPerSecondMax: number) {
    this.#clock = clock
    this.#bytesPerSecondMax = bytesPerSecondMax
  }

  /** Calls `run` when `bytes` may go: after all that was asked for before. @returns gives up */
  after(bytes: number, run: () => void): { cancel(): void } {
    const nowMs = this.#clock.monotonicMs()
    const startMs = Math.max(nowMs, this.#freeAtMs)
    this.#freeAtMs = startMs + (bytes / this.#bytesPerSecondMax) * 1_000
    return this.#clock.setTimer(startMs - nowMs, run)
  }
}
