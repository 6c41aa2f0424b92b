/**
 * Checks one live segment: its header, and every round and frame in it with the scanner that recovery uses. Unlike
 * recovery it goes on after damage, at the next valid record, and so finds what else is wrong.
 */
import type { DiskFile } from '../disk.ts'
import { lastIndexOf } from '../round-record.ts'
import { segmentPath } from '../segment.ts'
import type { SegmentHeader, SegmentName } from '../segment-header.ts'
import { type SegmentScan, scanSegment } from '../segment-scanner.ts'
import { faultOf, headerFrom, readRecord, readSegmentHeader } from './segment-file.ts'
import type { VerifyContext } from './verify-context.ts'
import { verifyIndex } from './verify-index.ts'

/** A live segment by its name, and the last entry that counts in it. */
export interface NamedSegment extends SegmentName {
  readonly limit: number
}

export interface CheckedSegment extends NamedSegment {
  readonly path: string
  readonly header: SegmentHeader
  /** Of the whole file; after damage, of what follows the last of it. */
  readonly scan: SegmentScan
  /** Nothing that counts is damaged before the place where the scan stopped. */
  readonly whole: boolean
}

/** @returns null where the header cannot be read */
export async function verifySegment(
  context: VerifyContext,
  folder: string,
  group: number,
  name: NamedSegment,
  baseIndex: number,
): Promise<CheckedSegment | null> {
  const { disk, findings } = context
  const path = segmentPath(folder, name.base, name.generation)
  const file = await disk.open(path, 'read')
  try {
    findings.counts.segments++
    findings.counts.bytes += await file.size()
    const header = await readSegmentHeader(file, group, name)
    if ('what' in header) {
      findings.damaged(path, header.position, `${header.what}; the frames behind it cannot be checked`)
      return null
    }
    const { scan, whole, upToDamage } = await scanAll(context, file, header, { ...name, path, baseIndex })
    await verifyIndex(context, folder, { ...name, group, salt: header.salt }, upToDamage)
    return { ...name, path, header, scan, whole }
  } finally {
    await file.close()
  }
}

interface ScanTask extends NamedSegment {
  readonly path: string
  readonly baseIndex: number
}

async function scanAll(
  context: VerifyContext,
  file: DiskFile,
  header: SegmentHeader,
  task: ScanTask,
): Promise<{ scan: SegmentScan; whole: boolean; upToDamage: SegmentScan }> {
  let whole = true
  let upToDamage: SegmentScan | null = null
  for (let start = header; ; ) {
    const scan = await scanSegment(file, start, -1)
    await count(context, file, start, scan)
    upToDamage ??= scan
    const { stop } = scan
    if (stop.kind !== 'damaged') return { scan, whole, upToDamage }
    const next = await readRecord(file, stop.nextRecord)
    if (reportDamage(context, task, scan, next.firstIndex, stop.nextRecord)) whole = false
    // A record that fits nowhere: there is no going on from it.
    if (stop.nextRecord === start.length) return { scan, whole: false, upToDamage }
    start = headerFrom(header, next)
  }
}

/** @returns whether it is damage: neither below the log's base nor in entries that a later segment replaced */
function reportDamage(
  { findings }: VerifyContext,
  { path, limit, baseIndex }: ScanTask,
  scan: SegmentScan,
  nextIndex: number,
  nextPosition: number,
): boolean {
  const { position, what } = faultOf(scan.stop)
  if (nextIndex <= baseIndex + 1) {
    findings.note(path, `byte ${position}: ${what}; below the log's base ${baseIndex}, nothing of the log is lost`)
    return false
  }
  if (scan.last.index >= limit) {
    findings.note(path, `byte ${position}: ${what}; above entry ${limit}, which a later generation replaced`)
    return false
  }
  const lost = `entries ${scan.last.index + 1} to ${nextIndex - 1}`
  findings.damaged(path, position, `${what}; ${lost} are affected, a valid round follows at byte ${nextPosition}`)
  return true
}

async function count(
  { findings }: VerifyContext,
  file: DiskFile,
  start: SegmentHeader,
  scan: SegmentScan,
): Promise<void> {
  const last = scan.lastRound?.record
  if (last === undefined) return
  const first = await readRecord(file, start.length)
  findings.counts.rounds += last.number - first.number + 1
  findings.counts.frames += lastIndexOf(last) - first.firstIndex + 1
}
