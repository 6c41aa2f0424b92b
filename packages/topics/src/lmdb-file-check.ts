/**
 * Looks at the first two pages of an LMDB file before LMDB does, which (3.5) ends the process on a file that is not its
 * own, or is cut short. Finds what is plainly wrong, not every flipped bit.
 *
 * Layout (liblmdb, MDB_page and MDB_meta, 64-bit little-endian): page header of 24 bytes, then magic, version, address,
 * map size, two tree descriptors of 48 bytes (the first one's `pad` is the page size, `root` the last field), last page,
 * transaction id.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

const META = 24
const MAGIC = 0xbeef_c0de
const DATA_VERSION = 2
const TREES = [META + 24, META + 72] as const
const ROOT_IN_TREE = 40
const DEPTH_IN_TREE = 6
const TREE_DEPTH_MAX = 32
const NO_PAGE = 0xffff_ffff_ffff_ffffn

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
    const first = Buffer.alloc(META + 144)
    if (readSync(file, first, 0, first.length, 0) < first.length) return `it has only ${size} bytes`
    const pageBytes = first.readUInt32LE(TREES[0])
    const powerOfTwo = pageBytes >= 4_096 && pageBytes <= 65_536 && (pageBytes & (pageBytes - 1)) === 0
    if (!powerOfTwo) return `its page size is ${pageBytes}`
    const second = Buffer.alloc(first.length)
    if (readSync(file, second, 0, second.length, pageBytes) < second.length) return `it has only ${size} bytes`
    return faultOfMeta(first, pageBytes, size) ?? faultOfMeta(second, pageBytes, size)
  } finally {
    closeSync(file)
  }
}

function faultOfMeta(meta: Buffer, pageBytes: number, fileBytes: number): string | undefined {
  if (meta.readUInt32LE(META) !== MAGIC) return 'it is not an LMDB file'
  const version = meta.readUInt32LE(META + 4)
  if (version !== DATA_VERSION) return `its data version is ${version}, not ${DATA_VERSION}`
  if (meta.readUInt32LE(TREES[0]) !== pageBytes) return 'its two meta pages disagree'
  for (const tree of TREES) {
    const root = meta.readBigUInt64LE(tree + ROOT_IN_TREE)
    if (root !== NO_PAGE && (root + 1n) * BigInt(pageBytes) > BigInt(fileBytes))
      return `it is cut short: page ${root} is missing`
    if (meta.readUInt16LE(tree + DEPTH_IN_TREE) > TREE_DEPTH_MAX) return 'a meta page is damaged'
  }
  return undefined
}
