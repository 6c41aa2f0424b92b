/** The seam to one partition on this node: what the broker appends to and reads from. Implemented in partition-replica.ts. */
import type { Frame, FrameCodec, MillraceError } from '@millrace/record'

export interface ProducerPosition {
  /** 16 bytes. */
  readonly id: Uint8Array
  readonly epoch: number
  readonly sequence: number
  /** The sender cannot rule out that an earlier attempt of this batch was stored. */
  readonly retry?: boolean
}

export type Expectation =
  | { readonly type: 'partitionOffset'; readonly offset: number }
  | { readonly type: 'keyOffset'; readonly offset: number }
  | { readonly type: 'keyAbsent' }

/** One record set to append. `payload` belongs to the partition from now on and is never changed. */
export interface AppendBatch {
  readonly payload: Uint8Array
  /** The memory around `payload` is given away with it, if the batch is accepted. */
  readonly payloadOwned?: boolean
  readonly payloadCrc: number
  readonly codec: FrameCodec
  readonly count: number
  /** Absent: not idempotent. */
  readonly producer?: ProducerPosition
  readonly expect?: Expectation
}

export interface Appended {
  readonly baseOffset: number
  readonly count: number
  /** Leader's time of the append, milliseconds since 1970. */
  readonly timestamp: number
  readonly duplicate: boolean
}

/** Called exactly once per append, possibly before `append` returns when the batch is refused. */
export type AppendDone = (result: Appended | MillraceError) => void

export interface ReadResult {
  /** Frames of kind `records` only; the first may begin before the asked offset. Empty at the high watermark. */
  readonly frames: readonly Frame[]
  /** Where to go on. */
  readonly nextOffset: number
  readonly highWatermark: number
}

export interface Partition {
  readonly topic: string
  readonly partition: number
  readonly group: number
  readonly leading: boolean
  readonly leaderNode: number
  readonly term: number
  /** For how long this replica has known no leader, in ms; 0 while it knows one. What it has may be old. */
  readonly leaderlessMs: number
  readonly logStartOffset: number
  /** First offset that is not known to be committed and applied here; readers see what is below. */
  readonly highWatermark: number

  /**
   * Decides at once (duplicate, fenced, gap, expectation) and proposes. Answers NOT_LEADER, LEADER_STARTING,
   * THROTTLED, DISK_FULL, PRODUCER_*, EXPECTATION_FAILED, LEADERSHIP_LOST (unknown) or PARTITION_HALTED by `done`.
   */
  append(batch: AppendBatch, done: AppendDone): void

  /**
   * @throws MillraceError OFFSET_OUT_OF_RANGE naming the valid range; REPLICA_BEHIND where the state came in a snapshot that the
   *   log has not caught up with; PARTITION_HALTED
   */
  read(fromOffset: number, bytesMax: number): Promise<ReadResult>

  /** Offset of the first record appended at or after `timeMs`; the high watermark where there is none. */
  offsetAtTime(timeMs: number): Promise<number>

  /**
   * Removes the records below `offset`: durably decided when the promise resolves, and gone from the disk of every replica in
   * whole segments some time later. Only on the leader. Quiet where the log starts there or later already.
   *
   * @param offset at most the high watermark
   * @returns the log start
   * @throws MillraceError OFFSET_OUT_OF_RANGE naming the valid range; NOT_LEADER, NO_LEADER, LEADER_STARTING; THROTTLED;
   *   LEADERSHIP_LOST (unknown); PARTITION_HALTED
   */
  startLogAt(offset: number): Promise<number>

  /** Calls back once, when the high watermark is above `offset`, the replica halts or is closed. */
  waitAbove(offset: number, wake: () => void): { cancel(): void }
}
