/**
 * The lane of one producer to one partition: numbers batches, says what to send where and when, and what to tell the
 * caller. A pure state machine: inputs are method calls with the time, outputs are actions to be taken with
 * {@link AppendLane.takeActions}; no I/O, clock, timer or promise.
 *
 * It must never let a batch be stored twice, let batches be stored in another order than they came in, or say `not
 * stored` of one that is stored now or later. Every batch is settled exactly once.
 *
 * What this rests on: a broker takes (id, epoch, sequence) only if it is the next number of the epoch or 0 of a higher
 * epoch, remembers what it took, and refuses lower epochs. Between attempts of one numbering anything may arrive late
 * or twice, then; the numbers sort it out. Care is needed only where numbers change:
 *
 * - A batch is given another number only if it is certainly not stored under the old one. That is so if all its
 *   attempts were answered (it is *certain*), or if a certain batch stands before it in the epoch, which leaves a gap.
 * - The old number is used again only if nothing that had it, or a later one, is uncertain. Otherwise a new epoch
 *   begins, which locks out whatever of the old one is still under way (`lane-renumbering.ts`).
 * - A new epoch begins when no batch of the old one is left, since it would lock that out too.
 */
import type { Answer, Failure } from './answer.ts'
import { verdictOf } from './answer.ts'
import { backoffMs } from './backoff.ts'
import type { LaneAction, LaneConfig, LaneRandom } from './lane-action.ts'
import { renumber } from './lane-renumbering.ts'
import { type LaneBatch, newSlot, type Slot, uncertainPrefix } from './lane-slot.ts'

export type { LaneBatch } from './lane-slot.ts'

type Link =
  | { readonly state: 'none' }
  | { readonly state: 'waiting'; readonly until: number }
  | { readonly state: 'finding' }
  | { readonly state: 'linked'; readonly link: number }

/** Numbers are 32 bits wide on the wire; a new epoch begins long before. */
const SEQUENCE_MAX = 0x7fff_ffff
/** So many times in a row an implausible answer is asked for again. */
const DOUBTS_MAX = 3

export class AppendLane {
  readonly #config: LaneConfig
  readonly #random: LaneRandom
  #actions: LaneAction[] = []
  #slots: Slot[] = []
  readonly #byAttempt = new Map<number, Slot>()
  #link: Link = { state: 'none' }
  #producerId: Uint8Array
  #epoch = 0
  #nextSequence = 0
  #lastAttempt = 0
  #inFlight = 0
  /** After a refusal nothing is sent until all that is in flight is answered. */
  #draining = false
  /** Begin a new epoch when no numbered slot is left. */
  #newEpochDue: 'no' | 'same-id' | 'fresh-id' = 'no'
  /** Set while draining: the producer is not known any more. */
  #forgotten: Failure | null = null
  /** Set while draining: look for the leader again, at once the first time, or let it rest first. */
  #trouble: 'elsewhere' | 'later' | null = null
  /** Failures in a row, for the backoff. */
  #failures = 0

  constructor(config: LaneConfig, random: LaneRandom) {
    this.#config = config
    this.#random = random
    this.#producerId = random.producerId()
  }

  /** Batches in flight. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Batches in the lane, sent or not. */
  get size(): number {
    return this.#slots.length
  }

  /** Whether a batch handed in now would be sent as soon as there is a leader, instead of waiting behind others. */
  get idle(): boolean {
    return this.#slots.length === 0
  }

  takeActions(): LaneAction[] {
    const actions = this.#actions
    this.#actions = []
    return actions
  }

