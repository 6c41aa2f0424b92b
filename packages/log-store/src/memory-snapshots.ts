/** Snapshots in memory: what is committed stays, everything else is gone with the store that wrote it. */
import { crc32 } from '@millrace/record'
import { LogError } from './log-store.ts'
import {
  compareSnapshots,
  type SnapshotHead,
  type SnapshotInfo,
  type SnapshotReader,
  type SnapshotSink,
  type SnapshotStore,
} from './snapshot-store.ts'
import type { SnapshotStores } from './snapshot-stores.ts'

interface StoredSnapshot {
  readonly info: SnapshotInfo
  readonly content: Uint8Array
}

export class MemorySnapshotStore implements SnapshotStore {
  readonly #retain: number
  /** Newest first. */
  #snapshots: readonly StoredSnapshot[]
  readonly #writing = new Set<string>()

  /** `retain`: snapshots to keep, at least 1. */
  constructor(retain = 2, snapshots: readonly StoredSnapshot[] = []) {
    if (!Number.isSafeInteger(retain) || retain < 1) throw new RangeError(`retain ${retain}: at least 1 is needed`)
    this.#retain = retain
    this.#snapshots = snapshots
  }

  /** The store as the next process finds it. */
  reopen(): MemorySnapshotStore {
    return new MemorySnapshotStore(this.#retain, this.#snapshots)
  }

  list(): readonly SnapshotInfo[] {
    return this.#snapshots.map(({ info }) => info)
  }

  async create(head: SnapshotHead): Promise<SnapshotSink> {
    const key = `${head.index}/${head.term}`
    if (this.#writing.has(key)) throw new LogError('EXISTS', `a snapshot at ${head.index} is being written already`)
    this.#writing.add(key)
    const pieces: Uint8Array[] = []
    const end = (): void => {
      if (!this.#writing.delete(key)) throw new RangeError('the snapshot was committed or aborted already')
    }
    return {
      write: async bytes => {
        pieces.push(new Uint8Array(bytes))
      },
      commit: async () => {
        end()
        const content = joined(pieces)
        const contentBytes = content.length
        const info = {
          ...head,
          configuration: new Uint8Array(head.configuration),
          contentBytes,
          contentChecksum: crc32(content),
        }
        this.#keep({ info, content })
        return info
      },
      abort: async () => void this.#writing.delete(key),
    }
  }

  async openNewest(): Promise<SnapshotReader | null> {
    const [newest] = this.#snapshots
    if (newest === undefined) return null
    const { info, content } = newest
    return {
      info,
      read: async (position, bytesMax) => content.slice(position, position + bytesMax),
      close: async () => undefined,
    }
  }

  #keep(snapshot: StoredSnapshot): void {
    const others = this.#snapshots.filter(({ info }) => compareSnapshots(info, snapshot.info) !== 0)
    const all = [...others, snapshot].sort((a, b) => compareSnapshots(a.info, b.info))
    this.#snapshots = all.slice(0, this.#retain)
  }
}

/** The snapshots of all groups of a node. */
export class MemorySnapshotStores implements SnapshotStores {
  readonly #retain: number
  readonly #groups = new Map<number, MemorySnapshotStore>()

  /** `retain`: snapshots to keep of each group, at least 1. */
  constructor(retain = 2) {
    this.#retain = retain
  }

  /** What the next process finds. This one must not be used any more. */
  reopen(): MemorySnapshotStores {
    const next = new MemorySnapshotStores(this.#retain)
    for (const [group, store] of this.#groups) next.#groups.set(group, store.reopen())
    return next
  }

  async open(group: number): Promise<MemorySnapshotStore> {
    const store = this.#groups.get(group)?.reopen() ?? new MemorySnapshotStore(this.#retain)
    this.#groups.set(group, store)
    return store
  }

  async drop(group: number): Promise<void> {
    this.#groups.delete(group)
  }

  async close(): Promise<void> {
    // Nothing runs in the background.
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((bytes, piece) => bytes + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
