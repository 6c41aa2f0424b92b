/**
 * Which of a group's segment files count, and up to where: decided from names, headers and sizes alone. Entries above the
 * base of a segment are void in every lower generation; a segment ends where the next one starts.
 */
import { type Disk, openIfThere } from './disk.ts'
import { LogError, type LogPosition } from './log-store.ts'
import { type Segment, segmentPath } from './segment.ts'
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

export interface NamedSegments {
  /** Rising by base, each with its last live index; the last one is open. */
  readonly live: readonly (SegmentName & { readonly limit: number })[]
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

/**
 * Reads the headers of live segments and checks that each joins the one before it.
 *
 * @throws LogError `DAMAGED` where one is unreadable, of another group or place, missing, or shorter than it must be
 */
export async function openSegments(
  disk: Disk,
  folder: string,
  group: number,
  named: NamedSegments,
  base: LogPosition,
): Promise<Segment[]> {
  const segments: Segment[] = []
  const headers = await readHeaders(disk, folder, named)
  for (const [at, name] of named.live.entries()) {
    const path = segmentPath(folder, name.base, name.generation)
    const { header, size } = headers[at]!
    if (header.group !== group || header.generation !== name.generation || header.base.index !== name.base) {
      throw damaged(path, `its header is that of group ${header.group}, base ${header.base.index}`)
    }
    const previous = segments.at(-1)
    assertJoins(header, path, previous, base)
    segments.push({ header, path, limit: name.limit, end: size, lastRound: 0, framesEnd: 0, index: null })
  }
  return segments
}

interface FoundHeader {
  readonly header: SegmentHeader
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
    const first = new Uint8Array(HEADER_READ_BYTES)
    const start = first.subarray(0, await file.read(first, 0))
    const length = segmentHeaderLength(start.subarray(0, SEGMENT_HEADER_FIXED_BYTES))
    if (typeof length === 'string') throw damaged(path, `its header is unreadable: ${length}`)
    const bytes = length <= start.length ? start.subarray(0, length) : new Uint8Array(length)
    if (length > start.length) await file.read(bytes, 0)
    const header = decodeSegmentHeader(bytes)
    if (typeof header === 'string') throw damaged(path, `its header is unreadable: ${header}`)
    return { header, size: await file.size() }
  } finally {
    await file.close()
  }
}

function assertJoins(header: SegmentHeader, path: string, previous: Segment | undefined, base: LogPosition): void {
  if (header.base.index < base.index) return
  if (header.base.index === base.index) {
    if (header.base.chain !== base.chain) throw damaged(path, `it does not continue the base record at ${base.index}`)
    return
  }
  const { predecessor } = header
  const isPrevious =
    predecessor !== null &&
    predecessor.base === previous?.header.base.index &&
    predecessor.generation === previous.header.generation &&
    previous.limit === header.base.index
  if (!isPrevious) throw damaged(path, `the segment before it, with entry ${header.base.index}, is missing`)
  if (previous.end < predecessor.end) {
    throw damaged(
      previous.path,
      `it is cut at byte ${previous.end}; entry ${previous.limit} ends at byte ${predecessor.end}`,
    )
  }
}

export function damaged(path: string, what: string): LogError {
  return new LogError(
    'DAMAGED',
    `${path}: ${what}. Nothing was changed. Restore the file, or drop this replica and add a new one`,
  )
}
