/**
 * Decides what becomes of a batch, at once and without side effects, from applied state plus the leader's own accepted
 * batches. Only the leader decides; apply follows whatever was committed.
 *
 * Invariant: a batch is `accept`ed only if storing it at the leader's next offset keeps every producer's sequence dense
 * and unique. An answer that rests on a batch which is not committed yet names that batch, and must wait for it.
 */
import type { ErrorCode } from '@millrace/record'
import { LIMITS, MillraceError } from '@millrace/record'
import type { AppendBatch, Expectation, ProducerPosition } from './partition.ts'
import type { PendingAppend } from './pending-append.ts'
import type { PendingAppends } from './pending-appends.ts'
import type { ProducerEntry, ProducerTable, StoredBatch } from './producer-table.ts'
import { TOPIC_LIMITS } from './topic-limits.ts'

export type AppendDecision =
  | { readonly type: 'accept' }
  /** Stored before. */
  | { readonly type: 'stored'; readonly batch: StoredBatch }
  /** The same batch is on its way: hear its end. */
  | { readonly type: 'join'; readonly pending: PendingAppend }
  | Refusal

export interface Refusal {
  readonly type: 'refuse'
  readonly error: MillraceError
  /** The refusal holds only once this batch is committed. */
  readonly cause?: PendingAppend
  /**
   * It says that something is *not* there, which another leader may have stored meanwhile: it holds only where this
   * replica still led after the decision.
   */
  readonly confirm?: true
}

/** What a decision looks at. */
export interface DecisionState {
  readonly producers: ProducerTable
  readonly pending: PendingAppends
  /** Next offset after everything the leader accepted. */
  readonly leaderOffset: number
}

const ACCEPT: AppendDecision = { type: 'accept' }

/** @param key of the batch's producer, '' without one */
export function decideAppend(state: DecisionState, batch: AppendBatch, key: string): AppendDecision {
  if (batch.expect !== undefined && batch.expect.type !== 'partitionOffset') return unsupportedExpectation(batch.expect)
  if (batch.producer !== undefined) {
    const decision = decideProducer(state, batch, batch.producer, key)
    if (decision.type !== 'accept') return decision
  }
  // A retry finds its first attempt before the expectation is looked at: it holds no longer once the batch is stored.
  if (batch.expect !== undefined) {
    const decision = decideOffset(state, batch.expect.offset)
    if (decision.type !== 'accept') return decision
  }
  if (state.pending.size < TOPIC_LIMITS.pendingBatchesMax) return ACCEPT
  return refuse('THROTTLED', `${state.pending.size} batches of the partition wait for commit, the limit`)
}

function decideProducer(state: DecisionState, batch: AppendBatch, at: ProducerPosition, key: string): AppendDecision {
  const known = state.producers.get(key)
  const pending = state.pending.ofProducer(key)
  const tail = pending?.at(-1)
  const epoch = tail?.epoch ?? known?.epoch
  if (epoch === undefined) return decideUnknown(state.producers, at)
  if (at.epoch < epoch) return fenced(at, known, pending)
  const next = at.epoch > epoch ? 0 : (tail?.sequence ?? known!.batches.at(-1)!.sequence) + 1
  if (at.sequence < next) return decideRepeated(batch, at, known, pending)
  if (at.sequence > next) return gap(at, next)
  const inFlight = pending?.length ?? 0
  if (inFlight < LIMITS.producerRememberedBatches) return ACCEPT
  return refuse('THROTTLED', `${inFlight} batches of the producer are in flight, the limit`)
}

/**
 * A producer that the partition does not know starts with sequence 0. A retry of that batch looks the same, and may only
 * be taken where no producer was ever forgotten: else its first attempt may be among what was.
 */
function decideUnknown(producers: ProducerTable, at: ProducerPosition): AppendDecision {
  const fresh = at.sequence === 0 && (at.retry !== true || producers.complete)
  return fresh ? ACCEPT : unknownProducer(at)
}

