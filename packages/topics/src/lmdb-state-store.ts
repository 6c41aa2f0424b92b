/**
 * Checkpoints in LMDB: one environment per node, one database, keys {group, entry key}. Holds only what the log can
 * bring back: a damaged page of LMDB may show an older state or none, never a false one, since everything that is read
 * is checked.
 *
 * `overlappingSync` is off: with it on, a failed flush leaves its promise pending for ever and the failed values
 * visible. With it off a transaction is durable when it returns, and throws where it is not. One that the last process was
 * killed in may be visible and not durable: the file is flushed when it is opened.
 */
import { closeSync, existsSync, fdatasyncSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { open } from 'lmdb'
import type { GroupValues } from './checkpoint-entries.ts'
import { readCheckpoint, writeCheckpoint } from './checkpoint-entries.ts'
import { faultOfLmdbFile } from './lmdb-file-check.ts'
import { fullKey, GROUP_BYTES } from './lmdb-keys.ts'
import type { Checkpoint, StateEntry, StateStore, StoredState } from './state-store.ts'
import { StateStoreError } from './state-store.ts'

type Values = RootDatabase<Buffer, Buffer>

/**
 * Opens, or makes, the environment in `folder`.
 *
 * @throws StateStoreError UNREADABLE naming the folder and what to do
 */
export function openLmdbStateStore(folder: string): StateStore {
  try {
    mkdirSync(folder, { recursive: true })
    const file = join(folder, 'data.mdb')
    const fault = faultOfLmdbFile(file)
    if (fault !== undefined) throw new Error(`data.mdb: ${fault}`)
    if (existsSync(file)) flushFile(file)
    const values: Values = open<Buffer, Buffer>({
      path: folder,
      // A folder whose name holds a dot would be taken for a file otherwise.
      noSubdir: false,
      encoding: 'binary',
      keyEncoding: 'binary',
      overlappingSync: false,
    })
    return new LmdbStateStore(values, folder)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const what = `${folder} cannot be opened (${reason}); it holds only what the log can bring back: move the folder away and start again`
    throw new StateStoreError('UNREADABLE', -1, what, error)
  }
}

function flushFile(path: string): void {
  const file = openSync(path, 'r+')
  try {
    fdatasyncSync(file)
  } finally {
    closeSync(file)
  }
}

class LmdbStateStore implements StateStore {
  readonly #values: Values
  readonly #folder: string

  constructor(values: Values, folder: string) {
    this.#values = values
    this.#folder = folder
  }

  load(group: number): StoredState | undefined {
    return readCheckpoint(groupValues(this.#values, group), group)
  }

  async commit(group: number, checkpoint: Checkpoint): Promise<void> {
    await this.#transaction(group, () => {
      writeCheckpoint(groupValues(this.#values, group), group, checkpoint)
    })
  }

  async flush(): Promise<void> {
    await this.#values.flushed
  }

  async drop(group: number): Promise<void> {
    await this.#transaction(group, () => {
      const values = groupValues(this.#values, group)
      for (const { key } of [...values.all()]) values.remove(key)
    })
  }

  close(): Promise<void> {
    return this.#values.close()
  }

  /** Runs `change` and commits it whole, or not at all where it throws. */
  async #transaction(group: number, change: () => void): Promise<void> {
    try {
      // Not the asynchronous one: where a commit fails (a full disk), lmdb 3.5.6 rejects a second promise beside the one it
      // returned. Nobody can reach it, so it would end the process.
      this.#values.transactionSync(() => {
        change()
      })
    } catch (error) {
      if (error instanceof StateStoreError) throw error
      const what = `a checkpoint could not be written to ${this.#folder}: ${error instanceof Error ? error.message : String(error)}`
      throw new StateStoreError('IO', group, what, error)
    }
  }
}

function groupValues(values: Values, group: number): GroupValues {
  return {
    get: key => values.getBinary(fullKey(group, key)),
    put: (key, value) => {
      values.putSync(fullKey(group, key), value)
    },
    remove: key => {
      values.removeSync(fullKey(group, key))
    },
    *all(): Iterable<StateEntry> {
      const range = { start: fullKey(group, new Uint8Array(0)), end: fullKey(group + 1, new Uint8Array(0)) }
      for (const { key, value } of values.getRange(range)) yield { key: key.subarray(GROUP_BYTES), value }
    },
  }
}
