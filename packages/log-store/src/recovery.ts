/**
 * Brings one group's log back from its files. Finds evidence here, decides by recovery-table.ts, and changes nothing but
 * files that mean nothing any more (leftovers that end in `.new`, void segments: those go to the trash).
 */
import type { Frame } from '@millrace/record'
import { readBaseFile } from './base-file.ts'
import { type Disk, errnoOf, openIfThere } from './disk.ts'
import { extendTerms } from './frame-sequence.ts'
import { damaged, openSegments, sortSegments } from './live-segments.ts'
import { type BaseRecord, LogError, type LogPosition, type RecoveredLog, type StoredTermRun } from './log-store.ts'
import { discardSegment, type LogState } from './log-writer.ts'
import type { MarkEntry } from './mark-file.ts'
import { judgeEnd, judgeReplica } from './recovery-table.ts'
import { type Segment, segmentPath } from './segment.ts'
import { resumeScan } from './segment-resume.ts'
import { type SegmentScan, scanSegment } from './segment-scanner.ts'
import { groupFolder, type StoreContext } from './store-context.ts'
import type { VoteSlot } from './vote-slot.ts'

export type GroupRecovery =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'refused'; readonly reason: LogError }
  /** The group was dropped; its folder is still there. */
  | { readonly kind: 'discard' }
  | RecoveredGroup

export interface RecoveredGroup {
  readonly kind: 'log'
  /** The log as it can be relied on: without `rewrite`, where that is given. */
  readonly state: LogState
  /** The last round, to be written again before the log is handed out. */
  readonly rewrite: Rewrite | null
  /** An uncertain end to be made durable before anything else is written. */
  readonly newUncertain: { readonly index: number; readonly term: number } | null
  /** The slot must become `born`. */
  readonly finishBirth: boolean
  readonly recovered: RecoveredLog
}

/** Frames to be written again after `before`. */
export interface Rewrite {
  readonly frames: readonly Frame[]
  readonly before: LogPosition
}

export interface StopEvidence {
  readonly mark: MarkEntry | undefined
  readonly cleanStop: boolean
}

/** Recovers a group, or says why it must not run. */
export async function recoverGroup(
  context: StoreContext,
  storeFolder: string,
  group: number,
  stop: StopEvidence,
): Promise<GroupRecovery> {
  const folder = groupFolder(storeFolder, group)
  try {
    const names = await removeLeftovers(context.disk, folder)
    const slot = context.votes.slotOf(group)
    const file = await readBaseFile(context.disk, folder)
    const matches =
      file !== null && typeof file !== 'string' && file.group === group && file.replicaId === slot?.replicaId
    const evidence = file === null ? 'none' : typeof file === 'string' ? 'damaged' : matches ? 'valid' : 'foreign'
    const verdict = judgeReplica(
      slot,
      evidence,
      names.some(name => name.endsWith('.log')),
    )
    switch (verdict) {
      case 'nothing':
      case 'discard':
        return { kind: verdict }
      case 'voteLost':
        return lost(`${folder}: its slot in the vote file is lost, and with it the vote that this replica gave`)
      case 'folderLost':
        return lost(`${folder}: the log of replica ${slot?.replicaId} of group ${group} is gone`)
      case 'baseDamaged':
        return {
          kind: 'refused',
          reason: damaged(`${folder}/base`, 'the base record is damaged or of another replica'),
        }
      case 'open':
      case 'finishBirth':
        if (slot === undefined || file === null || typeof file === 'string')
          throw new RangeError(`no evidence for ${verdict}`)
        return await recoverLog(
          context,
          folder,
          { group, slot, base: file.base, names, ...stop },
          verdict === 'finishBirth',
        )
    }
  } catch (error) {
    if (error instanceof LogError) return { kind: 'refused', reason: error }
    throw error
  }
}

interface LogEvidence extends StopEvidence {
  readonly group: number
  readonly slot: VoteSlot
  readonly base: BaseRecord
  readonly names: readonly string[]
}

