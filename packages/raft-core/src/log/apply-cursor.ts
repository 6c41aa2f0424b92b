/**
 * How far committed entries have been handed out for apply (`applying`) and applied (`applied`), with the bytes in
 * between kept near a limit. Invariant: applied ≤ applying ≤ commit.
 */
import type { LogIndex } from '../entry.ts'

export class ApplyCursor {
  applied: LogIndex
  applying: LogIndex
  #bytes = 0
  #paused = false
  readonly #bytesMax: number

  constructor(applied: LogIndex, bytesMax: number) {
    this.applied = applied
    this.applying = applied
    this.#bytesMax = bytesMax
  }

  /** Nothing more is handed out until some of it has been applied. */
  get paused(): boolean {
    return this.#paused
  }

  /** Bytes that may be handed out next; at least one entry may be, whatever its size. */
  get bytesLeft(): number {
    return Math.max(0, this.#bytesMax - this.#bytes)
  }

  /** Entries up to `index` have been handed out, up to `appliable` could have been. */
  handedOut(index: LogIndex, bytes: number, appliable: LogIndex): void {
    this.applying = index
    this.#bytes += bytes
    // Short of what could be applied means that the limit was met, even where one more small entry would fit.
    this.#paused = this.#bytes >= this.#bytesMax || index < appliable
  }

  appliedTo(index: LogIndex, bytes: number): void {
    this.applied = Math.max(this.applied, index)
    this.applying = Math.max(this.applying, this.applied)
    this.#bytes = Math.max(0, this.#bytes - bytes)
    this.#paused = this.#bytes >= this.#bytesMax
  }
}
