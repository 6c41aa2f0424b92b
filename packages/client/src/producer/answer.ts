/**
 * What a broker (or the way to it) says about one batch, and what that means for the batch. Pure.
 */
import type { ErrorCode, Outcome } from '@millrace/record'

/** Where a batch was stored. */
interface Stored {
  readonly ok: true
  readonly baseOffset: number
  /** Leader's time, milliseconds since 1970. */
  readonly timestamp: number
}

/** Why a batch was not acknowledged. */
export interface Failure {
  readonly ok: false
  readonly code: ErrorCode
  readonly outcome: Outcome
  readonly retryable: boolean
  readonly message: string
  readonly details?: Readonly<Record<string, string | number | boolean>>
  /** With NOT_LEADER: client URL of the leader, where the broker knows it. */
  readonly leaderUrl?: string | undefined
}

export type Answer = Stored | Failure

/**
 * What to do about a failure:
 * `retry`: the same batch under the same number, once the lane has drained;
 * `forgotten`: the partition does not know the producer any more;
 * `conflict`: the number is taken, so this epoch is over; the batch fails;
 * `terminal`: this batch fails, others go on.
 */
export type Verdict = 'retry' | 'forgotten' | 'conflict' | 'terminal'

export function verdictOf(failure: Failure): Verdict {
  switch (failure.code) {
    case 'PRODUCER_UNKNOWN':
      return 'forgotten'
    case 'PRODUCER_CONFLICT':
    case 'PRODUCER_FENCED':
      return 'conflict'
    // Not for callers to retry, since they cannot do so without duplicates; under the same number we can.
    case 'APPEND_TIMEOUT':
    case 'CANCELLED':
      return 'retry'
    default:
      return failure.retryable ? 'retry' : 'terminal'
  }
}
