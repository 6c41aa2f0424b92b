/**
 * Checks an LMDB file as a whole: both meta pages, the tree of free pages, the tree of values, and that no page is in two
 * places. What is in the values is the caller's to judge.
 *
 * A file has no checksums outside the values, so a flipped bit shows only where two things no longer agree. Where nothing
 * disagrees the library finds the same values as before, and writes over none of them.
 */
import { faultOfMeta } from '../lmdb-file-check.ts'
import { decodePageHeader, type LmdbMeta, NO_PAGE, PAGE_HEADER_BYTES, PageFlag } from '../lmdb-layout.ts'
import { LmdbFile } from './lmdb-file.ts'
import { TreeWalk, type WalkContext } from './lmdb-walk.ts'
import { PageOwners } from './page-owners.ts'

/** Flags of the two trees as this store makes them: keys of the free one are integers. */
const FREE_FLAGS = 0x08
const VALUES_FLAGS = 0
/** Of address space that a process has for maps. */
const MAP_BYTES_MAX = 2n ** 46n
const MAP_UNIT_BYTES = 4_096n
const ID_BYTES = 8

export interface LmdbVisitor {
  damaged(position: number, what: string): void
  value(key: Buffer, value: Buffer, position: number): void
}

/**
 * @param path of a file that nobody writes to
 * @returns whether anything was ever committed to it, as far as that can be told
 * @throws what the system says, `ENOENT` where there is no file
 */
export function verifyLmdbFile(path: string, visitor: LmdbVisitor): boolean {
  const file = new LmdbFile(path)
  try {
    if (file.bytes === 0) return false
    const read = file.metas()
    if (typeof read === 'string') {
      visitor.damaged(0, read)
      return true
    }
    const { metas, pageBytes } = read
    const faults = metas.map((meta, at) => faultsOfMeta(meta, at, pageBytes, file.bytes))
    for (const [at, found] of faults.entries())
      for (const what of found) visitor.damaged(at * pageBytes, `meta page ${at}: ${what}`)
    if (faults.some(found => found.length > 0)) return true
    const newest = metas[0].transaction > metas[1].transaction ? 0 : 1
    walk(file, { pageBytes, meta: metas[newest], position: newest * pageBytes }, visitor)
    for (const [at, meta] of metas.entries()) {
      const fault = faultOfRoots(file, meta, pageBytes)
      if (fault !== undefined) visitor.damaged(at * pageBytes, `meta page ${at}: ${fault}`)
    }
    const [a, b] = [metas[0].transaction, metas[1].transaction]
    if (a - b > 1n || b - a > 1n)
      visitor.damaged(0, `meta pages: transactions ${a} and ${b} do not follow each other; the newest may be hidden`)
    return metas[newest].transaction > 0n
  } finally {
    file.close()
  }
}

function faultsOfMeta(meta: LmdbMeta, at: number, pageBytes: number, fileBytes: number): string[] {
  const { header, transaction, lastPage, mapBytes, free, values } = meta
  const gross = faultOfMeta(meta, pageBytes, fileBytes)
  if (gross !== undefined) return [gross]
  const faults: string[] = []
  if (header.page !== BigInt(at) || header.flags !== PageFlag.meta) faults.push('its page header is not that of one')
  if (transaction !== 0n && transaction % 2n !== BigInt(at))
    faults.push(`transaction ${transaction} is not written here`)
  if (free.flags !== FREE_FLAGS || values.flags !== VALUES_FLAGS || values.pad !== 0)
    faults.push(`flags ${free.flags} and ${values.flags}, not ${FREE_FLAGS} and ${VALUES_FLAGS}`)
  if (mapBytes > MAP_BYTES_MAX || mapBytes % MAP_UNIT_BYTES !== 0n || (lastPage + 1n) * BigInt(pageBytes) > mapBytes)
    faults.push(`pages up to ${lastPage} in a map of ${mapBytes} bytes`)
  return faults
}

interface Snapshot {
  readonly pageBytes: number
  readonly meta: LmdbMeta
  /** Of the meta page. */
  readonly position: number
}

function walk(file: LmdbFile, { pageBytes, meta, position }: Snapshot, visitor: LmdbVisitor): void {
  const { transaction, lastPage, free, values } = meta
  const owners = new PageOwners(lastPage, Math.floor(file.bytes / pageBytes))
  const damaged = (at: number, what: string): void => visitor.damaged(at, what)
  const context: WalkContext = { file, pageBytes, transaction, owners, damaged }
  const listed: { readonly value: Buffer; readonly position: number }[] = []
  new TreeWalk(context, values, {
    name: 'values',
    compare: Buffer.compare,
    entry: (key, value, at) => visitor.value(key, value, at),
  }).run(position)
  new TreeWalk(context, free, {
    name: 'free pages',
    compare: (a, b) => compareIds(a, b),
    entry: (key, value, at) => {
      if (key.length !== ID_BYTES || key.readBigUInt64LE() > transaction)
        damaged(at, `free pages: an entry under the key ${key.toString('hex')}`)
      listed.push({ value, position: at })
    },
  }).run(position)
  for (const { value, position: at } of listed) {
    const fault = claimFree(owners, value)
    if (fault !== undefined) damaged(at, fault)
  }
}

/**
 * What a transaction changes, it changes up to a root, so one of the roots is of the transaction that the meta page names.
 * Of the older meta page too: no transaction writes over the pages of the one before.
 */
function faultOfRoots(file: LmdbFile, { transaction, free, values }: LmdbMeta, pageBytes: number): string | undefined {
  const roots = [free, values].map(({ root }) => root).filter(root => root !== NO_PAGE)
  const headers = roots.map(root => file.read(Number(root) * pageBytes, PAGE_HEADER_BYTES))
  const written = headers.map(header => (header === null ? 0n : decodePageHeader(header).transaction))
  const isConsistent = written.includes(transaction) && written.every(each => each <= transaction)
  if (roots.length === 0 || isConsistent) return undefined
  return `of transaction ${transaction}, but the roots are of ${written.join(' and ')}`
}

/** A list of pages: their count, then each as its number; a number below zero says how many follow from the next one on. */
function claimFree(owners: PageOwners, list: Buffer): string | undefined {
  const count = list.length < ID_BYTES ? -1n : list.readBigInt64LE()
  if (count < 0n || (count + 1n) * BigInt(ID_BYTES) > BigInt(list.length))
    return `free pages: a list of ${count} in ${list.length} bytes`
  for (let at = 1; at <= Number(count); at++) {
    const number = list.readBigInt64LE(at * ID_BYTES)
    if (number === 0n) continue
    const isRun = number < 0n
    if (isRun) at++
    if (at > Number(count)) return 'free pages: a list ends within a run'
    const fault = owners.claim(list.readBigInt64LE(at * ID_BYTES), isRun ? -number : 1n, 'free pages')
    if (fault !== undefined) return fault
  }
  return undefined
}

function compareIds(a: Buffer, b: Buffer): number {
  if (a.length !== ID_BYTES || b.length !== ID_BYTES) return a.length - b.length || Buffer.compare(a, b)
  const difference = a.readBigUInt64LE() - b.readBigUInt64LE()
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}
