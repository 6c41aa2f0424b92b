/**
 * Checks one group: what says that there is a replica, its base record, its segments one by one and as a chain, and the
 * end of its log against the mark. Judges by the tables of recovery, so that a log is whole here exactly where a start
 * would take it without loss.
 */
import type { BaseFile } from '../base-file.ts'
import type { Patch } from '../log-pieces.ts'
import type { BaseRecord, LogPosition } from '../log-store.ts'
import { judgeEnd, judgeReplica } from '../recovery-table.ts'
import { segmentPath } from '../segment.ts'
import { groupFolder } from '../store-context.ts'
import { type GroupFiles, listGroupFiles } from './group-files.ts'
import { faultOf } from './segment-file.ts'
import type { NodeEvidence, VerifyContext } from './verify-context.ts'
import { verifyBase, verifyJoint } from './verify-joints.ts'
import { verifyPatches } from './verify-patches.ts'
import { type CheckedSegment, verifySegment } from './verify-segment.ts'

export async function verifyGroup(context: VerifyContext, group: number, evidence: NodeEvidence): Promise<void> {
  const { disk, logDir, findings } = context
  const folder = groupFolder(logDir, group)
  const files = await listGroupFiles(disk, folder)
  const base = judgeEvidence(context, files, group, evidence)
  if (base === 'gone') return
  findings.counts.groups++
  remarkOnFiles(context, files)
  const checked: CheckedSegment[] = []
  let before: CheckedSegment | null = null
  const patches = await verifyPatches(context, files, group, base ?? { index: 0, voidBelow: 0 })
  for (const [at, name] of files.segments.live.entries()) {
    const next = files.segments.live[at + 1]
    const segment = await verifySegment(context, name, { folder, group, baseIndex: files.baseIndex, patches, next })
    if (segment !== null) {
      checked.push(segment)
      if (at === 0 || before !== null) await verifyJoint(context, before, segment, base)
      if (at < files.segments.live.length - 1) assertReachesLimit(context, segment)
    }
    before = segment
  }
  if (base === null) return
  findings.extents.push({ group, baseIndex: base.index, lastIndex: lastIndexOf(files, base, before) })
  await verifyBase(context, `${folder}/base`, base, checked)
  if (before !== null) verifyLastSegment(context, before, patches, base, group, evidence)
  else if (files.segments.live.length === 0) verifyEmptyLog(context, folder, base, group, evidence)
}

function lastIndexOf({ segments }: GroupFiles, base: BaseRecord, last: CheckedSegment | null): number | null {
  if (segments.live.length === 0) return base.index
  return last?.whole === true ? Math.max(base.index, last.scan.last.index) : null
}

/** @returns the base record to check against, null where there is none, `gone` where there is nothing to check */
function judgeEvidence(
  { findings, logDir }: VerifyContext,
  { base, folder, segments }: GroupFiles,
  group: number,
  { slots }: NodeEvidence,
): BaseRecord | null | 'gone' {
  const slot = slots.get(group)
  const path = `${folder}/base`
  const hasSegments = segments.live.length + segments.dead.length > 0
  const kind = base === null ? 'none' : typeof base === 'string' ? 'damaged' : kindOf(base, group, slot?.replicaId)
  if (kind === 'damaged') findings.damaged(path, 0, `base record: ${String(base)}`)
  switch (judgeReplica(slot, kind, hasSegments)) {
    case 'nothing':
      findings.note(folder, 'making this replica broke off before anything was promised')
      return 'gone'
    case 'discard':
      if (base !== null || hasSegments)
        findings.note(folder, 'the replica was dropped; the next start moves the folder to the trash')
      return 'gone'
    case 'voteLost':
      findings.damaged(`${logDir}/votes`, 0, `the slot of group ${group} is lost, and with it the replica's vote`)
      break
    case 'folderLost':
      findings.damaged(path, 0, `the log of replica ${slot?.replicaId} of group ${group} is gone`)
      break
    case 'baseDamaged':
      if (kind === 'foreign') findings.damaged(path, 0, 'base record: of another group or replica')
      break
    case 'finishBirth':
      findings.note(folder, 'making this replica broke off at the very end; the next start finishes it')
      break
    case 'open':
      break
  }
  return base === null || typeof base === 'string' ? null : base.base
}

/** Without a slot nothing says of which replica the record must be. */
function kindOf(base: BaseFile, group: number, replicaId: number | undefined): 'valid' | 'foreign' {
  return base.group === group && (replicaId === undefined || base.replicaId === replicaId) ? 'valid' : 'foreign'
}

function remarkOnFiles({ findings }: VerifyContext, files: GroupFiles): void {
  const { folder, segments, unfinished, strayIndexes, unknown } = files
  for (const { base, generation } of segments.dead)
    findings.note(segmentPath(folder, base, generation), 'it no longer counts; the next start moves it to the trash')
  for (const name of unfinished) findings.note(`${folder}/${name}`, 'it was not finished; the next start deletes it')
  for (const name of strayIndexes) findings.note(`${folder}/${name}`, 'the index of a segment that is not there')
  for (const name of unknown) findings.skipped(`${folder}/${name}`, 'not a file of the log')
}

