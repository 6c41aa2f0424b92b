/**
 * The state machine of a simulated replica: a hash over the applied entries. Two replicas with the same applied
 * index and different histories have different hashes. Memory only; a checkpoint is an image of it that survives.
 */
import { chainOf, type SimEntry, type StateImage } from './payload.ts'

/** The state of a group at its birth, before any command. */
export function stateAtBirth(index: number, term: number): StateImage {
  return { index, term, hash: 0x5bd1e995 }
}

/** The state before birth: that of a replica which has never been given anything. */
export const NO_STATE: StateImage = { index: 0, term: 0, hash: 0 }

export class StateMachine {
  #state: StateImage

  constructor(start: StateImage) {
    this.#state = start
  }

  get state(): StateImage {
    return this.#state
  }

  /**
   * Applies the entry after the last one. Entries that are part of the state already are skipped: a snapshot's state may
   * be further than its index.
   *
   * @returns whether the state has changed
   */
  apply(entry: SimEntry): boolean {
    if (entry.index <= this.#state.index) return false
    if (entry.index !== this.#state.index + 1) {
      throw new Error(`entry ${entry.index} is to be applied to a state of index ${this.#state.index}`)
    }
    this.#state = { index: entry.index, term: entry.term, hash: chained(this.#state.hash, entry) }
    return true
  }

  /** Takes over an image, unless the state is as far already. */
  restore(image: StateImage): void {
    if (image.index > this.#state.index) this.#state = image
  }
}

function chained(hash: number, entry: SimEntry): number {
  let mixed = Math.imul(hash ^ entry.index, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13) ^ entry.term, 0xc2b2ae35)
  mixed = Math.imul(mixed ^ (mixed >>> 16) ^ chainOf(entry), 0x27d4eb2f)
  return (mixed ^ (mixed >>> 15)) >>> 0
}
