/**
 * The real `Disk`: callbacks of `node:fs` on bare descriptors, because a `FileHandle` costs more per call and closes
 * itself when it is collected. Files get mode 0600, folders 0700. Short writes are continued here and nowhere else.
 */
import * as fs from 'node:fs'
import { DirectWrites } from './direct-writes.ts'
import type { Disk, DiskFile, DiskOpenMode } from './disk.ts'

const { O_RDWR, O_DSYNC } = fs.constants
/**
 * Linux carries out an fdatasync of what was written at the end of each write to a descriptor with O_DSYNC: one system
 * call and one turn of the thread pool instead of two. Elsewhere the flag is missing or promises less than fdatasync.
 */
const SYNCS_ON_WRITE = process.platform === 'linux'

const FLAGS: Readonly<Record<DiskOpenMode, string | number>> = {
  read: 'r',
  write: 'r+',
  create: 'wx+',
  writeThrough: SYNCS_ON_WRITE ? O_RDWR | O_DSYNC : 'r+',
}

/** The file system of this machine. */
export const nodeDisk: Disk = {
  async open(path, mode) {
    const fd = await call<number>(done => fs.open(path, FLAGS[mode], 0o600, done))
    if (mode !== 'writeThrough') return new NodeFile(fd)
    return SYNCS_ON_WRITE ? new NodeFile(fd, new DirectWrites(fd)) : syncingWrites(new NodeFile(fd))
  },
  list: path => call<string[]>(done => fs.readdir(path, done)),
  async makeFolder(path) {
    await call<string | undefined>(done => fs.mkdir(path, { recursive: true, mode: 0o700 }, done))
  },
  rename: (from, to) => call<void>(done => fs.rename(from, to, error => done(error, undefined))),
  removeFile: path => call<void>(done => fs.unlink(path, error => done(error, undefined))),
  removeFolder: path => call<void>(done => fs.rmdir(path, error => done(error, undefined))),
  async syncFolder(path) {
    const fd = await call<number>(done => fs.open(path, 'r', done))
    try {
      await call<void>(done => fs.fsync(fd, error => done(error, undefined)))
    } finally {
      await call<void>(done => fs.close(fd, error => done(error ?? null, undefined)))
    }
  },
  async freeBytes(path) {
    const stats = await call<fs.StatsFs>(done => fs.statfs(path, done))
    return stats.bavail * stats.bsize
  },
}

class NodeFile implements DiskFile {
  readonly #fd: number
  /** What takes large writes first. */
  readonly #direct: DirectWrites | undefined

  constructor(fd: number, direct?: DirectWrites) {
    this.#fd = fd
    this.#direct = direct
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    let filled = 0
    while (filled < into.length) {
      const from = filled
      const count = await call<number>(done =>
        fs.read(this.#fd, into, from, into.length - from, position + from, (error, n) => done(error, n)),
      )
      if (count === 0) break
      filled += count
    }
    return filled
  }

  async writev(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const direct = (await this.#direct?.write(buffers, position)) ?? 0
    let rest = direct === 0 ? buffers : dropBytes(buffers, direct)
    let at = position + direct
    while (rest.length > 0) {
      const turn = rest
      const start = at
      const count = await call<number>(done => fs.writev(this.#fd, turn, start, (error, n) => done(error, n)))
      at += count
      rest = dropBytes(rest, count)
    }
  }

  datasync(): Promise<void> {
    return call<void>(done => fs.fdatasync(this.#fd, error => done(error, undefined)))
  }

  async size(): Promise<number> {
    return (await call<fs.Stats>(done => fs.fstat(this.#fd, done))).size
  }

  async names(): Promise<number> {
    return (await call<fs.Stats>(done => fs.fstat(this.#fd, done))).nlink
  }

  async close(): Promise<void> {
    await this.#direct?.close()
    await call<void>(done => fs.close(this.#fd, error => done(error ?? null, undefined)))
  }
}

/** `file`, writing through: for systems without descriptors that do. */
export function syncingWrites(file: DiskFile): DiskFile {
  return {
    read: (into, position) => file.read(into, position),
    async writev(buffers, position) {
      await file.writev(buffers, position)
      await file.datasync()
    },
    datasync: () => file.datasync(),
    size: () => file.size(),
    names: () => file.names(),
    close: () => file.close(),
  }
}

/** What is left of `buffers` after `count` bytes; empty where everything was written. */
function dropBytes(buffers: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skip = count
  for (const [at, buffer] of buffers.entries()) {
    if (skip < buffer.length) return [buffer.subarray(skip), ...buffers.slice(at + 1)]
    skip -= buffer.length
  }
  return []
}

function call<T>(start: (done: (error: Error | null, value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === null ? resolve(value) : reject(error)))
  })
}
