/**
 * One accepted batch between proposal and the answer. It is the proposal's waiter, and carries the answers that hang on
 * its fate: retries of the same batch, and refusals of other batches that are true only if this one is committed.
 *
 * Invariant: every `done` that it was given is called exactly once, and never before the batch's own fate is known.
 */

import type { ProposalWaiter } from '@millrace/raft-node'
import type { Frame } from '@millrace/record'
import { MillraceError } from '@millrace/record'
import type { AppendBatch, AppendDone, Appended } from './partition.ts'
import { TOPIC_LIMITS } from './topic-limits.ts'

interface Attached {
  readonly done: AppendDone
  /** The refusal to give once the batch is committed; absent for a retry, which hears where the batch is stored. */
  readonly refusal?: MillraceError
}

/** Makes the error for a batch that was certainly not stored because leadership is gone. */
export type LeaderGone = (reason: string) => MillraceError

export class PendingAppend implements ProposalWaiter {
  /** Key of the producer, '' for none. */
  readonly key: string
  readonly epoch: number
  readonly sequence: number
  readonly count: number
  readonly payloadCrc: number
  /** Set by {@link PendingAppends.push} once the proposal was accepted. */
  index = 0
  baseOffset = 0
  readonly #done: AppendDone
  readonly #leaderGone: LeaderGone
  #attached: Attached[] | undefined

  constructor(batch: AppendBatch, key: string, done: AppendDone, leaderGone: LeaderGone) {
    this.key = key
    this.epoch = batch.producer?.epoch ?? 0
    this.sequence = batch.producer?.sequence ?? 0
    this.count = batch.count
    this.payloadCrc = batch.payloadCrc
    this.#done = done
    this.#leaderGone = leaderGone
  }

  /** The caller hears where this batch is stored, as a duplicate. False: too many wait already. */
  join(done: AppendDone): boolean {
    return this.#attach({ done })
  }

  /** The caller hears `refusal` if this batch is committed, and that leadership is gone if not. False: too many wait. */
  refuseAfter(refusal: MillraceError, done: AppendDone): boolean {
    return this.#attach({ done, refusal })
  }

  applied(frame: Frame): void {
    const { baseOffset, recordCount, timestamp } = frame.header
    const stored = { baseOffset, count: recordCount, timestamp }
    this.#done({ ...stored, duplicate: false })
    for (const { done, refusal } of this.#takeAttached()) done(refusal ?? ({ ...stored, duplicate: true } as Appended))
  }

  failed(outcome: 'not_stored' | 'unknown', reason: string): void {
    const error =
      outcome === 'not_stored'
        ? this.#leaderGone(reason)
        : new MillraceError('LEADERSHIP_LOST', `the batch may or may not be stored: ${reason}`)
    this.#done(error)
    for (const { done, refusal } of this.#takeAttached()) done(refusal === undefined ? error : this.#leaderGone(reason))
  }

  #attach(attached: Attached): boolean {
    this.#attached ??= []
    if (this.#attached.length >= TOPIC_LIMITS.attachedAnswersMax) return false
    this.#attached.push(attached)
    return true
  }

  #takeAttached(): readonly Attached[] {
    const attached = this.#attached ?? []
    this.#attached = undefined
    return attached
  }
}
