/** The pages of an LMDB file, for reading only and without the library: whatever the bytes are, nothing ends the process. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { decodeMeta, isPageSize, type LmdbMeta, META_BYTES } from '../lmdb-layout.ts'

export class LmdbFile {
  readonly bytes: number
  readonly #file: number

  /** @throws what the system says, `ENOENT` where there is no file */
  constructor(path: string) {
    this.#file = openSync(path, 'r')
    this.bytes = fstatSync(this.#file).size
  }

  /** Both meta pages and the page size that the first one names, or what keeps them from being read. */
  metas(): { readonly pageBytes: number; readonly metas: readonly [LmdbMeta, LmdbMeta] } | string {
    const first = this.read(0, META_BYTES)
    if (first === null) return `it has only ${this.bytes} bytes`
    const pageBytes = decodeMeta(first).free.pad
    if (!isPageSize(pageBytes)) return `its page size is ${pageBytes}`
    const second = this.read(pageBytes, META_BYTES)
    if (second === null) return `it has only ${this.bytes} bytes`
    return { pageBytes, metas: [decodeMeta(first), decodeMeta(second)] }
  }

  /** `count` bytes that nobody else holds; null where the file ends before. */
  read(position: number, count: number): Buffer | null {
    if (position + count > this.bytes) return null
    const into = Buffer.allocUnsafe(count)
    for (let filled = 0; filled < count; ) {
      const got = readSync(this.#file, into, filled, count - filled, position + filled)
      if (got === 0) return null
      filled += got
    }
    return into
  }

  close(): void {
    closeSync(this.#file)
  }
}
