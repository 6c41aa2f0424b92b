/**
 * How much space is prepared behind a round: zeroes in the same write, for the next rounds to lie over. A write over
 * blocks that are there already spares the file system the change of a size, which costs it a commit of its journal. A
 * segment that lies over an older file (spare-segments.ts) has such space to begin with.
 *
 * Every byte is written twice for it, so large rounds prepare nothing. What measured better is the rule here; figures:
 * docs/decisions/0008-writes-through-and-prepared-space.md.
 */
import { SECTOR_BYTES } from './format.ts'

/** Rounds of up to this many bytes prepare space. */
const ROUND_BYTES_MAX = 20_480
/** The most that is prepared at once. */
const PREPARED_BYTES_MAX = 65_536

const ZEROES: Uint8Array = new Uint8Array(PREPARED_BYTES_MAX)

/** What the kernel's cache holds at once: a write that ends inside of one needs the rest of it from the disk. */
const PAGE_BYTES = 4_096

/** A round at [start, end) of a segment that is followed by another from `segmentBytesMax` on. */
export interface RoundExtent {
  readonly start: number
  readonly end: number
  readonly segmentBytesMax: number
  /** Up to where the segment lies over an older file; 0: nowhere. */
  readonly recycledBytes: number
  /** Up to where the file has been written. */
  readonly preparedEnd: number
}

/** The zeroes to write behind a round; a view that is not to be changed. */
export function zeroesBehind(round: RoundExtent): Uint8Array {
  const { start, end, segmentBytesMax, recycledBytes, preparedEnd } = round
  if (end < recycledBytes) return pageRest(end)
  if (end <= preparedEnd || end - start > ROUND_BYTES_MAX) return ZEROES.subarray(0, 0)
  // No more than the segment holds: it doubles, and one that stays small wastes little.
  const wanted = Math.min(PREPARED_BYTES_MAX, start, segmentBytesMax - end)
  return ZEROES.subarray(0, Math.max(0, Math.floor(wanted / SECTOR_BYTES) * SECTOR_BYTES))
}

/** Zeroes from `end` to the end of its page: over an older file no page is read to be written in part. */
export function pageRest(end: number): Uint8Array {
  return ZEROES.subarray(0, (PAGE_BYTES - (end % PAGE_BYTES)) % PAGE_BYTES)
}
