/**
 * Checks one live segment: its header, and every round and frame in it with the scanner that recovery uses. What is missing
 * is damage, unless it does not count any more or patches have it.
 */
import { openIfThere } from '../disk.ts'
import type { Patch } from '../log-pieces.ts'
import type { LogPosition } from '../log-store.ts'
import { segmentPath } from '../segment.ts'
import type { SegmentHeader, SegmentName } from '../segment-header.ts'
import { type SegmentScan, scanSegment } from '../segment-scanner.ts'
import { type FileFault, faultOf, readSegmentHeader } from './segment-file.ts'
import type { VerifyContext } from './verify-context.ts'
import { verifyIndex } from './verify-index.ts'
import { isPatched } from './verify-patches.ts'

/** A live segment by its name, and the last entry that counts in it. */
export interface NamedSegment extends SegmentName {
  readonly limit: number
}

export interface CheckedSegment extends NamedSegment {
  readonly path: string
  readonly header: SegmentHeader
  /** Of the file, bytes. */
  readonly size: number
  readonly scan: SegmentScan
  /** Nothing that counts is damaged before the place where the scan stopped, but what patches repair. */
  readonly whole: boolean
}

/** What a segment is checked against. */
export interface SegmentTask {
  readonly folder: string
  readonly group: number
  readonly baseIndex: number
  readonly patches: readonly Patch[]
  /** The live segment after it. */
  readonly next: NamedSegment | undefined
}

/** @returns null where the header cannot be read */
export async function verifySegment(
  context: VerifyContext,
  name: NamedSegment,
  task: SegmentTask,
): Promise<CheckedSegment | null> {
  const { disk, findings } = context
  const { folder, group } = task
  const path = segmentPath(folder, name.base, name.generation)
  const file = await disk.open(path, 'read')
  try {
    findings.counts.segments++
    const size = await file.size()
    findings.counts.bytes += size
    const header = await readSegmentHeader(file, group, name)
    if ('what' in header) {
      reportHeader(context, path, header, name, task)
      return null
    }
    const sealedBy = await baseOfNext(context, task)
    const scan = await scanSegment(file, header, sealedBy === null ? {} : { limit: name.limit, sealedBy })
    findings.counts.rounds += scan.rounds
    findings.counts.frames += scan.frames
    const whole = reportGaps(context, path, name, scan, task)
    await verifyIndex(context, folder, { ...name, group, salt: header.salt }, scan)
    return { ...name, path, header, size, scan, whole }
  } finally {
    await file.close()
  }
}

/** Where the log stood when the next segment began; null where there is none, or its header cannot be read. */
async function baseOfNext({ disk }: VerifyContext, { folder, group, next }: SegmentTask): Promise<LogPosition | null> {
  if (next === undefined) return null
  const file = await openIfThere(disk, segmentPath(folder, next.base, next.generation), 'read')
  try {
    const header = file === null ? null : await readSegmentHeader(file, group, next)
    return header === null || 'what' in header ? null : header.base
  } finally {
    await file?.close()
  }
}

function reportHeader(
  { findings }: VerifyContext,
  path: string,
  { position, what }: FileFault,
  { base, limit }: NamedSegment,
  { baseIndex, patches }: SegmentTask,
): void {
  const first = Math.max(base, baseIndex) + 1
  if (isPatched(patches, first, limit))
    findings.repairedBy(path, position, `${what}; entries ${first} to ${limit} are in patches`)
  else findings.damaged(path, position, `${what}; the frames behind it cannot be checked`)
}

/** @returns whether nothing that counts is missing */
function reportGaps(
  { findings }: VerifyContext,
  path: string,
  { limit }: NamedSegment,
  { gaps, stop, last }: SegmentScan,
  { baseIndex, patches }: SegmentTask,
): boolean {
  let whole = true
  for (const gap of gaps) {
    const { position, what } = faultOf({ kind: 'incomplete', position: gap.position, detail: gap.detail })
    const first = Math.max(gap.before.index, baseIndex) + 1
    const until = Math.min(gap.last.index, limit)
    const after = gap.resumeAt === null ? 'nothing valid follows' : `a valid round follows at byte ${gap.resumeAt}`
    if (gap.before.index >= limit) {
      findings.note(path, `byte ${position}: ${what}; above entry ${limit}, which a later generation replaced`)
    } else if (gap.last.index <= baseIndex) {
      findings.note(path, `byte ${position}: ${what}; below the log's base ${baseIndex}, nothing of the log is lost`)
    } else if (first > until) {
      findings.note(path, `byte ${position}: ${what}; between two rounds, nothing of the log is lost`)
    } else if (isPatched(patches, first, until)) {
      findings.repairedBy(path, position, `${what}; entries ${first} to ${until} are in patches`)
    } else {
      whole = false
      findings.damaged(path, position, `${what}; entries ${first} to ${until} are missing, ${after}`)
    }
  }
  if (stop.kind !== 'damaged') return whole
  const { position, what } = faultOf(stop)
  const later = `a valid round at byte ${stop.nextRecord} does not go on from entry ${last.index}`
  findings.damaged(path, position, `${what}; ${later}`)
  return false
}
