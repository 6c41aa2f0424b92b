/**
 * What can be said of the segments of a log without reading them: enough to decide how much of it may go. Pure.
 */
import type { Frame } from '@millrace/record'
import { nextOffsetAfter } from '@millrace/record'
import type { LogPosition } from './log-store.ts'
import type { Segment } from './segment.ts'

/** One part of a log, which a trim drops as a whole. */
export interface SegmentExtent {
  /** Its first entry that is above the log's base. */
  readonly firstIndex: number
  readonly lastIndex: number
  /** First offset that is not in it or before it. */
  readonly nextOffset: number
  /** Of its last frame, milliseconds: nothing in it is newer. */
  readonly newestTimestamp: number
  /** Of its file, what is below the log's base included. */
  readonly bytes: number
}

/** @param end of what is durable */
export function extentsOfSegments(
  segments: readonly Segment[],
  base: LogPosition,
  end: LogPosition,
): readonly SegmentExtent[] {
  return segments.map((segment, at) => {
    const last = segments[at + 1]?.header.base ?? end
    return {
      firstIndex: Math.max(segment.header.base.index, base.index) + 1,
      lastIndex: last.index,
      nextOffset: last.nextOffset,
      newestTimestamp: last.timestamp,
      bytes: segment.end,
    }
  })
}

export interface RunLimits {
  readonly bytesMax: number
  readonly ageMaxMs: number
}

/** Frames in memory, in the runs that would be segments on files. */
export function extentsOfFrames(frames: Iterable<Frame>, { bytesMax, ageMaxMs }: RunLimits): readonly SegmentExtent[] {
  const extents: SegmentExtent[] = []
  let first: Frame | undefined
  let last: Frame | undefined
  let bytes = 0
  const end = (): void => {
    if (first === undefined || last === undefined) return
    const { index: lastIndex, timestamp: newestTimestamp } = last.header
    const nextOffset = nextOffsetAfter(last.header)
    extents.push({ firstIndex: first.header.index, lastIndex, nextOffset, newestTimestamp, bytes })
  }
  for (const frame of frames) {
    if (first !== undefined && (bytes >= bytesMax || frame.header.timestamp - first.header.timestamp >= ageMaxMs)) {
      end()
      first = undefined
      bytes = 0
    }
    first ??= frame
    last = frame
    bytes += frame.bytes.length
  }
  end()
  return extents
}
