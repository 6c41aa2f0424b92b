/**
 * `SnapshotStore` on files, one folder per group. A snapshot is written aside, made durable, renamed, and the folder made
 * durable; only then does it exist.
 *
 * Invariant: a file is removed only while enough newer ones are verified: written by this process, or read to the end.
 */
import { crc32 } from '@millrace/record'
import { type Disk, type DiskFile, errnoOf, openIfThere, removeIfThere } from './disk.ts'
import { LogError } from './log-store.ts'
import { nodeDisk } from './node-disk.ts'
import {
  contentStart,
  encodeSnapshotHeader,
  isContentWhole,
  isSnapshotFileName,
  readSnapshotHeader,
  snapshotFileName,
} from './snapshot-file.ts'
import {
  compareSnapshots,
  type SnapshotHead,
  type SnapshotInfo,
  type SnapshotReader,
  type SnapshotSink,
  type SnapshotStore,
} from './snapshot-store.ts'

export interface SnapshotStoreOptions {
  /** The group's own folder; made where it is missing. Its parent exists and is durable. */
  readonly dir: string
  readonly group: number
  /** Verified snapshots to keep, at least 1. Default 2. */
  readonly retain?: number
  /** Called with what costs no promise: a damaged snapshot, a file that could not be removed. Default: a process warning. */
  readonly onProblem?: (error: Error) => void
  readonly disk?: Disk
}

/**
 * Opens the snapshots of a group: removes what was not finished, and makes the names that are there durable before any is
 * handed out.
 *
 * @throws LogError `IO`
 */
export async function openSnapshotStore(options: SnapshotStoreOptions): Promise<SnapshotStore> {
  const store = new FileSnapshotStore(options)
  try {
    await store.open()
  } catch (error) {
    throw asLogError(`opening the snapshots in ${options.dir}`, error)
  }
  return store
}

class FileSnapshotStore implements SnapshotStore {
  readonly group: number
  readonly dir: string
  readonly disk: Disk
  readonly #retain: number
  readonly #onProblem: (error: Error) => void
  /** Newest first. */
  #snapshots: SnapshotInfo[] = []
  readonly #verified = new WeakSet<SnapshotInfo>()
  /** File names that are being written. */
  readonly #writing = new Set<string>()

  constructor({ dir, group, retain = 2, onProblem, disk }: SnapshotStoreOptions) {
    if (!Number.isSafeInteger(retain) || retain < 1) throw new RangeError(`retain ${retain}: at least 1 is needed`)
    this.dir = dir
    this.group = group
    this.disk = disk ?? nodeDisk
    this.#retain = retain
    this.#onProblem = onProblem ?? (error => process.emitWarning(error))
  }

  async open(): Promise<void> {
    await this.disk.makeFolder(this.dir)
    for (const name of await this.disk.list(this.dir)) {
      if (name.endsWith('.new')) await this.disk.removeFile(`${this.dir}/${name}`)
      else if (isSnapshotFileName(name)) await this.#find(name)
    }
    this.#snapshots.sort(compareSnapshots)
    await this.disk.syncFolder(this.dir)
  }

