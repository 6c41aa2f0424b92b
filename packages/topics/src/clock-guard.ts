/**
 * Whether this node's time of day may decide what is deleted. A clock that was set, by hand or by a server that is wrong,
 * would make records look older than they are; a monotonic clock is never set, so the two move apart then.
 *
 * Says nothing of a clock that was wrong before the node started.
 */
import type { Clock } from '@millrace/raft-node'

type BothClocks = Pick<Clock, 'wallMs' | 'monotonicMs'>

export class ClockGuard {
  readonly #clock: BothClocks
  readonly #skewMaxMs: number
  /** Wall clock less monotonic clock, when the node started. */
  readonly #apartMs: number

  constructor(clock: BothClocks, skewMaxMs: number) {
    this.#clock = clock
    this.#skewMaxMs = skewMaxMs
    this.#apartMs = clock.wallMs() - clock.monotonicMs()
  }

  /** By how much the time of day was moved since the start, ms; above 0: forward. */
  get movedMs(): number {
    return this.#clock.wallMs() - this.#clock.monotonicMs() - this.#apartMs
  }

  /** The time of day, or undefined where it is not to be trusted. */
  trusted(): number | undefined {
    return Math.abs(this.movedMs) <= this.#skewMaxMs ? this.#clock.wallMs() : undefined
  }
}