async function recoverLog(
  context: StoreContext,
  folder: string,
  evidence: LogEvidence,
  finishBirth: boolean,
): Promise<GroupRecovery> {
  const { group, slot, base } = evidence
  const named = sortSegments(evidence.names, base.index, base.voidBelow)
  const segments = await openSegments(context.disk, folder, group, named, base)
  const terms = new TermRuns(base.index)
  for (const [at, next] of segments.slice(1).entries()) await addSealedTerms(context, segments[at]!, next, base, terms)
  const lastSegment = segments.at(-1)
  const scan = lastSegment === undefined ? null : await scanLast(context, lastSegment, base, evidence.mark)
  const end = endOfLog(lastSegment, scan, base)
  if (scan !== null) terms.addEntries(scan, end.index)
  const round = scan?.lastRound ?? null
  if (round !== null && round.record.term > slot.term) {
    return lost(
      `${folder}: the vote file is older than the log (term ${slot.term}, the log was written in ${round.record.term})`,
    )
  }
  const generation = Math.max(lastSegment?.header.generation ?? 0, base.voidBelow)
  const position = scan?.end ?? 0
  const endsClean = (scan?.stop.kind ?? 'end') === 'end' && end.index === (scan?.last.index ?? end.index)
  const found = { generation, lastIndex: end.index, lastTerm: end.term, position, endsClean }
  const verdict = judgeEnd(found, evidence.mark, evidence.cleanStop)
  if (verdict === 'contradiction')
    throw damaged(folder, `entry ${end.index} has term ${end.term}, the mark knows another`)
  const commit = Math.max(base.index, Math.min(round?.record.commit ?? 0, end.index))
  const configurations = configurationsOf(lastSegment, scan, base, end, commit)
  if (lastSegment !== undefined && scan !== null) settleLast(lastSegment, scan, end)
  for (const name of named.dead) await discardSegment(context, group, segmentPath(folder, name.base, name.generation))
  const rewrites = verdict === 'rewriteLastRound' && end.index > base.index
  const rewrite = rewrites ? withdrawLastRound(lastSegment!, scan, base) : null
  const newUncertain =
    verdict === 'uncertain' ? { index: evidence.mark!.lastIndex, term: evidence.mark!.lastTerm } : null
  const ballot = { term: slot.term, vote: slot.vote }
  const state: LogState = {
    group,
    replicaId: slot.replicaId,
    folder,
    base,
    segments,
    end: rewrite?.before ?? end,
    configurations: configurations.filter(frame => frame.header.index <= (rewrite?.before ?? end).index),
    ballot,
    commit,
    generation: named.highestGeneration,
    roundNumber: round?.record.number ?? 0,
    closedByRecovery: verdict !== 'writeOn' && lastSegment !== undefined,
  }
  const uncertainUntil =
    newUncertain ?? (slot.uncertainIndex > 0 ? { index: slot.uncertainIndex, term: slot.uncertainTerm } : null)
  const recovered: RecoveredLog = {
    replicaId: slot.replicaId,
    base,
    last: end,
    ballot,
    commit,
    terms: terms.runs,
    configurations,
    ...(uncertainUntil === null ? {} : { uncertainUntil }),
  }
  return { kind: 'log', state, rewrite, newUncertain, finishBirth, recovered }
}

