/**
 * A disk in memory with two layers, what the process sees and what would survive, for content and for names. It stops the
 * process at any operation and then leaves what the assumptions of docs/internals/log-format.md allow: unsynced sectors
 * old, new or (past the old end) garbage, each by itself; unsynced names up to any point in their order.
 */
import type { Disk, DiskFile } from '../disk.ts'

const SECTOR_BYTES = 512

/** A uniform number in [0, 1). */
export type Random = () => number

/** A small generator from a seed (mulberry32, public domain). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

class Inode {
  seen: Uint8Array = new Uint8Array(0)
  durable: Uint8Array = new Uint8Array(0)
  /** Sectors that were written since the last sync. */
  readonly unsynced = new Set<number>()

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length
    if (end > this.seen.length) {
      const grown = new Uint8Array(end)
      grown.set(this.seen)
      this.seen = grown
    } else {
      this.seen = this.seen.slice()
    }
    this.seen.set(bytes, position)
    for (let s = Math.floor(position / SECTOR_BYTES); s * SECTOR_BYTES < end; s++) this.unsynced.add(s)
  }

  sync(): void {
    this.durable = this.seen
    this.unsynced.clear()
  }

  losePower(random: Random, garblesOverwrites: boolean): void {
    const size = random() < 0.5 ? this.seen.length : this.durable.length
    const left = new Uint8Array(Math.max(size, this.durable.length))
    left.set(this.durable)
    for (const sector of this.unsynced) {
      const from = sector * SECTOR_BYTES
      const to = Math.min(from + SECTOR_BYTES, left.length)
      if (from >= to) continue
      const wasThere = from < this.durable.length
      const luck = random()
      if (luck < 0.5) left.set(this.seen.subarray(from, to), from)
      else if ((!wasThere || garblesOverwrites) && luck < 0.7)
        for (let at = from; at < to; at++) left[at] = Math.floor(random() * 256)
    }
    this.seen = left
    this.sync()
  }
}

/** Names as a map from path to file; folders are paths too. */
type Names = Map<string, Inode | 'folder'>
type NameChange = { readonly folders: readonly string[]; readonly apply: (names: Names) => void }

export interface FaultDiskFaults {
  /** Stops the process at this operation, counted from 1: it is carried out at most in part, nothing after it is. */
  crashAt?: number
  /**
   * Worse than assumed: unsynced sectors may be garbage even where something durable was before. What is written over in
   * place has to exist twice.
   */
  garblesOverwrites?: boolean
  /** Lets operations take several turns of the event loop, so that they overtake each other. */
  isSlow?: boolean
  /** Makes one operation fail: called before each, with its name and path. */
  failing?: (operation: string, path: string) => string | undefined
}

export class FaultDisk implements Disk {
  readonly faults: FaultDiskFaults = {}
  /** Operations that change something, so far. */
  operations = 0
  #seen: Names = new Map([['', 'folder']])
  #durable: Names = new Map([['', 'folder']])
  #unsynced: NameChange[] = []
  #stopped = false
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  get stopped(): boolean {
    return this.#stopped
  }