  list(): readonly SnapshotInfo[] {
    return [...this.#snapshots]
  }

  async create(head: SnapshotHead): Promise<SnapshotSink> {
    const name = snapshotFileName(head)
    if (this.#writing.has(name)) throw new LogError('EXISTS', `${this.dir}/${name} is being written already`)
    this.#writing.add(name)
    const aside = `${this.dir}/${name}.new`
    try {
      await removeIfThere(this.disk, aside)
      return new FileSnapshotSink(this, head, await this.disk.open(aside, 'create'))
    } catch (error) {
      this.#writing.delete(name)
      throw error
    }
  }

  async openNewest(): Promise<SnapshotReader | null> {
    for (const info of this.list()) {
      const file = await openIfThere(this.disk, this.#pathOf(info), 'read')
      if (file !== null && (await this.#isVerified(info, file))) return new FileSnapshotReader(info, file)
      await file?.close()
    }
    return null
  }

  /** A snapshot has its name, durably. */
  async committed(info: SnapshotInfo): Promise<void> {
    this.#verified.add(info)
    const others = this.#snapshots.filter(other => compareSnapshots(other, info) !== 0)
    this.#snapshots = [...others, info].sort(compareSnapshots)
    try {
      await this.#removeOld()
    } catch (error) {
      this.#onProblem(asLogError(`removing old snapshots in ${this.dir}`, error))
    }
  }

  /** A snapshot is not being written any more. */
  ended(head: SnapshotHead): void {
    this.#writing.delete(snapshotFileName(head))
  }

  #pathOf(head: SnapshotHead): string {
    return `${this.dir}/${snapshotFileName(head)}`
  }

  async #find(name: string): Promise<void> {
    const file = await this.disk.open(`${this.dir}/${name}`, 'read')
    try {
      const info = await readSnapshotHeader(file, this.group)
      if (typeof info === 'string') this.#reportDamage(`${this.dir}/${name}`, info)
      else if (snapshotFileName(info) !== name) this.#reportDamage(`${this.dir}/${name}`, 'of another name')
      else this.#snapshots.push(info)
    } finally {
      await file.close()
    }
  }

  async #isVerified(info: SnapshotInfo, file: DiskFile): Promise<boolean> {
    if (this.#verified.has(info)) return true
    if (await isContentWhole(file, info)) {
      this.#verified.add(info)
      return true
    }
    this.#snapshots = this.#snapshots.filter(other => other !== info)
    this.#reportDamage(this.#pathOf(info), 'content')
    return false
  }

  /** Removes what is older than the retained ones; those count only once they are verified. */
  async #removeOld(): Promise<void> {
    let retained = 0
    for (const info of this.list()) {
      const path = this.#pathOf(info)
      if (retained >= this.#retain) {
        this.#snapshots = this.#snapshots.filter(other => other !== info)
        await removeIfThere(this.disk, path)
        continue
      }
      const file = await openIfThere(this.disk, path, 'read')
      if (file === null) continue
      try {
        if (await this.#isVerified(info, file)) retained++
      } finally {
        await file.close()
      }
    }
  }

  #reportDamage(path: string, what: string): void {
    const advice = 'It is not used; the log and newer or older snapshots are'
    this.#onProblem(new LogError('DAMAGED', `${path} is damaged (${what}). ${advice}`))
  }
}

class FileSnapshotSink implements SnapshotSink {
  readonly #store: FileSnapshotStore
  readonly #head: SnapshotHead
  readonly #file: DiskFile
  #contentBytes = 0
  #checksum = 0
  #state: 'writing' | 'ended' = 'writing'

  constructor(store: FileSnapshotStore, head: SnapshotHead, file: DiskFile) {
    this.#store = store
    this.#head = head
    this.#file = file
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#assertWriting()
    await this.#file.writev([bytes], contentStart(this.#head) + this.#contentBytes)
    this.#contentBytes += bytes.length
    this.#checksum = crc32(bytes, this.#checksum)
  }

  async commit(): Promise<SnapshotInfo> {
    this.#assertWriting()
    const { disk, dir, group } = this.#store
    const configuration = new Uint8Array(this.#head.configuration)
    const counts = { contentBytes: this.#contentBytes, contentChecksum: this.#checksum }
    const info: SnapshotInfo = { ...this.#head, configuration, ...counts }
    const name = snapshotFileName(info)
    try {
      await this.#file.writev([encodeSnapshotHeader(group, info)], 0)
      await this.#file.datasync()
      await disk.rename(`${dir}/${name}.new`, `${dir}/${name}`)
      await disk.syncFolder(dir)
    } catch (error) {
      await this.abort()
      throw asLogError(`the snapshot ${dir}/${name}`, error)
    }
    await this.#end()
    await this.#store.committed(info)
    return info
  }

  async abort(): Promise<void> {
    if (this.#state === 'ended') return
    const { disk, dir } = this.#store
    await this.#end()
    await removeIfThere(disk, `${dir}/${snapshotFileName(this.#head)}.new`)
  }

  async #end(): Promise<void> {
    this.#state = 'ended'
    try {
      await this.#file.close()
    } finally {
      this.#store.ended(this.#head)
    }
  }

  #assertWriting(): void {
    if (this.#state === 'ended') throw new RangeError('the snapshot was committed or aborted already')
  }
}

class FileSnapshotReader implements SnapshotReader {
  readonly info: SnapshotInfo
  readonly #file: DiskFile

  constructor(info: SnapshotInfo, file: DiskFile) {
    this.info = info
    this.#file = file
  }

  async read(position: number, bytesMax: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.max(0, Math.min(bytesMax, this.info.contentBytes - position)))
    const count = bytes.length === 0 ? 0 : await this.#file.read(bytes, contentStart(this.info) + position)
    if (count < bytes.length)
      throw new LogError('DAMAGED', `the snapshot at ${this.info.index} was cut while it was read`)
    return bytes
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

function asLogError(what: string, error: unknown): Error {
  // Lack of space is told as it is: whoever writes the snapshot tries again.
  if (error instanceof LogError || (error instanceof Error && errnoOf(error) === 'ENOSPC')) return error
  return new LogError('IO', `${what}: ${error instanceof Error ? error.message : String(error)}`, error)
}
