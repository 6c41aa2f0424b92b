/** What an `AppendLane` wants done, and its configuration: everything that crosses between it and the world. */
import type { Answer } from './answer.ts'
import type { BackoffConfig } from './backoff.ts'
import type { LaneBatch } from './lane-slot.ts'

export interface LaneConfig extends BackoffConfig {
  /** Batches in flight at once; not above `LIMITS.producerInflightBatchesMax`. */
  readonly inflightBatchesMax: number
  /** Without an answer for so long, the attempt counts as lost and another way to the leader is looked for. */
  readonly attemptTimeoutMs: number
}

/** Randomness, injected. */
export interface LaneRandom {
  /** 0 ≤ x < 1 */
  random(): number
  /** A fresh producer id: 16 bytes. */
  producerId(): Uint8Array
}

export type LaneAction =
  /** Send this batch on this link. Its answer comes back with the number of the attempt. */
  | {
      readonly type: 'send'
      readonly link: number
      readonly attempt: number
      readonly batch: LaneBatch
      readonly producerId: Uint8Array
      readonly epoch: number
      readonly sequence: number
      /** An earlier attempt of this batch under this number may have been stored. */
      readonly retry: boolean
    }
  /** Tell the caller. */
  | { readonly type: 'settle'; readonly batch: LaneBatch; readonly answer: Answer }
  /** The batch's bytes are not needed any more. */
  | { readonly type: 'release'; readonly batch: LaneBatch }
  /** Find the leader and open a link to it; answer with `linked`, `notFound` or `hopeless`. */
  | { readonly type: 'find' }
  /** This link does not answer. */
  | { readonly type: 'suspect'; readonly link: number }
