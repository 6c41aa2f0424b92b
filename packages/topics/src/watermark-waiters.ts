/**
 * Readers that wait for the high watermark to pass an offset. One pass over them per batch of applied entries, in a
 * microtask of its own, so that nobody's code runs inside the node's turn.
 *
 * Invariant: each `wake` is called at most once, and exactly once unless it was cancelled.
 */
import { MillraceError } from '@millrace/record'
import { TOPIC_LIMITS } from './topic-limits.ts'

interface Waiter {
  readonly offset: number
  readonly wake: () => void
}

export class WatermarkWaiters {
  #waiters = new Set<Waiter>()
  /** Nobody waits for an offset below this. */
  #lowest = Number.POSITIVE_INFINITY
  #highWatermark = 0
  #scheduled = false

  get size(): number {
    return this.#waiters.size
  }

  /** @throws MillraceError THROTTLED where too many wait */
  add(offset: number, wake: () => void): { cancel(): void } {
    if (this.#waiters.size >= TOPIC_LIMITS.watermarkWaitersMax) {
      throw new MillraceError('THROTTLED', `${this.#waiters.size} readers wait on this partition, the limit`)
    }
    const waiter = { offset, wake }
    this.#waiters.add(waiter)
    this.#lowest = Math.min(this.#lowest, offset)
    if (this.#highWatermark > offset) this.#schedule()
    return { cancel: () => this.#waiters.delete(waiter) }
  }

  /** Called once per batch of applied entries. */
  advance(highWatermark: number): void {
    this.#highWatermark = highWatermark
    if (highWatermark > this.#lowest) this.#schedule()
  }

  /** Wakes everybody, whatever they wait for. */
  wakeAll(): void {
    this.advance(Number.POSITIVE_INFINITY)
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiters.size === 0) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#wake()
    })
  }

  #wake(): void {
    const due: Waiter[] = []
    this.#lowest = Number.POSITIVE_INFINITY
    for (const waiter of this.#waiters) {
      if (waiter.offset < this.#highWatermark) due.push(waiter)
      else this.#lowest = Math.min(this.#lowest, waiter.offset)
    }
    // All leave before the first wakes: one that waits again at once belongs to the next pass.
    for (const waiter of due) this.#waiters.delete(waiter)
    for (const waiter of due) waiter.wake()
  }
}
