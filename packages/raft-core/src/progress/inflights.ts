/**
 * The window of append messages on their way to one peer, bounded by count and by bytes. Messages leave it in the order
 * they entered, by the index of their last entry.
 */
import type { LogIndex } from '../entry.ts'

export class Inflights {
  readonly #messagesMax: number
  readonly #bytesMax: number
  /** Rising last indexes and their sizes; a queue with a moving head, so that freeing is not a copy. */
  #lasts: LogIndex[] = []
  #sizes: number[] = []
  #head = 0
  #bytes = 0

  /** @param bytesMax 0: no limit */
  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax
    this.#bytesMax = bytesMax
  }

  get count(): number {
    return this.#lasts.length - this.#head
  }

  get bytes(): number {
    return this.#bytes
  }

  get full(): boolean {
    return this.count >= this.#messagesMax || (this.#bytesMax !== 0 && this.#bytes >= this.#bytesMax)
  }

  /** Bytes that still fit; Infinity without a limit. */
  get bytesLeft(): number {
    return this.#bytesMax === 0 ? Number.POSITIVE_INFINITY : Math.max(0, this.#bytesMax - this.#bytes)
  }

  add(last: LogIndex, bytes: number): void {
    this.#lasts.push(last)
    this.#sizes.push(bytes)
    this.#bytes += bytes
  }

  /** Frees every message whose last entry is at or below `index`. */
  freeTo(index: LogIndex): void {
    while (this.#head < this.#lasts.length && this.#lasts[this.#head]! <= index) {
      this.#bytes -= this.#sizes[this.#head]!
      this.#head++
    }
    if (this.#head === this.#lasts.length) this.reset()
    else if (this.#head > 64 && this.#head * 2 > this.#lasts.length) {
      this.#lasts = this.#lasts.slice(this.#head)
      this.#sizes = this.#sizes.slice(this.#head)
      this.#head = 0
    }
  }

  reset(): void {
    this.#lasts = []
    this.#sizes = []
    this.#head = 0
    this.#bytes = 0
  }
}
