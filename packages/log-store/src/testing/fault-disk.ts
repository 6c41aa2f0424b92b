/**
 * A disk in memory with two layers, what the process sees and what would survive, for content and for names. It stops the
 * process at any operation and then leaves what the assumptions of docs/internals/log-format.md allow: unsynced sectors
 * old, new or (past the old end) garbage, each by itself; unsynced names up to any point in their order.
 */
import type { Disk, DiskFile, DiskOpenMode } from '../disk.ts'
import { type Random, TwoLayerFile } from './two-layer-file.ts'

export type { Random } from './two-layer-file.ts'

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

/** Names as a map from path to file; folders are paths too. */
type Names = Map<string, TwoLayerFile | 'folder'>
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
  /** Makes one operation fail: called before each, with its name and path. A sync that fails is lost in part for good. */
  failing?: (operation: string, path: string) => string | undefined
  /** The time that an operation takes: it waits for the promise, where there is one. */
  delay?: (operation: string, path: string) => Promise<void> | undefined
  /** False: a loss of power leaves of each file all that was written or nothing of it. Default true. */
  tears?: boolean
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
    const { garblesOverwrites = false, tears = true } = this.faults
    for (const inode of this.#durable.values()) {
      if (inode !== 'folder') inode.losePower(this.#random, { garblesOverwrites, tears })
    }
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

  /** Whether everything that was written to a file since it has its name would survive, and the name. */
  isDurable(path: string): boolean {
    const inode = this.#seen.get(path)
    if (inode === undefined || inode === 'folder') throw new RangeError(`no file ${path}`)
    return inode.isDurable && this.#durable.get(path) === inode
  }

  /** The bytes of a file. */
  contentOf(path: string): Uint8Array {
    const inode = this.#seen.get(path)
    if (inode === undefined || inode === 'folder') throw new RangeError(`no file ${path}`)
    return inode.content
  }

  /** Puts a file in place, in both layers; null removes it. */
  replace(path: string, bytes: Uint8Array | null): void {
    for (const names of [this.#seen, this.#durable]) names.delete(path)
    if (bytes === null) return
    const inode = new TwoLayerFile()
    inode.write(bytes, 0)
    inode.sync()
    for (const names of [this.#seen, this.#durable]) names.set(path, inode)
  }

  /** Gives a file a second name, in both layers. */
  link(path: string, name: string): void {
    const inode = this.#seen.get(path)
    if (inode === undefined || inode === 'folder') throw new RangeError(`no file ${path}`)
    for (const names of [this.#seen, this.#durable]) names.set(name, inode)
  }

  /** An independent disk with the same content, all of it durable. */
  clone(): FaultDisk {
    const next = this.#successor()
    for (const [path, inode] of this.#seen) {
      if (inode === 'folder') {
        next.#seen.set(path, 'folder')
        next.#durable.set(path, 'folder')
      } else {
        next.replace(path, inode.content)
      }
    }
    return next
  }

  /** Paths of all files; of those that begin with `prefix`, where it is given. */
  files(prefix = ''): readonly string[] {
    const paths: string[] = []
    for (const [path, inode] of this.#seen) if (inode !== 'folder' && path.startsWith(prefix)) paths.push(path)
    return paths
  }

  async open(path: string, mode: DiskOpenMode): Promise<DiskFile> {
    const there = this.#seen.get(path)
    if (mode === 'create') {
      if (there !== undefined) throw failure('EEXIST', path)
      const inode = new TwoLayerFile()
      await this.#change('create', path, { folders: [parentOf(path)], apply: names => void names.set(path, inode) })
      return this.#fileOf(inode, path)
    }
    if (there === undefined || there === 'folder') throw failure('ENOENT', path)
    return mode === 'writeThrough' ? this.#writingThrough(there, path) : this.#fileOf(there, path)
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
    const moved = this.#seen.get(to)
    if (moved !== undefined && moved !== 'folder') moved.rename()
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

  async freeBytes(path = ''): Promise<number> {
    return this.faults.failing?.('freeBytes', path) === undefined ? 2 ** 40 : 0
  }

  async #change(operation: string, path: string, change: NameChange): Promise<void> {
    await this.#step(operation, path)
    change.apply(this.#seen)
    this.#unsynced.push(change)
  }

  #fileOf(inode: TwoLayerFile, path: string): DiskFile {
    return {
      read: async (into, position) => {
        await this.#takeTime('read', path)
        return inode.read(into, position)
      },
      writev: async (buffers, position) => {
        const bytes = concatenate(buffers)
        const part = bytes.subarray(0, Math.floor(this.#random() * (bytes.length + 1)))
        await this.#step('writev', path, () => inode.write(part, position))
        inode.write(bytes, position)
      },
      datasync: async () => {
        await this.#sync(inode, path)
        inode.sync()
      },
      size: async () => {
        if (this.#stopped) await never()
        return inode.size
      },
      names: async () => {
        if (this.#stopped) await never()
        return [...this.#seen.values()].filter(there => there === inode).length
      },
      close: () => (this.#stopped ? never() : Promise.resolve()),
    }
  }

  /** Two operations for each write, so that the process may also stop between the bytes and their durability. */
  #writingThrough(inode: TwoLayerFile, path: string): DiskFile {
    const file = this.#fileOf(inode, path)
    return {
      ...file,
      writev: async (buffers, position) => {
        await file.writev(buffers, position)
        await this.#sync(inode, path)
        inode.syncRange(position, position + buffers.reduce((sum, buffer) => sum + buffer.length, 0))
      },
    }
  }

  async #sync(inode: TwoLayerFile, path: string): Promise<void> {
    try {
      await this.#step('datasync', path)
    } catch (error) {
      inode.failSync(this.#random)
      throw error
    }
  }

  /** Counts an operation; where the process stops here it never returns. */
  async #step(operation: string, path: string, inPart: () => void = () => undefined): Promise<void> {
    await this.#takeTime(operation, path)
    while (this.faults.isSlow === true && this.#random() < 0.3) {
      await new Promise<void>(resolve => setImmediate(resolve))
      if (this.#stopped) await never()
    }
    this.operations++
    if (this.operations === this.faults.crashAt) {
      inPart()
      this.#stopped = true
      await never()
    }
    const code = this.faults.failing?.(operation, path)
    if (code !== undefined) throw failure(code, path)
  }

  async #takeTime(operation: string, path: string): Promise<void> {
    if (this.#stopped) await never()
    const delay = this.faults.delay?.(operation, path)
    if (delay === undefined) return
    await delay
    if (this.#stopped) await never()
  }
}

/** What a process that has stopped waits for. */
function never(): Promise<never> {
  return new Promise(() => undefined)
}

function moveTree(names: Names, from: string, to: string): void {
  const single = names.get(from)
  if (single !== undefined && single !== 'folder') {
    names.delete(from)
    names.set(to, single)
    return
  }
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
