/**
 * How much space is prepared behind a round: zeroes in the same write, for the next rounds to lie over. A write over
 * blocks that are there already spares the file system the change of a size, which costs it a commit of its journal.
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

/** A round at [start, end) of a segment that is followed by another from `segmentBytesMax` on. */
export interface RoundExtent {
  readonly start: number
  readonly end: number
  readonly segmentBytesMax: number
}

/** The zeroes to write behind a round that ends past all prepared space; a view that is not to be changed. */
export function zeroesBehind({ start, end, segmentBytesMax }: RoundExtent): Uint8Array {
  if (end - start > ROUND_BYTES_MAX) return ZEROES.subarray(0, 0)
  // No more than the segment holds: it doubles, and one that stays small wastes little.
  const wanted = Math.min(PREPARED_BYTES_MAX, start, segmentBytesMax - end)
  return ZEROES.subarray(0, Math.max(0, Math.floor(wanted / SECTOR_BYTES) * SECTOR_BYTES))
}
