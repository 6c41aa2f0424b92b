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
  for (const name of all) {
    const limit = limitOf(name, all)
    if (name.generation < voidBelow || name.base >= limit || limit <= baseIndex) dead.push(name)
    else live.push({ ...name, limit })
  }
  live.sort((a, b) => a.base - b.base)
  const highestGeneration = all.reduce((highest, name) => Math.max(highest, name.generation), voidBelow)
  return { live, dead, highestGeneration }
}

function limitOf(name: SegmentName, all: readonly SegmentName[]): number {
  let limit = Number.POSITIVE_INFINITY
  for (const other of all) {
    const follows = other.generation === name.generation ? other.base > name.base : other.generation > name.generation
    if (follows) limit = Math.min(limit, other.base)
  }
  return limit
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
  for (const name of named.live) {
    const path = segmentPath(folder, name.base, name.generation)
    const { header, size } = await readHeader(disk, path)
    if (header.group !== group || header.generation !== name.generation || header.base.index !== name.base) {
      throw damaged(path, `its header is that of group ${header.group}, base ${header.base.index}`)
    }
    const previous = segments.at(-1)
    assertJoins(header, path, previous, base)
    segments.push({ header, path, limit: name.limit, end: size, lastRound: 0, framesEnd: 0, index: null })
  }
  return segments
}

async function readHeader(disk: Disk, path: string): Promise<{ header: SegmentHeader; size: number }> {
  const file = await openIfThere(disk, path, 'read')
  if (file === null) throw damaged(path, 'the file is gone')
  try {
    const fixed = new Uint8Array(SEGMENT_HEADER_FIXED_BYTES)
    const length = segmentHeaderLength(fixed.subarray(0, await file.read(fixed, 0)))
    if (typeof length === 'string') throw damaged(path, `its header is unreadable: ${length}`)
    const bytes = new Uint8Array(length)
    const header = decodeSegmentHeader(bytes.subarray(0, await file.read(bytes, 0)))
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