/** Names in the group's folder, after files that were never finished have been removed. */
async function removeLeftovers(disk: Disk, folder: string): Promise<readonly string[]> {
  try {
    const names = await disk.list(folder)
    for (const name of names) if (name.endsWith('.new')) await disk.removeFile(`${folder}/${name}`)
    return names.filter(name => !name.endsWith('.new'))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}

/** Terms of a sealed segment: from the headers around it where they agree, else from its index and the log after that. */
async function addSealedTerms(
  context: StoreContext,
  segment: Segment,
  next: Segment,
  base: BaseRecord,
  terms: TermRuns,
): Promise<void> {
  if (segment.header.base.term === next.header.base.term) {
    terms.add(segment.header.base.index + 1, segment.header.base.term)
    return
  }
  const scan = await scanFile(context, segment, base.index, Number.POSITIVE_INFINITY)
  if (scan.last.index < segment.limit) throw stoppedEarly(segment, scan)
  if (scan.last.index === segment.limit && scan.last.chain !== next.header.base.chain) {
    throw damaged(segment.path, `it does not end in the chain that ${next.path} continues`)
  }
  terms.addEntries(scan, segment.limit)
}

async function scanLast(
  context: StoreContext,
  segment: Segment,
  base: BaseRecord,
  mark: MarkEntry | undefined,
): Promise<SegmentScan> {
  const { header } = segment
  const isOfIt = mark?.generation === header.generation && mark.lastIndex > header.base.index
  const scan = await scanFile(context, segment, base.index, isOfIt ? mark.position : 0)
  const startsWithRound = scan.end > segment.header.length
  if (scan.stop.kind === 'damaged' || !startsWithRound) throw stoppedEarly(segment, scan)
  return scan
}

/** Scans what comes after `durableBefore`, and a little of what comes before it; all of a small segment. */
async function scanFile(
  { disk, limits }: StoreContext,
  segment: Segment,
  baseIndex: number,
  durableBefore: number,
): Promise<SegmentScan> {
  const file = await openIfThere(disk, segment.path, 'read')
  if (file === null) throw damaged(segment.path, 'the file is gone')
  try {
    const from = Math.min(durableBefore, segment.end - limits.recoveryScanBytesMin)
    const resumed = from > 0 ? await resumeScan(disk, file, segment, from, baseIndex) : null
    return resumed ?? (await scanSegment(file, segment.header, baseIndex))
  } finally {
    await file.close()
  }
}

function stoppedEarly(segment: Segment, scan: SegmentScan): LogError {
  const { stop } = scan
  const detail = stop.kind === 'end' ? 'it ends there' : stop.detail
  const later = stop.kind === 'damaged' ? `; a valid round follows at byte ${stop.nextRecord}` : ''
  return damaged(segment.path, `damaged at byte ${stop.position}, after entry ${scan.last.index} (${detail}${later})`)
}

/** Where the log ends. A log that ends below its base is empty: the base record stands for what came before. */
function endOfLog(segment: Segment | undefined, scan: SegmentScan | null, base: BaseRecord): LogPosition {
  if (segment === undefined || scan === null || scan.last.index < base.index) return base
  if (scan.last.index === base.index && scan.last.chain !== base.chain) {
    throw damaged(segment.path, `entry ${base.index} is not the one of the base record`)
  }
  return scan.last
}

function settleLast(segment: Segment, scan: SegmentScan, end: LogPosition): void {
  segment.limit = end.index
  segment.end = scan.end
  segment.framesEnd = scan.framesEnd
  segment.lastRound = scan.lastRound?.record.position ?? 0
  segment.index = scan.index
}

/** Takes what is above the base in the last round out of its segment, so that it can be appended again. */
function withdrawLastRound(segment: Segment, scan: SegmentScan | null, base: BaseRecord): Rewrite | null {
  const round = scan?.lastRound
  if (round === null || round === undefined) return null
  const before = round.before.index < base.index ? base : round.before
  segment.limit = before.index
  segment.framesEnd = round.framesEndBefore
  return { frames: round.frames.filter(frame => frame.header.index > before.index), before }
}

function configurationsOf(
  segment: Segment | undefined,
  scan: SegmentScan | null,
  base: BaseRecord,
  end: LogPosition,
  commit: number,
): readonly Frame[] {
  const all = [...(segment?.header.configurations ?? []), ...(scan?.configurations ?? [])]
  const inLog = all.filter(frame => frame.header.index > base.index && frame.header.index <= end.index)
  const expected = scan?.lastRound?.record.configurationIndex ?? 0
  if (expected > base.index && expected !== inLog.at(-1)?.header.index) {
    throw damaged(segment!.path, `the configuration at ${expected} that its last round names is missing`)
  }
  const inForce = inLog.findLastIndex(frame => frame.header.index <= commit)
  return inForce > 0 ? inLog.slice(inForce) : inLog
}

function lost(what: string): GroupRecovery {
  const advice = 'This replica id must never vote again: drop the replica and add one with a new id'
  return { kind: 'refused', reason: new LogError('REPLICA_LOST', `${what}. ${advice}`) }
}

/** Runs of terms above the base, gathered from segments in rising order. */
class TermRuns {
  readonly runs: StoredTermRun[] = []
  readonly #first: number

  constructor(baseIndex: number) {
    this.#first = baseIndex + 1
  }

  /** From `index` on (or from the start of the log, where that is later) the term is `term`. */
  add(index: number, term: number): void {
    const first = Math.max(index, this.#first)
    if (this.runs.at(-1)?.first === first) this.runs.pop()
    extendTerms(this.runs, first, term)
  }

  addEntries(scan: SegmentScan, limit: number): void {
    if (limit < this.#first) return
    for (const entry of scan.index.entries) if (entry.index <= limit) this.add(entry.index, entry.term)
  }
}
