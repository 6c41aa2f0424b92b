/**
 * The state store of tests and of brokers that need not outlive their process. Models what LMDB promises: a commit is
 * visible at once and durable only after a flush; a crash keeps some prefix of the commits since then, each one whole.
 */
import type { GroupValues } from './checkpoint-entries.ts'
import { readCheckpoint, writeCheckpoint } from './checkpoint-entries.ts'
import type { Checkpoint, StateEntry, StateStore, StoredState } from './state-store.ts'

type Values = Map<string, Uint8Array>

interface Commit {
  readonly group: number
  /** The group's values after the commit. */
  readonly values: Values
}

export class MemoryStateStore implements StateStore {
  #groups = new Map<number, Values>()
  #durable = new Map<number, Values>()
  #unflushed: Commit[] = []

  load(group: number): StoredState | undefined {
    return readCheckpoint(groupValues(this.#groups.get(group) ?? new Map()), group)
  }

  async commit(group: number, checkpoint: Checkpoint): Promise<void> {
    await Promise.resolve()
    const values = new Map(this.#groups.get(group))
    writeCheckpoint(groupValues(values), group, checkpoint)
    this.#replace(group, values)
  }

  async flush(): Promise<void> {
    await Promise.resolve()
    for (const { group, values } of this.#unflushed) this.#durable.set(group, values)
    this.#unflushed = []
  }

  async drop(group: number): Promise<void> {
    await Promise.resolve()
    this.#replace(group, new Map())
  }

  close(): Promise<void> {
    return this.flush()
  }

  /** Commits that a crash may lose, now. */
  get unflushed(): number {
    return this.#unflushed.length
  }

  /** What a reopened store would hold after a crash that kept the first `kept` of the unflushed commits. */
  crash(kept = 0): MemoryStateStore {
    const survivor = new MemoryStateStore()
    for (const [group, values] of this.#durable) survivor.#durable.set(group, values)
    for (const { group, values } of this.#unflushed.slice(0, kept)) survivor.#durable.set(group, values)
    survivor.#groups = new Map(survivor.#durable)
    return survivor
  }

  /** Changes the stored bytes behind the store's back, as a bad disk would. */
  damage(group: number, change: (values: Map<string, Uint8Array>) => void): void {
    const values = new Map(this.#groups.get(group))
    change(values)
    this.#replace(group, values)
  }

  #replace(group: number, values: Values): void {
    this.#groups.set(group, values)
    this.#unflushed.push({ group, values })
  }
}

/** Keys are kept as hexadecimal text, whose order is that of the bytes. */
function groupValues(values: Values): GroupValues {
  return {
    get: key => values.get(hex(key)),
    put: (key, value) => {
      values.set(hex(key), Uint8Array.from(value))
    },
    remove: key => {
      values.delete(hex(key))
    },
    *all(): Iterable<StateEntry> {
      for (const key of [...values.keys()].sort()) yield { key: Buffer.from(key, 'hex'), value: values.get(key)! }
    },
  }
}

function hex(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('hex')
}
