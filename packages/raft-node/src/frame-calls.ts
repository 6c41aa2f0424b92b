/** Asking another replica for entries that the own disk cannot give: the question, the answer, and what bounds both. */
import type { LogIndex, ReplicaId, Term } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'

/** Frames of one answer; a single longer one still travels. */
export const FETCH_PIECE_BYTES_MAX: number = 1_048_576

/** The entries from `first` on of a log that has the entry `last` where it says. */
export interface FrameRequest {
  readonly group: number
  /** The replica that asks. */
  readonly from: ReplicaId
  readonly to: ReplicaId
  readonly first: LogIndex
  readonly last: { readonly index: LogIndex; readonly term: Term; readonly chain: number }
  readonly bytesMax: number
}

/**
 * `busy`: too many ask. `absent`: the log there does not reach so far, or no longer. `damaged`: they cannot be read there
 * either. `differs`: the log there has another entry at the place of the last one.
 */
export type FrameAnswer =
  /** From the first one on, contiguous, at least one. Headers are verified, payloads by whoever stores them. */
  { readonly status: 'frames'; readonly frames: readonly Frame[] } | { readonly status: FrameRefusal }

export type FrameRefusal = 'busy' | 'absent' | 'damaged' | 'differs'
