/** Bytes that this leader has accepted and that are not committed yet, kept below a limit. */
import type { LogIndex } from '../entry.ts'

export class UncommittedTail {
  readonly #bytesMax: number
  /** One element per accepted proposal: the index of its last entry, and its bytes. */
  #batches: { last: LogIndex; bytes: number }[] = []
  #head = 0
  #bytes = 0

  /** @param bytesMax 0: no limit */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** A single proposal larger than the limit passes when nothing else is waiting: it could never be stored otherwise. */
  fits(bytes: number): boolean {
    return this.#bytesMax === 0 || bytes === 0 || this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax
  }

  accepted(last: LogIndex, bytes: number): void {
    if (bytes === 0) return
    this.#batches.push({ last, bytes })
    this.#bytes += bytes
  }

  committedTo(index: LogIndex): void {
    while (this.#head < this.#batches.length && this.#batches[this.#head]!.last <= index) {
      this.#bytes -= this.#batches[this.#head]!.bytes
      this.#head++
    }
    if (this.#head * 2 >= this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head)
      this.#head = 0
    }
  }

  reset(): void {
    this.#batches = []
    this.#head = 0
    this.#bytes = 0
  }
}
