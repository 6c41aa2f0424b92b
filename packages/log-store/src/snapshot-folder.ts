/**
 * `SnapshotStores` on files: a folder per group, made when the group's first snapshot is written. Most groups never need
 * one, and cost no file then.
 *
 * Invariant: the name of a group's folder is durable before a snapshot in it counts.
 */
import { dirname } from 'node:path'
import { type Clock, systemClock } from './clock.ts'
import { type Disk, errnoOf } from './disk.ts'
import { openSnapshotStore } from './file-snapshot-store.ts'
import { LogError } from './log-store.ts'
import { nodeDisk } from './node-disk.ts'
import type { SnapshotHead, SnapshotInfo, SnapshotReader, SnapshotSink, SnapshotStore } from './snapshot-store.ts'
import type { SnapshotStores } from './snapshot-stores.ts'
import { Trash } from './trash.ts'

export interface SnapshotFolderOptions {
  /** The folder of all groups' snapshots; made where it is missing. Its parent exists and is durable. */
  readonly dir: string
  /** Verified snapshots to keep of each group, at least 1. Default 2. */
  readonly retain?: number
  /** How long removed snapshots stay in the trash. Default 10 minutes. */
  readonly trashKeepMs?: number
  /** Called with what costs no promise: a damaged snapshot, a file that could not be removed. Default: a process warning. */
  readonly onProblem?: (error: Error) => void
  readonly disk?: Disk
  readonly clock?: Clock
}

/**
 * Opens the folder; what is in it is looked at when its group is opened.
 *
 * @throws LogError `IO`
 */
export async function openSnapshotFolder(options: SnapshotFolderOptions): Promise<SnapshotStores> {
  const { dir, disk = nodeDisk, clock = systemClock, retain = 2, trashKeepMs = 600_000 } = options
  if (!Number.isSafeInteger(retain) || retain < 1) throw new RangeError(`retain ${retain}: at least 1 is needed`)
  const onProblem = options.onProblem ?? (error => process.emitWarning(error))
  const trash = new Trash({ disk, clock, storeFolder: dir, keepMs: trashKeepMs, segmentsMax: 0, onProblem })
  try {
    await disk.makeFolder(dir)
    await disk.syncFolder(dirname(dir))
    // The last process may have made the folder of a group and have ended before its name was durable.
    await disk.syncFolder(dir)
    await trash.open()
  } catch (error) {
    throw failed(`opening the snapshots in ${dir}`, error)
  }
  return new SnapshotFolder(disk, dir, trash, { retain, onProblem })
}

type StoreSettings = Required<Pick<SnapshotFolderOptions, 'retain' | 'onProblem'>>

class SnapshotFolder implements SnapshotStores {
  readonly #disk: Disk
  readonly #dir: string
  readonly #trash: Trash
  readonly #settings: StoreSettings

  constructor(disk: Disk, dir: string, trash: Trash, settings: StoreSettings) {
    this.#disk = disk
    this.#dir = dir
    this.#trash = trash
    this.#settings = settings
  }

  async open(group: number): Promise<SnapshotStore> {
    if (await this.#isThere(group)) return this.#openStore(group)
    return new UnmadeSnapshotStore(() => this.#make(group))
  }

  async drop(group: number): Promise<void> {
    try {
      await this.#trash.take(this.#pathOf(group), `snapshots-${group}`)
      await this.#disk.syncFolder(this.#dir)
    } catch (error) {
      throw failed(`removing the snapshots of group ${group} from ${this.#dir}`, error)
    }
  }

  async close(): Promise<void> {
    this.#trash.stop()
  }

  #pathOf(group: number): string {
    return `${this.#dir}/${group}`
  }

  async #isThere(group: number): Promise<boolean> {
    try {
      await this.#disk.list(this.#pathOf(group))
      return true
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false
      throw failed(`opening the snapshots in ${this.#pathOf(group)}`, error)
    }
  }

  async #make(group: number): Promise<SnapshotStore> {
    await this.#disk.makeFolder(this.#pathOf(group))
    await this.#disk.syncFolder(this.#dir)
    return this.#openStore(group)
  }

  #openStore(group: number): Promise<SnapshotStore> {
    return openSnapshotStore({ dir: this.#pathOf(group), group, disk: this.#disk, ...this.#settings })
  }
}

/** The store of a group that has no snapshots: made with the first one. */
class UnmadeSnapshotStore implements SnapshotStore {
  readonly #make: () => Promise<SnapshotStore>
  #making: Promise<SnapshotStore> | undefined
  #made: SnapshotStore | undefined

  constructor(make: () => Promise<SnapshotStore>) {
    this.#make = make
  }

  list(): readonly SnapshotInfo[] {
    return this.#made?.list() ?? []
  }

  async create(head: SnapshotHead): Promise<SnapshotSink> {
    this.#making ??= this.#make()
    try {
      this.#made = await this.#making
    } catch (error) {
      // For want of space perhaps: the next one tries anew.
      this.#making = undefined
      throw error
    }
    return this.#made.create(head)
  }

  async openNewest(): Promise<SnapshotReader | null> {
    return this.#made === undefined ? null : this.#made.openNewest()
  }
}

function failed(what: string, error: unknown): LogError {
  if (error instanceof LogError) return error
  return new LogError('IO', `${what}: ${error instanceof Error ? error.message : String(error)}`, error)
}
