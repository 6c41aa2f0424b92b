/**
 * Writes the checkpoints of one state machine, one after another, each with what changed since the one before.
 *
 * Invariant: what `collect` returned is either stored, or given back by `retain`; so a failed checkpoint loses nothing.
 */
import type { AppliedPosition } from '@millrace/raft-node'
import type { StateEntry, StateStore } from './state-store.ts'

/** What changed since the last collection; made in one go, so that it belongs to `applied`. */
export interface StateChanges {
  readonly applied: AppliedPosition
  readonly puts: readonly StateEntry[]
  readonly deletes: readonly Uint8Array[]
  /** Puts the changes back: they were not stored. */
  retain(): void
}

export class CheckpointWriter {
  readonly #store: StateStore
  readonly #group: number
  /** @param full everything instead of the changes */
  readonly #collect: (full: boolean) => StateChanges
  #full: boolean
  #stored: AppliedPosition
  #last: Promise<unknown> = Promise.resolve()

  /** @param stored position of the checkpoint that the machine started from, if any */
  constructor(
    store: StateStore,
    group: number,
    stored: AppliedPosition | undefined,
    collect: (full: boolean) => StateChanges,
  ) {
    this.#store = store
    this.#group = group
    this.#collect = collect
    this.#full = stored === undefined
    this.#stored = stored ?? { index: 0, term: 0 }
  }

  /**
   * @returns the position that is durable now
   * @throws StateStoreError
   */
  write(): Promise<AppliedPosition> {
    const next = this.#last.then(() => this.#write())
    // Whoever asked hears of a failure; the next checkpoint is not held up by it.
    this.#last = next.catch(() => undefined)
    return next
  }

  /** The next one holds all of the state: more has changed than can be collected. */
  wholeNext(): void {
    this.#full = true
  }

  /**
   * Writes all of a state that has taken the place of what was stored; changes that were collected before are void.
   *
   * @returns the position that is durable now
   * @throws StateStoreError
   */
  replace(): Promise<AppliedPosition> {
    const next = this.#last.then(() => {
      this.#full = true
      this.#stored = { index: 0, term: 0 }
      return this.#write()
    })
    this.#last = next.catch(() => undefined)
    return next
  }

  async #write(): Promise<AppliedPosition> {
    const full = this.#full
    const changes = this.#collect(full)
    const { applied, puts, deletes } = changes
    if (applied.index === this.#stored.index) {
      changes.retain()
      return this.#stored
    }
    // Meanwhile somebody may want all of it again.
    this.#full = false
    try {
      await this.#store.commit(this.#group, { applied, full, puts, deletes })
      await this.#store.flush()
    } catch (error) {
      this.#full ||= full
      changes.retain()
      throw error
    }
    this.#stored = applied
    return applied
  }
}
