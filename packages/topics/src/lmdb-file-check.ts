/**
 * Looks at the first two pages of an LMDB file before LMDB does, which (3.5) ends the process on a file that is not its
 * own, or is cut short. Finds what is plainly wrong, not every flipped bit; `millrace log verify` looks at all of it.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import {
  decodeMeta,
  isPageSize,
  LMDB_DATA_VERSION,
  LMDB_MAGIC,
  type LmdbMeta,
  META_BYTES,
  NO_PAGE,
  TREE_DEPTH_MAX,
} from './lmdb-layout.ts'

/** @returns what is wrong with the file, or undefined where nothing is or there is no file yet */
export function faultOfLmdbFile(path: string): string | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const { size } = fstatSync(file)
    if (size === 0) return undefined
    const first = Buffer.alloc(META_BYTES)
    if (readSync(file, first, 0, first.length, 0) < first.length) return `it has only ${size} bytes`
    const pageBytes = decodeMeta(first).free.pad
    if (!isPageSize(pageBytes)) return `its page size is ${pageBytes}`
    const second = Buffer.alloc(META_BYTES)
    if (readSync(file, second, 0, second.length, pageBytes) < second.length) return `it has only ${size} bytes`
    return faultOfMeta(decodeMeta(first), pageBytes, size) ?? faultOfMeta(decodeMeta(second), pageBytes, size)
  } finally {
    closeSync(file)
  }
}

/** @param pageBytes as the first meta page says */
export function faultOfMeta(meta: LmdbMeta, pageBytes: number, fileBytes: number): string | undefined {
  if (meta.magic !== LMDB_MAGIC) return 'it is not an LMDB file'
  if (meta.version !== LMDB_DATA_VERSION) return `its data version is ${meta.version}, not ${LMDB_DATA_VERSION}`
  if (meta.free.pad !== pageBytes) return 'its two meta pages disagree'
  for (const { root, depth } of [meta.free, meta.values]) {
    if (root !== NO_PAGE && (root + 1n) * BigInt(pageBytes) > BigInt(fileBytes))
      return `it is cut short: page ${root} is missing`
    if (depth > TREE_DEPTH_MAX) return 'a meta page is damaged'
  }
  return undefined
}
