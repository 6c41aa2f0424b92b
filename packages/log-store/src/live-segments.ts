/**
 * Which of a group's segment files count, and up to where: decided from names, headers and sizes alone. Entries above the
 * base of a segment are void in every lower generation; a segment ends where the next one starts.
 */
import { type Disk, openIfThere } from './disk.ts'
import type { FormatFault } from './format.ts'
import { LogError, type LogPosition } from './log-store.ts'
import { segmentPath } from './segment.ts'
import {
  decodeSegmentHeader,
  parseSegmentFileName,
  SEGMENT_HEADER_FIXED_BYTES,
  type SegmentHeader,
  type SegmentName,
  segmentHeaderLength,
} from './segment-header.ts'

const HEADERS_AT_ONCE = 8
/** Longer headers, with many configurations, take a second read. */
const HEADER_READ_BYTES = 4_096

/** A segment by its name, and its last live index. */
export interface LiveName extends SegmentName {
  readonly limit: number
}

export interface NamedSegments {
  /** Rising by base; the last one is open. */
  readonly live: readonly LiveName[]
  /** Void, or wholly at or below the log's base. */
  readonly dead: readonly SegmentName[]
  readonly highestGeneration: number
}

/** Sorts out file names. */
export function sortSegments(names: readonly string[], baseIndex: number, voidBelow: number): NamedSegments {
  const all = names.map(parseSegmentFileName).filter(name => name !== null)
  const live: (SegmentName & { limit: number })[] = []
  const dead: SegmentName[] = []
  const limitOf = limitsOf(all)
  for (const name of all) {
    const limit = limitOf(name)
    if (name.generation < voidBelow || name.base >= limit || limit <= baseIndex) dead.push(name)
    else live.push({ ...name, limit })
  }
  live.sort((a, b) => a.base - b.base)
  const highestGeneration = all.reduce((highest, name) => Math.max(highest, name.generation), voidBelow)
  return { live, dead, highestGeneration }
}

/** The smallest base among those of the same generation that are higher, and all of higher generations. */
function limitsOf(all: readonly SegmentName[]): (name: SegmentName) => number {
  const limits = new Map<SegmentName, number>()
  const falling = all.toSorted((a, b) => b.generation - a.generation || b.base - a.base)
  let lowest = Number.POSITIVE_INFINITY
  for (const name of falling) {
    limits.set(name, lowest)
    lowest = Math.min(lowest, name.base)
  }
  return name => limits.get(name)!
}

/** The smallest base among segments of generations above `generation`: what was written before them is void above it. */
export function limitAbove(names: readonly string[], generation: number): number {
  let lowest = Number.POSITIVE_INFINITY
  for (const name of names.map(parseSegmentFileName))
    if (name !== null && name.generation > generation) lowest = Math.min(lowest, name.base)
  return lowest
}

/** A live segment as its name and the start of its file tell of it. */
export interface OpenedSegment {
  readonly name: LiveName
  readonly path: string
  /** What is wrong with it, where it cannot be read. */
  readonly header: SegmentHeader | FormatFault
  readonly size: number
  /** The segment after it says that it was longer. */
  readonly isCut: boolean
}

/**
 * Reads the headers of live segments and checks that each joins the one before it.
 *
 * @throws LogError `DAMAGED` where a file is gone, of another group or place, or joins nothing
 */
export async function openSegments(
  disk: Disk,
  folder: string,
  group: number,
  named: NamedSegments,
  base: LogPosition,
): Promise<readonly OpenedSegment[]> {
  const headers = await readHeaders(disk, folder, named)
  return named.live.map((name, at) => {
    const path = segmentPath(folder, name.base, name.generation)
    const { header, size } = headers[at]!
    if (typeof header !== 'string') {
      if (header.group !== group || header.generation !== name.generation || header.base.index !== name.base)
        throw damaged(path, `its header is that of group ${header.group}, base ${header.base.index}`)
      assertJoins(header, path, named.live[at - 1], base)
    }
    const next = headers[at + 1]?.header
    const until = next === undefined || typeof next === 'string' ? null : next.predecessor
    return { name, path, header, size, isCut: until !== null && size < until.end }
  })
}

interface FoundHeader {
  readonly header: SegmentHeader | FormatFault
  readonly size: number
}

/** In the order of `named.live`, several at a time. */
async function readHeaders(disk: Disk, folder: string, { live }: NamedSegments): Promise<readonly FoundHeader[]> {
  const found: FoundHeader[] = []
  for (let at = 0; at < live.length; at += HEADERS_AT_ONCE) {
    const some = live.slice(at, at + HEADERS_AT_ONCE)
    found.push(
      ...(await Promise.all(some.map(name => readHeader(disk, segmentPath(folder, name.base, name.generation))))),
    )
  }
  return found
}

async function readHeader(disk: Disk, path: string): Promise<FoundHeader> {
  const file = await openIfThere(disk, path, 'read')
  if (file === null) throw damaged(path, 'the file is gone')
  try {
    const size = await file.size()
    const first = new Uint8Array(HEADER_READ_BYTES)
    const start = first.subarray(0, await file.read(first, 0))
    const length = segmentHeaderLength(start.subarray(0, SEGMENT_HEADER_FIXED_BYTES))
    if (typeof length === 'string') return { header: length, size }
    const bytes = length <= start.length ? start.subarray(0, length) : new Uint8Array(length)
    if (length > start.length) await file.read(bytes, 0)
    return { header: decodeSegmentHeader(bytes), size }
  } finally {
    await file.close()
  }
}

function assertJoins(header: SegmentHeader, path: string, previous: LiveName | undefined, base: LogPosition): void {
  if (header.base.index < base.index) return
  if (header.base.index === base.index) {
    if (header.base.chain !== base.chain) throw damaged(path, `it does not continue the base record at ${base.index}`)
    return
  }
  const { predecessor } = header
  const isPrevious =
    predecessor !== null &&
    predecessor.base === previous?.base &&
    predecessor.generation === previous.generation &&
    previous.limit === header.base.index
  if (!isPrevious) throw damaged(path, `the segment before it, with entry ${header.base.index}, is missing`)
}

export function damaged(path: string, what: string): LogError {
  return new LogError(
    'DAMAGED',
    `${path}: ${what}. Nothing was changed. Restore the file, or drop this replica and add a new one`,
  )
}