  /** The machine lost power: what the next process finds. */
  losePower(): FaultDisk {
    const next = this.#successor()
    for (const change of this.#unsynced.slice(0, Math.floor(this.#random() * (this.#unsynced.length + 1)))) {
      change.apply(this.#durable)
    }
    this.#stopped = true
    for (const inode of this.#durable.values())
      if (inode !== 'folder') inode.losePower(this.#random, this.faults.garblesOverwrites ?? false)
    next.#seen = new Map(this.#durable)
    next.#durable = new Map(this.#durable)
    return next
  }

  /** The process was killed, the kernel lives on: the next process sees everything, none of it more durable than before. */
  kill(): FaultDisk {
    this.#stopped = true
    const next = this.#successor()
    next.#seen = this.#seen
    next.#durable = this.#durable
    next.#unsynced = this.#unsynced
    return next
  }

  #successor(): FaultDisk {
    const next = new FaultDisk(this.#random)
    if (this.faults.garblesOverwrites !== undefined) next.faults.garblesOverwrites = this.faults.garblesOverwrites
    return next
  }

  /** The bytes of a file. */
  contentOf(path: string): Uint8Array {
    const inode = this.#seen.get(path)
    if (inode === undefined || inode === 'folder') throw new RangeError(`no file ${path}`)
    return inode.seen
  }

  /** Puts a file in place, in both layers; null removes it. */
  replace(path: string, bytes: Uint8Array | null): void {
    for (const names of [this.#seen, this.#durable]) names.delete(path)
    if (bytes === null) return
    const inode = new Inode()
    inode.write(bytes, 0)
    inode.sync()
    for (const names of [this.#seen, this.#durable]) names.set(path, inode)
  }

  /** An independent disk with the same content, all of it durable. */
  clone(): FaultDisk {
    const next = this.#successor()
    for (const [path, inode] of this.#seen) {
      if (inode === 'folder') {
        next.#seen.set(path, 'folder')
        next.#durable.set(path, 'folder')
      } else {
        next.replace(path, inode.seen)
      }
    }
    return next
  }

  /** Paths of all files. */
  files(): readonly string[] {
    return [...this.#seen].filter(([, inode]) => inode !== 'folder').map(([path]) => path)
  }

  async open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    const there = this.#seen.get(path)
    if (mode === 'create') {
      if (there !== undefined) throw failure('EEXIST', path)
      const inode = new Inode()
      await this.#change('create', path, { folders: [parentOf(path)], apply: names => void names.set(path, inode) })
      return this.#fileOf(inode, path)
    }
    if (there === undefined || there === 'folder') throw failure('ENOENT', path)
    return this.#fileOf(there, path)
  }

  async list(path: string): Promise<readonly string[]> {
    if (this.#seen.get(path) !== 'folder') throw failure('ENOENT', path)
    return [...this.#seen.keys()]
      .filter(name => name !== '' && parentOf(name) === path)
      .map(name => name.slice(path.length + 1))
  }

  async makeFolder(path: string): Promise<void> {
    if (this.#seen.has(path)) return
    if (!this.#seen.has(parentOf(path))) await this.makeFolder(parentOf(path))
    await this.#change('mkdir', path, { folders: [parentOf(path)], apply: names => void names.set(path, 'folder') })
  }

  async rename(from: string, to: string): Promise<void> {
    if (!this.#seen.has(from)) throw failure('ENOENT', from)
    const folders = [parentOf(from), parentOf(to)]
    await this.#change('rename', from, { folders, apply: names => moveTree(names, from, to) })
  }

  async removeFile(path: string): Promise<void> {
    const there = this.#seen.get(path)
    if (there === undefined) throw failure('ENOENT', path)
    if (there === 'folder') throw failure('EISDIR', path)
    await this.#change('unlink', path, { folders: [parentOf(path)], apply: names => void names.delete(path) })
  }

  async removeFolder(path: string): Promise<void> {
    await this.#change('rmdir', path, { folders: [parentOf(path)], apply: names => void names.delete(path) })
  }

  async syncFolder(path: string): Promise<void> {
    await this.#step('syncFolder', path)
    // As journaling file systems do: everything up to the last change of the folder, in order.
    const last = this.#unsynced.findLastIndex(change => change.folders.includes(path))
    for (const change of this.#unsynced.splice(0, last + 1)) change.apply(this.#durable)
  }

  async freeBytes(): Promise<number> {
    return 2 ** 40
  }

  async #change(operation: string, path: string, change: NameChange): Promise<void> {
    await this.#step(operation, path)
    change.apply(this.#seen)
    this.#unsynced.push(change)
  }

  #fileOf(inode: Inode, path: string): DiskFile {
    return {
      read: async (into, position) => {
        await this.#alive()
        const bytes = inode.seen.subarray(position, position + into.length)
        into.set(bytes)
        return bytes.length
      },
      writev: async (buffers, position) => {
        const bytes = concatenate(buffers)
        const part = bytes.subarray(0, Math.floor(this.#random() * (bytes.length + 1)))
        await this.#step('writev', path, () => inode.write(part, position))
        inode.write(bytes, position)
      },
      datasync: async () => {
        await this.#step('datasync', path)
        inode.sync()
      },
      size: async () => {
        await this.#alive()
        return inode.seen.length
      },
      close: () => this.#alive(),
    }
  }

  /** Counts an operation; where the process stops here it never returns. */
  async #step(operation: string, path: string, inPart: () => void = () => undefined): Promise<void> {
    await this.#alive()
    while (this.faults.isSlow === true && this.#random() < 0.3)
      await new Promise<void>(resolve => setImmediate(resolve))
    await this.#alive()
    this.operations++
    if (this.operations === this.faults.crashAt) {
      inPart()
      this.#stopped = true
      await this.#alive()
    }
    const code = this.faults.failing?.(operation, path)
    if (code !== undefined) throw failure(code, path)
  }

  #alive(): Promise<void> {
    return this.#stopped ? new Promise(() => undefined) : Promise.resolve()
  }
}

function moveTree(names: Names, from: string, to: string): void {
  for (const [path, inode] of [...names]) {
    if (path !== from && !path.startsWith(`${from}/`)) continue
    names.delete(path)
    names.set(to + path.slice(from.length), inode)
  }
}

function parentOf(path: string): string {
  const cut = path.lastIndexOf('/')
  return cut < 0 ? '' : path.slice(0, cut)
}

function concatenate(buffers: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(buffers.reduce((sum, buffer) => sum + buffer.length, 0))
  let at = 0
  for (const buffer of buffers) {
    all.set(buffer, at)
    at += buffer.length
  }
  return all
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