/** A sequence that was used before: the same batch again, or another one under its number. */
function decideRepeated(
  batch: AppendBatch,
  at: ProducerPosition,
  known: ProducerEntry | undefined,
  pending: readonly PendingAppend[] | undefined,
): AppendDecision {
  const inFlight = pending?.find(p => p.epoch === at.epoch && p.sequence === at.sequence)
  if (inFlight !== undefined) {
    const same = inFlight.payloadCrc === batch.payloadCrc && inFlight.count === batch.count
    return same ? { type: 'join', pending: inFlight } : { ...conflict(at), cause: inFlight }
  }
  const stored = known?.epoch === at.epoch ? known.batches.find(b => b.sequence === at.sequence) : undefined
  const same = stored?.payloadCrc === batch.payloadCrc && stored.count === batch.count
  return stored !== undefined && same ? { type: 'stored', batch: stored } : conflict(at)
}

function decideOffset(state: DecisionState, expected: number): AppendDecision {
  if (expected === state.leaderOffset) return ACCEPT
  if (state.pending.size === 0) {
    const actual = state.leaderOffset
    const message = `the partition's next offset is ${actual}, not ${expected} as expected`
    const refusal = refuse('EXPECTATION_FAILED', message, { expected, actual })
    return expected > actual ? { ...refusal, confirm: true } : refusal
  }
  // The end of the partition is not committed, so it is not told; what took the offset may be in flight itself.
  const refusal = refuse('EXPECTATION_FAILED', `the partition's next offset is not ${expected} as expected`, {
    expected,
  })
  const cause = state.pending.covering(expected)
  if (cause !== undefined) return { ...refusal, cause }
  return expected > state.leaderOffset ? { ...refusal, confirm: true } : refusal
}

function unsupportedExpectation(expect: Expectation): AppendDecision {
  return refuse('UNSUPPORTED', `the expectation ${expect.type} is not supported yet; partitionOffset is`)
}

function unknownProducer(at: ProducerPosition): AppendDecision {
  const message = `the partition knows nothing of this producer, so sequence ${at.sequence} may be stored already; start a new epoch at 0`
  return { ...refuse('PRODUCER_UNKNOWN', message, { epoch: at.epoch, sequence: at.sequence }), confirm: true }
}

/** While the newer epoch is only in flight, the refusal waits for the first batch of it. */
function fenced(
  at: ProducerPosition,
  known: ProducerEntry | undefined,
  pending: readonly PendingAppend[] | undefined,
): AppendDecision {
  const cause = known !== undefined && known.epoch > at.epoch ? undefined : pending?.find(p => p.epoch > at.epoch)
  const current = pending?.at(-1)?.epoch ?? known!.epoch
  const refusal = refuse('PRODUCER_FENCED', `epoch ${at.epoch} of the producer ended: ${current} has written`, {
    epoch: at.epoch,
    currentEpoch: current,
  })
  return cause === undefined ? refusal : { ...refusal, cause }
}

/** What is missing may be stored by another leader, and this batch as well: a gap that never was may not end a sequence. */
function gap(at: ProducerPosition, next: number): AppendDecision {
  const message = `sequence ${at.sequence} came before ${next} of epoch ${at.epoch}`
  const details = { sequence: at.sequence, expectedSequence: next }
  return { ...refuse('PRODUCER_SEQUENCE_GAP', message, details), confirm: true }
}

function conflict(at: ProducerPosition): Refusal {
  return refuse(
    'PRODUCER_CONFLICT',
    `sequence ${at.sequence} of epoch ${at.epoch} was used for another batch; does another process use this producer id?`,
    { epoch: at.epoch, sequence: at.sequence },
  )
}

function refuse(code: ErrorCode, message: string, details: Record<string, number> = {}): Refusal {
  return { type: 'refuse', error: new MillraceError(code, message, { details }) }
}
