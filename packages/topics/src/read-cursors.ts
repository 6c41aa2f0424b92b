/**
 * Where sequential readers stand: offset → Raft index of the frame that holds it or comes before it. Saves the search
 * in the log for every read but a stream's first.
 *
 * Invariant: only positions below the applied index are kept, and those never change their meaning.
 */
import { TOPIC_LIMITS } from './topic-limits.ts'

export class ReadCursors {
  readonly #indexes = new Map<number, number>()

  /** @returns an index at or before the frame that holds `offset`, with no record below `offset` in between */
  indexOf(offset: number): number | undefined {
    return this.#indexes.get(offset)
  }

  /** The newest positions are kept. */
  remember(offset: number, index: number): void {
    this.#indexes.delete(offset)
    this.#indexes.set(offset, index)
    if (this.#indexes.size <= TOPIC_LIMITS.readCursorsMax) return
    for (const oldest of this.#indexes.keys()) {
      this.#indexes.delete(oldest)
      return
    }
  }
}
