/**
 * Brings one group's log back from its files. Finds evidence here, decides by recovery-table.ts, and changes nothing but
 * files that mean nothing any more (leftovers that end in `.new`, void segments: those go to the trash).
 */
import type { Frame } from '@millrace/record'
import { readBaseFile } from './base-file.ts'
import { type Disk, errnoOf } from './disk.ts'
import { damaged, type OpenedSegment, openSegments, sortSegments } from './live-segments.ts'
import { type BaseRecord, LogError, type LogPosition, type RecoveredLog } from './log-store.ts'
import type { LogState } from './log-writer.ts'
import type { MarkEntry } from './mark-file.ts'
import { recoverConfigurations } from './recovered-configurations.ts'
import { recoverPatches } from './recovered-patches.ts'
import { judgeEnd, judgeNewest, judgeReplica } from './recovery-table.ts'
import { recoverSealed, type ScannedSegment, scanFile, segmentFrom } from './sealed-segments.ts'
import { type Segment, segmentPath } from './segment.ts'
import type { SegmentScan } from './segment-scanner.ts'
import { discardSegment } from './segment-trash.ts'
import { groupFolder, type StoreContext } from './store-context.ts'
import { TermRuns } from './term-runs.ts'
import type { VoteSlot } from './vote-slot.ts'

/** Of a segment that lies over an older file, at least this much is searched for rounds behind its last one. */
const LOOK_AHEAD_BYTES_MIN = 16 * 1_048_576

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
  const opened = await openSegments(context.disk, folder, group, named, base)
  const terms = new TermRuns()
  const segments = await recoverSealed(context, opened, base, terms)
  const newest = opened.at(-1)
  const scan = newest === undefined ? null : await scanNewest(context, newest, segments, evidence)
  const lastSegment = segments.at(-1)
  const end = endOfLog(lastSegment, scan, base)
  if (scan !== null) terms.addScan(scan, end.index)
  const { patches, dead: deadPatches } = await recoverPatches(context, folder, group, base, evidence.names)
  for (const patch of patches) terms.addPatch(patch)
  const round = scan?.lastRound ?? null
  const votedTerm = scan?.newest?.term ?? 0
  if (votedTerm > slot.term) {
    return lost(
      `${folder}: the vote file is older than the log (term ${slot.term}, the log was written in ${votedTerm})`,
    )
  }
  const generation = Math.max(lastSegment?.header.generation ?? 0, base.voidBelow)
  const position = scan?.end ?? 0
  const endsClean = (scan?.stop.kind ?? 'end') === 'end' && end.index === (scan?.last.index ?? end.index)
  const ending = { generation, lastIndex: end.index, lastTerm: end.term, position, endsClean }
  const verdict = judgeEnd(ending, evidence.mark, evidence.cleanStop)
  if (verdict === 'contradiction')
    throw damaged(folder, `entry ${end.index} has term ${end.term}, the mark knows another`)
  const commit = Math.max(base.index, Math.min(scan?.newest?.commit ?? 0, end.index))
  if (lastSegment !== undefined && scan !== null) settleLast(lastSegment, scan, end)
  const parts = { base, segments, patches, durable: end }
  const { configurations, unread } = await recoverConfigurations(context, parts, scan, commit)
  const dead = [...named.dead.map(name => segmentPath(folder, name.base, name.generation)), ...deadPatches]
  for (const path of dead) await discardSegment(context, group, path)
  const rewrites = verdict === 'rewriteLastRound' && end.index > base.index
  const rewrite = rewrites ? withdrawLastRound(lastSegment!, scan, base) : null
  const { mark } = evidence
  const newUncertain = verdict === 'uncertain' ? { index: mark!.lastIndex, term: mark!.lastTerm } : null
  const ballot = { term: slot.term, vote: slot.vote }
  const state: LogState = {
    group,
    replicaId: slot.replicaId,
    folder,
    base,
    segments,
    patches,
    end: rewrite?.before ?? end,
    configurations: configurations.filter(frame => frame.header.index <= (rewrite?.before ?? end).index),
    unreadConfiguration: unread,
    ballot,
    commit,
    generation: named.highestGeneration,
    roundNumber: round?.record.number ?? 0,
    closedByRecovery: verdict !== 'writeOn' && lastSegment !== undefined,
  }
  const uncertainUntil = newUncertain ?? uncertainEndOf(slot)
  const recovered: RecoveredLog = {
    replicaId: slot.replicaId,
    base,
    last: end,
    ballot,
    commit,
    terms: terms.within(base.index, end.index),
    configurations,
    ...(unread === 0 ? {} : { unreadConfiguration: unread }),
    ...(uncertainUntil === null ? {} : { uncertainUntil }),
  }
  return { kind: 'log', state, rewrite, newUncertain, finishBirth, recovered }
}

function uncertainEndOf({ uncertainIndex, uncertainTerm }: VoteSlot): { index: number; term: number } | null {
  return uncertainIndex > 0 ? { index: uncertainIndex, term: uncertainTerm } : null
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

/** Scans the newest segment, and adds it to those before it. */
async function scanNewest(
  context: StoreContext,
  opened: OpenedSegment,
  segments: Segment[],
  { mark, cleanStop }: StopEvidence,
): Promise<ScannedSegment> {
  const { header, path } = opened
  if (typeof header === 'string') throw damaged(path, `its header is unreadable: ${header}`)
  const segment = segmentFrom(opened, header)
  segments.push(segment)
  const isOfIt = mark?.generation === header.generation && mark.lastIndex > header.base.index
  const durableBefore = isOfIt ? mark.position : 0
  // Damage that ends further on would have to begin behind the mark, and be longer than two rounds.
  const bytes = Math.max(LOOK_AHEAD_BYTES_MIN, 2 * context.limits.roundBytesMax)
  const lookAhead = { bytes, durableEnd: durableBefore, isWhole: isOfIt && cleanStop }
  const scan = await scanFile(context, segment, { durableBefore, lookAhead })
  segment.gaps = scan.gaps
  if (judgeNewest({ hasRound: scan.end > header.length, hasGap: scan.gaps.length > 0 }) === 'refuse') {
    const detail = scan.stop.kind === 'incomplete' ? scan.stop.detail : 'it ends there'
    throw damaged(path, `damaged at byte ${scan.stop.position}, after entry ${scan.last.index} (${detail})`)
  }
  return scan
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

function lost(what: string): GroupRecovery {
  const advice = 'This replica id must never vote again: drop the replica and add one with a new id'
  return { kind: 'refused', reason: new LogError('REPLICA_LOST', `${what}. ${advice}`) }
}
