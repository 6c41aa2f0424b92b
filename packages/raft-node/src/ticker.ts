/**
 * The one timer behind the logical time of all groups. Groups that are not quiet are spread over a few phases, so that their heartbeats
 * and timeouts do not all fall into one turn; those of a phase share a message per peer.
 *
 * Ticks that a stalled process missed are not made up for: time that nobody lived through must not depose a leader.
 */
import type { GroupReplica } from './group-replica.ts'
import type { Clock } from './node.ts'

export const TICK_PHASES = 4

export interface TickerOptions {
  readonly clock: Clock
  /** One tick of a group. */
  readonly tickMs: number
  /** Those that are not quiet. */
  readonly replicas: Iterable<GroupReplica>
  /** Once per tick, for all the others. */
  readonly quietTick: () => void
  /** Asked before every phase: while it answers false no group ticks. */
  readonly mayTick: () => boolean
}

export class Ticker {
  readonly #options: TickerOptions
  #timer: { cancel(): void } | undefined
  #phase = 0
  #dueMs: number

  constructor(options: TickerOptions) {
    this.#options = options
    this.#dueMs = options.clock.monotonicMs()
  }

  start(): void {
    const { clock, tickMs } = this.#options
    const nowMs = clock.monotonicMs()
    this.#dueMs = Math.max(nowMs, this.#dueMs + tickMs / TICK_PHASES)
    this.#timer = clock.setTimer(this.#dueMs - nowMs, () => this.#fire())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #fire(): void {
    this.#phase = (this.#phase + 1) % TICK_PHASES
    if (this.#options.mayTick()) {
      for (const replica of this.#options.replicas) {
        if (replica.group % TICK_PHASES === this.#phase) replica.tick()
      }
      if (this.#phase === 0) this.#options.quietTick()
    }
    this.start()
  }
}
