/**
 * A batch in its lane, and what is known about its attempts.
 *
 * A slot has a sequence number from its first attempt on. It is `uncertain` once an attempt ended without an answer: it
 * may be stored, and bytes of that attempt may still arrive at a broker, however late. That never heals.
 */
import type { Failure } from './answer.ts'

/** What the lane needs to know of a batch; its bytes stay with the caller. */
export interface LaneBatch {
  readonly id: number
  /** Has an expectation: it is sent with nothing else of this lane in flight. */
  readonly conditional: boolean
  /** Time of the caller's clock at which to give up. */
  readonly deadline: number
}

export interface Slot {
  readonly batch: LaneBatch
  /** −1: not numbered, which is proof that it is not and never will be stored. */
  sequence: number
  /** Number of the attempt in flight; 0: none. */
  attempt: number
  /** All attempts under its present number: an answer to any of them counts if it is good. */
  readonly attempts: number[]
  sentAt: number
  uncertain: boolean
  /** The caller has its result (`unknown`), but the number may still be needed by those behind. */
  abandoned: boolean
  /** Final, to be settled when the lane has drained. */
  refusal: Failure | null
  /** Answers in a row that are not believed at once: a gap with nothing before it, a corrupt batch. */
  doubts: number
}

export function newSlot(batch: LaneBatch): Slot {
  return {
    batch,
    sequence: -1,
    attempt: 0,
    attempts: [],
    sentAt: 0,
    uncertain: false,
    abandoned: false,
    refusal: null,
    doubts: 0,
  }
}

/**
 * Number of slots at the head that may be stored: the uncertain ones with no certain one before them. Behind a slot
 * that is certainly not stored nothing of the same epoch can be stored, since the broker wants numbers without gaps.
 */
export function uncertainPrefix(slots: readonly Slot[]): number {
  const first = slots.findIndex(slot => slot.sequence < 0 || !(slot.uncertain || slot.attempt !== 0))
  return first === -1 ? slots.length : first
}
