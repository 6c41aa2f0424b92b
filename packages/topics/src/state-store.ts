/**
 * The seam to where state machines keep their checkpoints: one `StateStore` per node, one set of entries per group.
 *
 * It holds nothing that the log could not bring back: a checkpoint that is missing or damaged is replaced by a replay
 * from the log's base. What may never be lost (terms, votes, records) does not belong here.
 * Implementations: `openLmdbStateStore` and `MemoryStateStore` (`@millrace/topics/memory`).
 */
import type { AppliedPosition } from '@millrace/raft-node'

/** Keys are 1 to 64 bytes. */
export interface StateEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

export interface StoredState {
  readonly applied: AppliedPosition
  /** In order of the keys; the receiver owns them. */
  readonly entries: readonly StateEntry[]
}

export interface Checkpoint {
  readonly applied: AppliedPosition
  /** Replaces everything that is there; otherwise a change on top of the group's last checkpoint. */
  readonly full: boolean
  /** Of distinct keys. Not changed by anybody until the commit is over. */
  readonly puts: readonly StateEntry[]
  /** Keys, none of them in `puts`. Without effect where `full`. */
  readonly deletes: readonly Uint8Array[]
}

export interface StateStore {
  /**
   * The newest committed checkpoint, verified. One that was there when the store was opened is durable.
   *
   * @returns undefined where the group has none
   * @throws StateStoreError CORRUPT, FORMAT_VERSION
   */
  load(group: number): StoredState | undefined
  /**
   * Entries and position in one transaction. Visible to `load` once it resolves, durable after a later `flush`; after a
   * crash before that, this or an earlier checkpoint is there, whole.
   *
   * @throws StateStoreError MISSING where a change has nothing to go onto; IO
   */
  commit(group: number, checkpoint: Checkpoint): Promise<void>
  /** Everything committed so far is durable when it resolves. */
  flush(): Promise<void>
  /** Removes what there is of the group, damaged or not. */
  drop(group: number): Promise<void>
  close(): Promise<void>
}

export type StateStoreErrorCode = 'CORRUPT' | 'FORMAT_VERSION' | 'MISSING' | 'UNREADABLE' | 'IO'

/** What a state store refuses, by name. */
export class StateStoreError extends Error {
  readonly code: StateStoreErrorCode

  /** @param group -1 where it concerns the whole store */
  constructor(code: StateStoreErrorCode, group: number, what: string, cause?: unknown) {
    super(group < 0 ? `state store: ${what}` : `state of group ${group}: ${what}`, cause === undefined ? {} : { cause })
    this.name = 'StateStoreError'
    this.code = code
  }
}
