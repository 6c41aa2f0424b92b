/** One live segment of a group in memory: what its header says, how far it counts, and its sparse index. */
import type { SegmentHeader } from './segment-header.ts'
import { segmentFileName } from './segment-header.ts'
import type { IndexOwner, SegmentIndex } from './segment-index.ts'

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
