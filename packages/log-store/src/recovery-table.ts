/**
 * What recovery does with what it finds: the tables of docs/internals/log-format.md, "Recovery", row by row, as functions
 * of the evidence. No I/O here, and no evidence is weighed anywhere else.
 */
import type { MarkEntry } from './mark-file.ts'
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
