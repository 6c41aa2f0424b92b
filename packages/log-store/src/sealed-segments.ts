/**
 * The live segments before the newest one, from the oldest on: what must be scanned, what of them is missing, and the terms
 * in them. Decides by docs/internals/log-format.md, "The log".
 */
import { type Disk, openIfThere } from './disk.ts'
import { damaged, type OpenedSegment } from './live-segments.ts'
import type { BaseRecord, LogPosition } from './log-store.ts'
import { judgeLostHeader, judgeSealed } from './recovery-table.ts'
import { NO_GAPS, type Segment } from './segment.ts'
import type { SegmentHeader } from './segment-header.ts'
import { resumeScan } from './segment-resume.ts'
import { type LookAhead, type ScanOptions, type SegmentScan, scanSegment } from './segment-scanner.ts'
import type { StoreContext } from './store-context.ts'
import type { TermRuns } from './term-runs.ts'

/** What a scan found, and whether it started at the header. */
export type ScannedSegment = SegmentScan & { readonly isWhole: boolean }

/** A segment that has not been scanned, with a header that could be read. */
export function segmentFrom(opened: OpenedSegment, header: SegmentHeader): Segment {
  const { path, size, name } = opened
  return { header, path, limit: name.limit, end: size, lastRound: 0, framesEnd: 0, index: null, gaps: NO_GAPS }
}

export async function recoverSealed(
  context: StoreContext,
  opened: readonly OpenedSegment[],
  base: BaseRecord,
  terms: TermRuns,
): Promise<Segment[]> {
  const segments: Segment[] = []
  /** Where the log stood at the base of the segment that comes next; null: not known. */
  let before: LogPosition | null = null
  for (const [at, found] of opened.slice(0, -1).entries()) {
    const next = opened[at + 1]!
    const nextHeader = typeof next.header === 'string' ? null : next.header
    if (typeof found.header === 'string') {
      const start = found.name.base <= base.index ? base : before
      const lost = segmentWithoutHeader(found, found.header, start, nextHeader)
      segments.push(lost)
      for (const gap of lost.gaps) terms.addGap(gap)
      before = nextHeader?.base ?? null
      continue
    }
    const segment = segmentFrom(found, found.header)
    segments.push(segment)
    before = nextHeader?.base ?? null
    if (judgeSealed({ ...found, header: found.header, next: nextHeader }) === 'lookUp') {
      terms.add(found.header.base.index + 1, found.header.base.term)
      continue
    }
    const sealedBy = nextHeader?.base
    const task = { durableBefore: Number.POSITIVE_INFINITY, ...(sealedBy === undefined ? {} : { sealedBy }) }
    const scan = await scanFile(context, segment, task)
    segment.gaps = scan.gaps
    terms.addScan(scan, segment.limit)
    before ??= scan.atLimit
    if (before !== null) terms.add(before.index, before.term)
  }
  return segments
}

/** All of it is a gap: its own start and the next segment's are known. */
function segmentWithoutHeader(
  { name, path, size }: OpenedSegment,
  fault: string,
  before: LogPosition | null,
  next: SegmentHeader | null,
): Segment {
  if (judgeLostHeader(before, next) === 'refuse' || before === null || next === null)
    throw damaged(path, `its header is unreadable: ${fault}`)
  const gap = { before, last: next.base, resumeAt: null, position: 0, detail: `segment header: ${fault}` }
  const header: SegmentHeader = {
    length: 0,
    generation: name.generation,
    salt: new Uint8Array(8),
    group: next.group,
    base: { ...before, index: name.base },
    predecessor: null,
    createdMs: 0,
    recycledBytes: 0,
    configurations: [],
  }
  return { header, path, limit: name.limit, end: size, lastRound: 0, framesEnd: 0, index: null, gaps: [gap] }
}

/** What a recovery knows of a segment before it scans it. */
export interface ScanTask {
  /** Everything before this position is known to be durable. */
  readonly durableBefore: number
  /** The entry that the next segment continues. */
  readonly sealedBy?: LogPosition
  readonly lookAhead?: LookAhead
}

/**
 * Scans what comes after `durableBefore`, and a little of what comes before it; all of a small segment.
 *
 * @throws LogError `DAMAGED` where what is valid in it contradicts itself, or what seals it
 */
export async function scanFile(
  { disk, limits }: StoreContext,
  segment: Segment,
  { durableBefore, sealedBy, lookAhead }: ScanTask,
): Promise<ScannedSegment> {
  // Where a segment ends that lies over an older file is not known yet.
  const end = segment.header.recycledBytes > 0 ? Math.min(durableBefore, segment.end) : segment.end
  const from = Math.min(durableBefore, end - limits.recoveryScanBytesMin)
  const sealing = sealedBy === undefined ? {} : { sealedBy }
  const options = { limit: segment.limit, ...sealing, ...(lookAhead === undefined ? {} : { lookAhead }) }
  const resumed =
    from > 0 ? await withFile(disk, segment, file => resumeScan(disk, file, segment, from, options)) : null
  const scan = resumed ?? (await scanWhole(disk, segment, options))
  assertOneHistory(segment, scan, sealedBy)
  return { ...scan, isWhole: resumed === null }
}

export function scanWhole(disk: Disk, segment: Segment, options: ScanOptions): Promise<SegmentScan> {
  return withFile(disk, segment, file => scanSegment(file, segment.header, options))
}

export function assertOneHistory(segment: Segment, { stop, atLimit, last }: SegmentScan, sealedBy?: LogPosition): void {
  if (stop.kind === 'damaged') {
    const later = `a valid round at byte ${stop.nextRecord} does not go on from there`
    throw damaged(
      segment.path,
      `damaged at byte ${stop.position}, after entry ${last.index} (${stop.detail}; ${later})`,
    )
  }
  if (sealedBy !== undefined && atLimit !== null && atLimit.chain !== sealedBy.chain)
    throw damaged(segment.path, `entry ${segment.limit} is not the one that the segment after it continues`)
}

async function withFile<T>(
  disk: Disk,
  { path }: Segment,
  use: (file: NonNullable<Awaited<ReturnType<typeof openIfThere>>>) => Promise<T>,
): Promise<T> {
  const file = await openIfThere(disk, path, 'read')
  if (file === null) throw damaged(path, 'the file is gone')
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
