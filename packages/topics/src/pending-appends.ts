/**
 * The leader's own accepted and not yet applied batches: what its decisions see beyond applied state. Exists only while
 * the replica leads; dropped as a whole when it steps down, since another leader may commit something else.
 *
 * Invariant: batches stand in index order; those of one producer are also listed apart, in the same order.
 */
import type { PendingAppend } from './pending-append.ts'

export class PendingAppends {
  /** A queue: live from `#head` on, compacted now and then. */
  #queue: (PendingAppend | undefined)[] = []
  #head = 0
  #byProducer = new Map<string, PendingAppend[]>()

  get size(): number {
    return this.#queue.length - this.#head
  }

  push(batch: PendingAppend, index: number, baseOffset: number): void {
    batch.index = index
    batch.baseOffset = baseOffset
    this.#queue.push(batch)
    if (batch.key === '') return
    const own = this.#byProducer.get(batch.key)
    if (own === undefined) this.#byProducer.set(batch.key, [batch])
    else own.push(batch)
  }

  /** Batches of a producer, oldest first. */
  ofProducer(key: string): readonly PendingAppend[] | undefined {
    return this.#byProducer.get(key)
  }

  /** The batch that takes `offset`. */
  covering(offset: number): PendingAppend | undefined {
    let low = this.#head
    let high = this.#queue.length - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const batch = this.#queue[middle]!
      if (offset < batch.baseOffset) high = middle - 1
      else if (offset >= batch.baseOffset + batch.count) low = middle + 1
      else return batch
    }
    return undefined
  }

  /** Entries up to `index` are applied: they are part of the state now. */
  applied(index: number): void {
    while (this.#head < this.#queue.length && this.#queue[this.#head]!.index <= index) {
      this.#leave(this.#queue[this.#head]!)
      this.#queue[this.#head++] = undefined
    }
    if (this.#head === this.#queue.length) this.#reset()
    else if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) this.#compact()
  }

  /** Forgets all of them; each still hears its own end as a waiter. */
  drop(): void {
    this.#reset()
    this.#byProducer = new Map()
  }

  #leave(batch: PendingAppend): void {
    const own = this.#byProducer.get(batch.key)
    if (own === undefined) return
    if (own.length === 1) this.#byProducer.delete(batch.key)
    else own.shift()
  }

  #reset(): void {
    this.#queue = []
    this.#head = 0
  }

  #compact(): void {
    this.#queue = this.#queue.slice(this.#head)
    this.#head = 0
  }
}
