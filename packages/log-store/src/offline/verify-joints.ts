/** Checks that what was found whole also fits together: segment to segment, and the base record to the log. */
import { isDeepStrictEqual } from 'node:util'
import { positionAfter } from '../frame-sequence.ts'
import type { BaseRecord, LogPosition } from '../log-store.ts'
import { OpenFiles } from '../open-files.ts'
import { SegmentReader } from '../segment-reader.ts'
import type { VerifyContext } from './verify-context.ts'
import type { CheckedSegment } from './verify-segment.ts'

/** Places of fields in a segment header and a base record (docs/internals/log-format.md). */
const BASE_OF_SEGMENT_AT = 32
const PREDECESSOR_AT = 72
const INDEX_OF_BASE_AT = 32

interface Entry {
  readonly position: LogPosition
  /** Just after its frame. */
  readonly end: number
}

/** `before` is null where there is none that could be read. */
export async function verifyJoint(
  context: VerifyContext,
  before: CheckedSegment | null,
  segment: CheckedSegment,
  base: BaseRecord | null,
): Promise<void> {
  const { findings } = context
  const { header, path } = segment
  const { predecessor } = header
  // What was before the log's base has been dropped, and where the base is unknown so is this.
  if (base === null || header.base.index < base.index) return
  if (header.base.index === base.index) {
    if (!isDeepStrictEqual(header.base, positionOf(base)))
      findings.damaged(path, BASE_OF_SEGMENT_AT, `it does not continue the base record at ${base.index}`)
    return
  }
  const isNamed = predecessor?.base === before?.base && predecessor?.generation === before?.generation
  if (predecessor === null || before === null || !isNamed || before.limit !== header.base.index) {
    findings.damaged(path, PREDECESSOR_AT, `the segment before it, with entry ${header.base.index}, is missing`)
    return
  }
  const entry = await entryAt(context, before, before.limit)
  if (entry === null) return
  if (!isDeepStrictEqual(entry.position, header.base))
    findings.damaged(path, BASE_OF_SEGMENT_AT, `it does not continue entry ${before.limit} of the segment before it`)
  else if (entry.end !== predecessor.end)
    findings.damaged(path, PREDECESSOR_AT, `it says that entry ${before.limit} ends elsewhere than it does`)
}

/** The base record against the entry that it stands for, where that is still in a segment. */
export async function verifyBase(
  context: VerifyContext,
  basePath: string,
  base: BaseRecord,
  segments: readonly CheckedSegment[],
): Promise<void> {
  const holder = segments.find(({ header, limit }) => header.base.index < base.index && base.index <= limit)
  if (holder === undefined) return
  const entry = await entryAt(context, holder, base.index)
  if (entry !== null && !isDeepStrictEqual(entry.position, positionOf(base)))
    context.findings.damaged(basePath, INDEX_OF_BASE_AT, `it differs from entry ${base.index} in the log`)
}

/** An entry of a segment; null where it is not there or cannot be read. */
async function entryAt({ disk }: VerifyContext, segment: CheckedSegment, index: number): Promise<Entry | null> {
  const { scan, header, path, size } = segment
  const { last, framesEnd, gaps } = scan
  if (scan.stop.kind === 'damaged' || last.index < index) return null
  if (gaps.some(gap => gap.before.index < index && index <= gap.last.index)) return null
  if (last.index === index && framesEnd > 0 && gaps.at(-1)?.last.index !== index)
    return { position: last, end: framesEnd }
  const files = new OpenFiles(disk, 1, 1)
  try {
    const found = { header, path, limit: last.index, end: size, lastRound: 0, framesEnd: 0, index: scan.index, gaps }
    const reader = new SegmentReader(disk, files, problem => {
      throw problem
    })
    const { frame, end: frameEnd } = await reader.locate(found, index)
    return { position: positionAfter(frame), end: frameEnd }
  } finally {
    await files.close()
  }
}

function positionOf({ index, term, chain, timestamp, nextOffset }: LogPosition): LogPosition {
  return { index, term, timestamp, nextOffset, chain }
}
