/**
 * Who waits for which proposal of this replica, keyed by (index, term).
 *
 * Proposals are accepted in rising (term, index), and entries are applied in rising (term, index) too, so one queue
 * suffices. A committed entry of a later term at or below a waiter's index proves that the waiter's entry is not in the
 * log and never will be: by log matching nothing of an earlier term can follow it.
 *
 * Never holds on to a waiter that has heard its end: with it would stay what it has proposed, up to megabytes each.
 */
import type { LogIndex, Term } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import type { ProposalWaiter } from './group-handle.ts'

interface Pending {
  readonly index: LogIndex
  readonly term: Term
  readonly waiter: ProposalWaiter
}

const COMPACT_AT = 1_024

export class ProposalWaiters {
  /** Live from `#head` on; the places before it hold nothing. */
  #queue: (Pending | undefined)[] = []
  #head = 0

  get size(): number {
    return this.#queue.length - this.#head
  }

  add(index: LogIndex, term: Term, waiter: ProposalWaiter): void {
    this.#queue.push({ index, term, waiter })
  }

  /** The frame has been applied with `result`: its waiter hears it, and those whose entries it replaced. */
  applied(frame: Frame, result: unknown): void {
    const { index, term } = frame.header
    for (let front = this.#queue[this.#head]; front !== undefined; front = this.#queue[this.#head]) {
      if (front.term === term && front.index === index) {
        this.#shift()
        front.waiter.applied(frame, result)
        return
      }
      if (front.term >= term) return
      this.#shift()
      const replaced = `the entry of term ${term} at index ${index} was committed in its place`
      front.waiter.failed('not_stored', replaced)
    }
  }

  /** Gives up on everything that was accepted in `term` or before. */
  expire(term: Term, reason: string): void {
    for (let front = this.#queue[this.#head]; front !== undefined; front = this.#queue[this.#head]) {
      if (front.term > term) return
      this.#shift()
      front.waiter.failed('unknown', reason)
    }
  }

  #shift(): void {
    this.#queue[this.#head] = undefined
    this.#head += 1
    if (this.#head < COMPACT_AT || this.#head * 2 < this.#queue.length) return
    this.#queue = this.#queue.slice(this.#head)
    this.#head = 0
  }
}
