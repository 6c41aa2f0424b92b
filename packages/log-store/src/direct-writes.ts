/**
 * Large writes past the page cache (`O_DIRECT`). The kernel would copy each byte into pages that it first has to find and
 * then to give up again, which for a log that is read at its tail, from memory, costs more than everything else about a
 * write: docs/decisions/0013-large-rounds-past-the-page-cache.md.
 *
 * Such a write wants memory, position and length at multiples of a sector, so bytes are gathered in areas that are. What it
 * cannot take, and all of it where a file system knows no such writes, is left to the caller. Durable like any other write
 * to a descriptor with `O_DSYNC`; of the same file read and written through the page cache the kernel keeps the two alike.
 */
import * as fs from 'node:fs'
import { errnoOf } from './disk.ts'
import { SECTOR_BYTES } from './format.ts'

const { O_RDWR, O_DSYNC, O_DIRECT } = fs.constants
/** Below, a copy into the page cache is cheap, and the next write of the same page finds it there. */
const DIRECT_BYTES_MIN = 64 * 1024
/** Of one write; longer ones are made of several. A batch of 1 MiB fits, with what a round adds to it. */
const AREA_BYTES = (1024 + 64) * 1024
/** Writes at a time, as many as flushes by default; a write that finds none goes through the page cache. */
const AREAS = 2
const WASM_PAGE_BYTES = 64 * 1024
/** What file systems answer that know no such writes, or want larger sectors. Nothing was written then. */
const UNABLE: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'])

/** TypeScript's library has it with browsers only. */
declare const WebAssembly: {
  readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer }
}

let freeAreas: Uint8Array[] | undefined

/** Memory whose address is a multiple of a page: of this platform's buffers only those of WebAssembly promise it. */
function areas(): Uint8Array[] {
  if (freeAreas === undefined) {
    const pages = (AREAS * AREA_BYTES) / WASM_PAGE_BYTES
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages })
    freeAreas = Array.from({ length: AREAS }, (_, at) => new Uint8Array(buffer, at * AREA_BYTES, AREA_BYTES))
  }
  return freeAreas
}

export class DirectWrites {
  readonly #through: number
  #descriptor: number | undefined
  #able = O_DIRECT !== undefined

  /** @param through descriptor of the file, with `O_DSYNC`; it stays the caller's */
  constructor(through: number) {
    this.#through = through
  }

  /**
   * Writes as much of the beginning of `buffers` as it can, durably.
   *
   * @returns bytes written; the caller writes the rest
   */
  async write(buffers: readonly Uint8Array[], position: number): Promise<number> {
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    if (!this.#able || bytes < DIRECT_BYTES_MIN || position % SECTOR_BYTES !== 0) return 0
    const area = areas().pop()
    if (area === undefined) return 0
    try {
      this.#descriptor ??= await openAgain(this.#through)
      if (this.#descriptor !== undefined) return await this.#gather(this.#descriptor, area, buffers, position)
      this.#able = false
      return 0
    } finally {
      areas().push(area)
    }
  }

  async close(): Promise<void> {
    const descriptor = this.#descriptor
    this.#descriptor = undefined
    if (descriptor === undefined) return
    await new Promise<void>((resolve, reject) => {
      fs.close(descriptor, error => (error ? reject(error) : resolve()))
    })
  }

  async #gather(
    descriptor: number,
    area: Uint8Array,
    buffers: readonly Uint8Array[],
    position: number,
  ): Promise<number> {
    const gathered = new Gathered(buffers)
    let written = 0
    for (;;) {
      const filled = gathered.fill(area)
      const length = filled - (filled % SECTOR_BYTES)
      if (length === 0) return written
      const count = await writeOnce(descriptor, area, length, position + written)
      if (count === undefined) this.#able = false
      written += count ?? 0
      if (count !== length) return written
    }
  }
}

/** Opens the same file, whatever its name is by now; undefined where such writes cannot be had. */
function openAgain(through: number): Promise<number | undefined> {
  return new Promise(resolve => {
    fs.open(`/proc/self/fd/${through}`, O_RDWR | O_DSYNC | O_DIRECT, (error, fd) => resolve(error ? undefined : fd))
  })
}

/** @returns bytes written; undefined: none, and none will be */
function writeOnce(
  descriptor: number,
  area: Uint8Array,
  length: number,
  position: number,
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    fs.write(descriptor, area, 0, length, position, (error, count) => {
      if (error === null) resolve(count)
      else if (UNABLE.has(errnoOf(error))) resolve(undefined)
      else reject(error)
    })
  })
}

/** Buffers one behind the other, taken out a stretch at a time. */
class Gathered {
  readonly #buffers: readonly Uint8Array[]
  #buffer = 0
  #offset = 0

  constructor(buffers: readonly Uint8Array[]) {
    this.#buffers = buffers
  }

  /** @returns bytes put into `area`, from its start: all of it, or what was left */
  fill(area: Uint8Array): number {
    let filled = 0
    while (filled < area.length && this.#buffer < this.#buffers.length) {
      const buffer = this.#buffers[this.#buffer]!
      const piece = buffer.subarray(this.#offset, this.#offset + area.length - filled)
      area.set(piece, filled)
      filled += piece.length
      this.#offset += piece.length
      if (this.#offset < buffer.length) break
      this.#buffer++
      this.#offset = 0
    }
    return filled
  }
}