/** A segment with another after it holds everything up to where that starts. */
function assertReachesLimit({ findings }: VerifyContext, { scan, limit, path }: CheckedSegment): void {
  const { stop, last } = scan
  const { position, what } = faultOf(stop)
  if (last.index < limit) {
    if (stop.kind !== 'damaged')
      findings.damaged(path, position, `${what}; entries ${last.index + 1} to ${limit} are missing`)
  } else if (stop.kind === 'incomplete' && scan.gaps.at(-1)?.resumeAt !== null) {
    findings.note(path, `byte ${position}: ${what}; above entry ${limit}, nothing of the log is lost`)
  }
}

/** The end of the log, where an incomplete round may be all right. */
function verifyLastSegment(
  context: VerifyContext,
  segment: CheckedSegment,
  patches: readonly Patch[],
  base: BaseRecord,
  group: number,
  evidence: NodeEvidence,
): void {
  const { findings, logDir } = context
  const { header, scan, path } = segment
  const { stop, last, end, newest } = scan
  const { position, what } = faultOf(stop)
  if (stop.kind !== 'damaged' && end === header.length && last === header.base) {
    findings.damaged(path, position, `${what}; a segment holds a whole round from its first moment on`)
    return
  }
  const slot = evidence.slots.get(group)
  const votedTerm = slot?.term ?? Number.POSITIVE_INFINITY
  if (newest !== null && newest.term > votedTerm)
    findings.damaged(
      `${logDir}/votes`,
      0,
      `older than the log of group ${group}: term ${votedTerm} below that of its end`,
    )
  if (!segment.whole) return
  verifyConfiguration(context, segment, patches, base)
  const ended: LogPosition = last.index < base.index ? base : last
  const endsClean = stop.kind === 'end'
  const found = {
    generation: header.generation,
    lastIndex: ended.index,
    lastTerm: ended.term,
    position: end,
    endsClean,
  }
  reportEnd(context, path, { position, what }, found, group, evidence)
  if (stop.kind === 'incomplete' && !isBelowMark(found, group, evidence)) {
    findings.note(path, `byte ${position}: ${what}; an incomplete last round, never acknowledged, which is dropped`)
  }
}

function verifyEmptyLog(
  context: VerifyContext,
  folder: string,
  base: BaseRecord,
  group: number,
  evidence: NodeEvidence,
): void {
  const found = { generation: base.voidBelow, lastIndex: base.index, lastTerm: base.term, position: 0, endsClean: true }
  reportEnd(context, folder, { position: 0, what: 'there is no segment' }, found, group, evidence)
}

type FoundEnd = Parameters<typeof judgeEnd>[0]

function reportEnd(
  { findings }: VerifyContext,
  path: string,
  { position, what }: { readonly position: number; readonly what: string },
  found: FoundEnd,
  group: number,
  evidence: NodeEvidence,
): void {
  const mark = evidence.mark?.entries.get(group)
  if (isBelowMark(found, group, evidence)) {
    const known = `entry ${mark?.lastIndex}, generation ${mark?.generation}, is known to have been durable`
    findings.damaged(path, position, `${what}; the log ends at entry ${found.lastIndex}, but ${known}`)
  } else if (judgeEnd(found, mark, evidence.mark?.clean ?? false) === 'contradiction') {
    findings.damaged(path, position, `entry ${found.lastIndex} has term ${found.lastTerm}, the mark knows another`)
  }
  const slot = evidence.slots.get(group)
  if (slot !== undefined && slot.uncertainIndex > 0)
    findings.note(path, `an earlier start lost entries up to ${slot.uncertainIndex}; other replicas bring them back`)
}

function isBelowMark(found: FoundEnd, group: number, { mark }: NodeEvidence): boolean {
  return judgeEnd(found, mark?.entries.get(group), mark?.clean ?? false) === 'uncertain'
}

/** The configuration that the last round names must be in the segment, in its header, or in a patch. */
function verifyConfiguration(
  { findings }: VerifyContext,
  segment: CheckedSegment,
  patches: readonly Patch[],
  base: BaseRecord,
): void {
  const { header, scan, path } = segment
  const expected = scan.lastRound?.record.configurationIndex ?? 0
  const patched = patches.flatMap(({ source, configurations }) =>
    configurations.filter(frame => frame.header.index <= source.limit),
  )
  const all = [...header.configurations, ...scan.configurations, ...patched]
  const newest = all.reduce((highest, frame) => Math.max(highest, frame.header.index), 0)
  if (expected > base.index && expected !== newest)
    findings.damaged(path, 0, `the configuration at entry ${expected}, which its last round names, is missing`)
}
