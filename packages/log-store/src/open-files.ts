/**
 * Files that are open for reading, at most `filesMax` of them beyond those in use, and at most `readsMax` reads at once:
 * catch-up must not take all descriptors, nor the whole thread pool that fsyncs need too.
 */
import type { Disk, DiskFile } from './disk.ts'

interface OpenFile {
  readonly file: Promise<DiskFile>
  users: number
  /** Closed by its last user. */
  forgotten: boolean
}

export class OpenFiles {
  readonly #disk: Disk
  readonly #filesMax: number
  /** Least recently used first. */
  readonly #open = new Map<string, OpenFile>()
  readonly #waiting: (() => void)[] = []
  #readsFree: number

  constructor(disk: Disk, filesMax: number, readsMax: number) {
    this.#disk = disk
    this.#filesMax = filesMax
    this.#readsFree = readsMax
  }

  /** Runs `use` with the file open, when it is this caller's turn to read. */
  async read<T>(path: string, use: (file: DiskFile) => Promise<T>): Promise<T> {
    if (this.#readsFree === 0) await new Promise<void>(resolve => void this.#waiting.push(resolve))
    else this.#readsFree--
    const entry = this.#take(path)
    try {
      return await use(await entry.file)
    } finally {
      await this.#putBack(path, entry)
      const next = this.#waiting.shift()
      if (next === undefined) this.#readsFree++
      else next()
    }
  }

  /** The same where nobody has to wait for it; null: all turns are taken. */
  readIfFree<T>(path: string, use: (file: DiskFile) => Promise<T>): Promise<T> | null {
    return this.#readsFree === 0 ? null : this.read(path, use)
  }

  /** Closes a file whose path means something else from now on. */
  async forget(path: string): Promise<void> {
    const entry = this.#open.get(path)
    if (entry === undefined) return
    this.#open.delete(path)
    entry.forgotten = true
    if (entry.users === 0) await closeQuietly(entry)
  }

  async close(): Promise<void> {
    for (const path of [...this.#open.keys()]) await this.forget(path)
  }

  #take(path: string): OpenFile {
    const entry = this.#open.get(path) ?? { file: this.#disk.open(path, 'read'), users: 0, forgotten: false }
    entry.users++
    this.#open.delete(path)
    this.#open.set(path, entry)
    return entry
  }

  async #putBack(path: string, entry: OpenFile): Promise<void> {
    entry.users--
    if (entry.forgotten) {
      if (entry.users === 0) await closeQuietly(entry)
      return
    }
    const failed = await entry.file.then(
      () => false,
      () => true,
    )
    if (failed) {
      this.#open.delete(path)
      return
    }
    for (const [other, candidate] of this.#open) {
      if (this.#open.size <= this.#filesMax) return
      if (candidate.users === 0) await this.forget(other)
    }
  }
}

/** A file that could not be opened has nothing to close, and whoever asked for it was told. */
async function closeQuietly(entry: OpenFile): Promise<void> {
  const file = await entry.file.catch(() => null)
  await file?.close()
}
