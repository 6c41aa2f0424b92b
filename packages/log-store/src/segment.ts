/** One live segment of a group in memory: what its header says, how far it counts, and its sparse index. */
import type { LogPosition } from './log-store.ts'
import type { SegmentHeader } from './segment-header.ts'
import { segmentFileName } from './segment-header.ts'
import type { IndexOwner, SegmentIndex } from './segment-index.ts'

/** What a segment cannot give: the entries after `before`, up to `last`. None, where only bytes between rounds are bad. */
export interface SegmentGap {
  readonly before: LogPosition
  readonly last: LogPosition
  /** Position of the round after it; null where the segment holds none. */
  readonly resumeAt: number | null
  /** Where the damage starts, and what it is. */
  readonly position: number
  readonly detail: string
}

export const NO_GAPS: readonly SegmentGap[] = []

export interface Segment {
  readonly header: SegmentHeader
  readonly path: string
  /** Last live entry in it: the newest durable one where it is the last segment. */
  limit: number
  /** Where the next round would start; of a sealed segment the size of the file. */
  end: number
  /** Position of the newest round, 0 where there is none; known of the last segment only. */
  lastRound: number
  /** Just after the frame at `limit`; known of the last segment only. */
  framesEnd: number
  /** Of the last segment always in memory; of the others loaded when needed. */
  index: SegmentIndex | null
  /** What a scan found that it cannot give, rising. Without a scan nothing is known, and reads will tell. */
  gaps: readonly SegmentGap[]
}

export function segmentPath(folder: string, base: number, generation: number): string {
  return `${folder}/${segmentFileName({ base, generation })}`
}

/** What the index file of a segment must say of itself. */
export function ownerOf(segment: Segment): IndexOwner {
  const { generation, salt, group, base } = segment.header
  return { generation, salt, group, base: base.index }
}

/** The segment that holds entry `index`. */
export function segmentOf(segments: readonly Segment[], index: number): Segment | undefined {
  return segments.findLast(segment => segment.header.base.index < index && index <= segment.limit)
}
