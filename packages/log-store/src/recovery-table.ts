/**
 * What recovery does with what it finds: the tables of docs/internals/log-format.md, "Recovery", row by row, as functions
 * of the evidence. No I/O here, and no evidence is weighed anywhere else.
 */
import type { Hole, LogPosition } from './log-store.ts'
import type { MarkEntry } from './mark-file.ts'
import type { SegmentHeader } from './segment-header.ts'
import { ReplicaState, type VoteSlot } from './vote-slot.ts'

export type BaseEvidence = 'none' | 'damaged' | 'foreign' | 'valid'

export type ReplicaVerdict =
  /** Never begun, or broken off before anything was promised. */
  'nothing' | 'finishBirth' | 'open' | 'discard' | 'voteLost' | 'folderLost' | 'baseDamaged'

/** "The replica": vote slot against base record. */
export function judgeReplica(slot: VoteSlot | undefined, base: BaseEvidence, hasSegments: boolean): ReplicaVerdict {
  if (slot === undefined) return base === 'none' && !hasSegments ? 'nothing' : 'voteLost'
  if (slot.state === ReplicaState.dropped) return 'discard'
  if (base === 'damaged' || base === 'foreign') return 'baseDamaged'
  if (slot.state === ReplicaState.intended) return base === 'valid' ? 'finishBirth' : 'nothing'
  return base === 'valid' ? 'open' : 'folderLost'
}

/** "First names decide": a live segment whose header cannot be read, with one after it. Null: not known either. */
export function judgeLostHeader(before: LogPosition | null, next: SegmentHeader | null): 'gap' | 'refuse' {
  return before !== null && next !== null ? 'gap' : 'refuse'
}

export interface SealedEvidence {
  readonly header: SegmentHeader
  /** Shorter than the segment after it says. */
  readonly isCut: boolean
  /** Null: it cannot be read. */
  readonly next: SegmentHeader | null
}

/** "First names decide": a live segment with a header, and one after it. */
export function judgeSealed({ header, isCut, next }: SealedEvidence): 'scan' | 'lookUp' {
  return isCut || next === null || header.base.term !== next.base.term ? 'scan' : 'lookUp'
}

/** "At P", in the newest segment: no round was complete, and none came after. */
export function judgeNewest(found: { readonly hasRound: boolean; readonly hasGap: boolean }): 'log' | 'refuse' {
  return found.hasRound || found.hasGap ? 'log' : 'refuse'
}

/** "A log with holes": a configuration entry that the newest round names, or that a gap may hold, and that was not read. */
export function judgeUnreadConfiguration(
  index: number,
  holes: readonly Hole[],
  newestInForce: number,
): 'unread' | 'passed' | 'refuse' {
  if (index <= newestInForce) return 'passed'
  return holes.some(({ before, last }) => before.index < index && index <= last.index) ? 'unread' : 'refuse'
}

export interface EndEvidence {
  /** Of the newest live segment, or the base's `voidBelow` where there is none. */
  readonly generation: number
  readonly lastIndex: number
  readonly lastTerm: number
  /** Where the next round would start in the newest segment, 0 without one. */
  readonly position: number
  /** Nothing at all follows the last complete round. */
  readonly endsClean: boolean
}

export type EndVerdict =
  /** The file may be written on. */
  | 'writeOn'
  /** What is there is durable, but the next round starts a new generation. */
  | 'newGeneration'
  /** The last round may be known to the page cache only: write it again, in a new generation. */
  | 'rewriteLastRound'
  /** Something durable is missing: note an uncertain end, then as `newGeneration`. */
  | 'uncertain'
  /** The same generation cannot hold two entries at one index. */
  | 'contradiction'

/** "The log ends": the end of a log against the mark. */
export function judgeEnd(found: EndEvidence, mark: MarkEntry | undefined, cleanStop: boolean): EndVerdict {
  if (mark === undefined || mark.generation < found.generation) return 'rewriteLastRound'
  if (mark.generation > found.generation || found.lastIndex < mark.lastIndex) return 'uncertain'
  if (found.lastIndex > mark.lastIndex) return 'rewriteLastRound'
  if (found.lastTerm !== mark.lastTerm) return 'contradiction'
  return cleanStop && found.endsClean && found.position === mark.position ? 'writeOn' : 'newGeneration'
}
