/**
 * One entry of a Raft log, as the core sees it: a position, a size and an opaque payload.
 *
 * The core never looks into a payload and never copies one; it keeps the reference that it was given and hands the same
 * reference out again. Entries that the core makes itself (the empty entry of a new term, leaving a joint configuration)
 * have the payload `null` until the host seals them.
 */
import type { ConfigEntry } from './configuration.ts'

/** Position in a group's log: a safe integer ≥ 0; 0 is "before the first entry". */
export type LogIndex = number
/** Election term: a safe integer ≥ 0. */
export type Term = number
/** Id of a replica inside one group: a safe integer ≥ 1; 0 ({@link NONE}) is "nobody". Never reused. */
export type ReplicaId = number

/** No replica: an unknown leader, or a vote not given. */
export const NONE: ReplicaId = 0

export interface Entry<P = unknown> {
  readonly index: LogIndex
  readonly term: Term
  readonly kind: 'normal' | 'config'
  /** Bytes that this entry counts for against every byte limit. The host decides what it means (frame length). */
  readonly size: number
  /**
   * The host's. Set by the host exactly once for entries that the core made (see {@link AppendTask}), before the
   * entry's task is stored or its messages are sent; never written by the core.
   */
  payload: P | null
  /** Only on `config` entries: the change, and the configuration that results from it. */
  readonly config?: ConfigEntry
}
