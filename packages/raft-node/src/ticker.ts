/**
 * The one timer behind the logical time of all groups. Groups that are not quiet are spread over a few phases, so that their heartbeats
 * and timeouts do not all fall into one turn; those of a phase share a message per peer. A phase without such groups does not
 * wake the process, so that a node whose groups are all quiet wakes once per tick.
 *
 * Ticks that a stalled process missed are not made up for: time that nobody lived through must not depose a leader.
 */
import type { GroupReplica } from './group-replica.ts'
import type { Clock } from './node.ts'

export const TICK_PHASES = 4
const ALL_PHASES = (1 << TICK_PHASES) - 1

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
  /** Phases from the one before to the one that is waited for. */
  #steps = 1
  #dueMs: number

  constructor(options: TickerOptions) {
    this.#options = options
    this.#dueMs = options.clock.monotonicMs()
  }

  start(): void {
    const { clock, tickMs } = this.#options
    const nowMs = clock.monotonicMs()
    this.#steps = this.#stepsToNext()
    this.#dueMs = Math.max(nowMs, this.#dueMs + (this.#steps * tickMs) / TICK_PHASES)
    this.#timer = clock.setTimer(this.#dueMs - nowMs, () => this.#fire())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #fire(): void {
    this.#phase = (this.#phase + this.#steps) % TICK_PHASES
    if (this.#options.mayTick()) {
      for (const replica of this.#options.replicas) {
        if (replica.group % TICK_PHASES === this.#phase) replica.tick()
      }
      if (this.#phase === 0) this.#options.quietTick()
    }
    this.start()
  }

  /** The first phase comes always. A group that is woken while its phase is left out has its next tick at most a tick later. */
  #stepsToNext(): number {
    let phases = 1
    for (const { group } of this.#options.replicas) {
      phases |= 1 << (group % TICK_PHASES)
      if (phases === ALL_PHASES) break
    }
    let steps = 1
    while ((phases & (1 << ((this.#phase + steps) % TICK_PHASES))) === 0) steps++
    return steps
  }
}