  /** When `tick` should be called at the latest; Infinity: not at all. */
  wakeAt(): number {
    let at = this.#link.state === 'waiting' && this.#slots.length > 0 ? this.#link.until : Number.POSITIVE_INFINITY
    for (const slot of this.#slots) {
      if (slot.attempt !== 0) at = Math.min(at, slot.sentAt + this.#config.attemptTimeoutMs)
      if (!slot.abandoned && slot.refusal === null) at = Math.min(at, slot.batch.deadline)
    }
    return at
  }

  enqueue(batch: LaneBatch, now: number): void {
    this.#slots.push(newSlot(batch))
    this.#pump(now)
  }

  /** Whether the batch has no number: it is not stored, and may still be changed or withdrawn. */
  unsent(id: number): boolean {
    return this.#slots.some(slot => slot.batch.id === id && slot.sequence < 0)
  }

  /** Takes a batch back that was never sent. False: too late. */
  withdraw(id: number): boolean {
    const slot = this.#slots.find(s => s.batch.id === id)
    if (slot === undefined || slot.sequence >= 0) return false
    this.#remove(slot)
    return true
  }

  /** A link to the leader is open: its hello has arrived. */
  linked(link: number, now: number): void {
    if (this.#link.state !== 'finding') return
    this.#link = { state: 'linked', link }
    this.#pump(now)
  }

  /** No leader, or no way to it, for now. */
  notFound(now: number): void {
    if (this.#link.state !== 'finding') return
    this.#waitAfterFailure(now)
  }

  /** No leader ever: the topic does not exist, or the like. */
  hopeless(failure: Failure, now: number): void {
    if (this.#link.state !== 'finding') return
    this.#link = { state: 'none' }
    for (const slot of this.#slots) slot.refusal ??= failure
    this.#removeAfterDrain(now)
  }

  /** The link is gone: what was in flight on it has no answer and gets none. */
  unlinked(link: number, now: number): void {
    if (this.#link.state !== 'linked' || this.#link.link !== link) return
    for (const slot of this.#slots) {
      if (slot.attempt === 0) continue
      slot.attempt = 0
      slot.uncertain = true
    }
    this.#inFlight = 0
    this.#trouble ??= 'elsewhere'
    this.#removeAfterDrain(now)
  }

  /** An answer; one to an attempt that was given up counts only if it is good. */
  answer(attempt: number, answer: Answer, now: number): void {
    const slot = this.#byAttempt.get(attempt)
    if (slot === undefined) return
    if (answer.ok) {
      this.#failures = 0
      if (!slot.abandoned) this.#actions.push({ type: 'settle', batch: slot.batch, answer })
      this.#remove(slot)
    } else if (slot.attempt === attempt) {
      this.#refused(slot, answer)
    } else return
    if (this.#inFlight === 0 && this.#draining) this.#removeAfterDrain(now)
    else this.#pump(now)
  }

  tick(now: number): void {
    this.#expire(now)
    const link = this.#link
    if (link.state === 'linked') {
      const limit = now - this.#config.attemptTimeoutMs
      if (this.#slots.some(slot => slot.attempt !== 0 && slot.sentAt <= limit)) {
        this.#actions.push({ type: 'suspect', link: link.link })
        this.unlinked(link.link, now)
      }
    }
    this.#pump(now)
  }

  /** Settles all that is left. Nothing may be called afterwards. */
  close(failure: Failure): void {
    const maybeStored = uncertainPrefix(this.#slots)
    for (const [i, slot] of [...this.#slots].entries()) {
      this.#settleFailed(slot, failure, i < maybeStored ? 'unknown' : 'not_stored')
      this.#remove(slot)
    }
  }

  #refused(slot: Slot, failure: Failure): void {
    slot.attempt = 0
    this.#inFlight--
    this.#draining = true
    if (failure.outcome === 'unknown' && failure.code !== 'PRODUCER_UNKNOWN') slot.uncertain = true
    switch (verdictOf(failure)) {
      case 'forgotten':
        // Behind a batch that was refused for now the partition need not know the producer yet: that is a gap.
        if (slot === this.#slots[0]) this.#forgotten = failure
        return
      case 'conflict':
        slot.refusal = failure
        this.#newEpochDue = failure.code === 'PRODUCER_FENCED' ? 'fresh-id' : 'same-id'
        return
      case 'terminal':
        slot.refusal = failure
        return
      case 'retry':
        this.#refusedForNow(slot, failure)
    }
  }

  #refusedForNow(slot: Slot, failure: Failure): void {
    if (failure.code === 'PRODUCER_SEQUENCE_GAP') {
      // Those behind a refused batch. With nothing before it, the broker has lost what it acknowledged to us.
      if (slot !== this.#slots[0]) return
      if (++slot.doubts >= DOUBTS_MAX) this.#forgotten = { ...failure, code: 'PRODUCER_UNKNOWN' }
    } else if (failure.code === 'CORRUPT_BATCH' && ++slot.doubts >= DOUBTS_MAX) {
      slot.refusal = failure
      return
    }
    this.#trouble = failure.code === 'NOT_LEADER' ? 'elsewhere' : 'later'
  }

  #expire(now: number): void {
    const drained = this.#inFlight === 0
    let changed = false
    for (const slot of [...this.#slots]) {
      if (slot.batch.deadline > now || slot.abandoned || slot.refusal !== null) continue
      const failure: Failure = {
        ok: false,
        code: 'APPEND_TIMEOUT',
        outcome: 'unknown',
        retryable: false,
        message: 'no acknowledgement within appendTimeoutMs',
      }
      changed = true
      if (slot.sequence < 0) {
        this.#settleFailed(slot, failure, 'not_stored')
        this.#remove(slot)
      } else if (drained && !slot.uncertain) slot.refusal = failure
      else {
        this.#settleFailed(slot, failure, 'unknown')
        slot.abandoned = true
      }
    }
    if (changed && drained) this.#removeAfterDrain(now)
  }

  /** Nothing is in flight: takes out what is final, and sees to it that the numbers of the others stay right. */
  #removeAfterDrain(now: number): void {
    const forgotten = this.#forgotten
    const { leaving, unnumbered, next } = renumber(this.#slots, forgotten)
    for (const { slot, failure, outcome } of leaving) {
      if (failure !== null) this.#settleFailed(slot, failure, outcome)
      this.#remove(slot)
    }
    for (const slot of unnumbered) this.#unnumber(slot)
    if (this.#newEpochDue === 'no') {
      if (next === 'new-epoch') this.#newEpochDue = 'same-id'
      else if (next !== 'same') this.#nextSequence = next.sequence
    }
    this.#forgotten = null
    this.#draining = false
    this.#leaveLink(now, forgotten !== null)
    this.#pump(now)
  }

  /** After a drain: stay where nothing is wrong with the link, else look for the leader at once, or wait first. */
  #leaveLink(now: number, forgotten: boolean): void {
    const trouble = this.#trouble
    this.#trouble = null
    if (trouble === null && !forgotten) return
    this.#failures++
    if (trouble === 'later' || this.#failures > 1) this.#wait(now)
    else if (trouble === 'elsewhere') this.#link = { state: 'none' }
  }

  #waitAfterFailure(now: number): void {
    this.#failures++
    this.#wait(now)
  }

  #wait(now: number): void {
    this.#link = { state: 'waiting', until: now + backoffMs(this.#failures, this.#random.random(), this.#config) }
  }

  #pump(now: number): void {
    if (this.#slots.length === 0) {
      if (this.#link.state === 'waiting') this.#link = { state: 'none' }
      return
    }
    if (this.#link.state === 'none') this.#find()
    else if (this.#link.state === 'waiting' && now >= this.#link.until) this.#find()
    else if (this.#link.state === 'linked' && !this.#draining) this.#send(this.#link.link, now)
  }

  #find(): void {
    this.#link = { state: 'finding' }
    this.#actions.push({ type: 'find' })
  }

  #send(link: number, now: number): void {
    for (const slot of this.#slots) {
      if (slot.attempt !== 0) {
        if (slot.batch.conditional) return
        continue
      }
      if (this.#inFlight >= this.#config.inflightBatchesMax) return
      if (slot.batch.conditional && this.#inFlight > 0) return
      if (slot.sequence < 0 && !this.#number(slot)) return
      slot.attempt = ++this.#lastAttempt
      slot.attempts.push(slot.attempt)
      slot.sentAt = now
      this.#byAttempt.set(slot.attempt, slot)
      this.#inFlight++
      this.#actions.push({
        type: 'send',
        link,
        attempt: slot.attempt,
        batch: slot.batch,
        producerId: this.#producerId,
        epoch: this.#epoch,
        sequence: slot.sequence,
        retry: slot.uncertain,
      })
      if (slot.batch.conditional) return
    }
  }

  /** Gives a slot its number; false where a new epoch has to wait for what is left of the old one. */
  #number(slot: Slot): boolean {
    if (this.#nextSequence > SEQUENCE_MAX && this.#newEpochDue === 'no') this.#newEpochDue = 'same-id'
    if (this.#newEpochDue !== 'no') {
      if (this.#slots[0] !== slot) return false
      if (this.#newEpochDue === 'fresh-id') this.#producerId = this.#random.producerId()
      this.#epoch = this.#newEpochDue === 'fresh-id' ? 0 : this.#epoch + 1
      this.#nextSequence = 0
      this.#newEpochDue = 'no'
    }
    slot.sequence = this.#nextSequence++
    return true
  }

  #unnumber(slot: Slot): void {
    for (const attempt of slot.attempts) this.#byAttempt.delete(attempt)
    slot.attempts.length = 0
    slot.sequence = -1
    slot.uncertain = false
    slot.doubts = 0
  }

  #settleFailed(slot: Slot, failure: Failure, outcome: Failure['outcome']): void {
    if (slot.abandoned) return
    this.#actions.push({ type: 'settle', batch: slot.batch, answer: { ...failure, outcome } })
  }

  #remove(slot: Slot): void {
    if (slot.attempt !== 0) this.#inFlight--
    this.#unnumber(slot)
    this.#slots.splice(this.#slots.indexOf(slot), 1)
    this.#actions.push({ type: 'release', batch: slot.batch })
  }
}
