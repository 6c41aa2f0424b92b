/**
 * What a leader knows about the log of one replica, and how it sends to it: `probe` (one message per round trip, the
 * match is unknown), `replicate` (pipelined within a window), `snapshot` (nothing until the snapshot has arrived).
 * Invariant: match < next. The states are those of etcd-io/raft's tracker.
 */
import type { LogIndex } from '../entry.ts'
import { Inflights } from './inflights.ts'

export type ProgressState = 'probe' | 'replicate' | 'snapshot'

export interface ProgressLimits {
  readonly inflightMessagesMax: number
  readonly inflightBytesMax: number
}

export class Progress {
  /** Known to be durable and equal to the leader's log up to here. */
  match: LogIndex = 0
  /** The first entry to send next. */
  next: LogIndex
  state: ProgressState = 'probe'
  /** Index of the snapshot on its way, in state `snapshot`. */
  pendingSnapshot: LogIndex = 0
  /** Heard from since the last check of the quorum. */
  recentActive: boolean
  /** Nothing more until the peer answers: a probe is out, or the window is full. */
  flowPaused = false
  /** The highest commit index that was sent. */
  sentCommit: LogIndex = 0
  /** Id of the fetch of entries to be sent, whether or not they are still wanted; 0: none outstanding. */
  fetch = 0
  readonly inflights: Inflights

  constructor(next: LogIndex, recentActive: boolean, limits: ProgressLimits) {
    this.next = next
    this.recentActive = recentActive
    this.inflights = new Inflights(limits.inflightMessagesMax, limits.inflightBytesMax)
  }

  get paused(): boolean {
    return this.state === 'snapshot' || this.flowPaused
  }

  becomeProbe(): void {
    // A snapshot that was sent is assumed to have arrived: the next probe finds out.
    const next = this.state === 'snapshot' ? Math.max(this.match + 1, this.pendingSnapshot + 1) : this.match + 1
    this.#enter('probe', next)
    this.sentCommit = Math.min(this.sentCommit, this.next - 1)
  }

  becomeReplicate(): void {
    this.#enter('replicate', this.match + 1)
  }

  becomeSnapshot(index: LogIndex): void {
    this.#enter('snapshot', index + 1)
    this.pendingSnapshot = index
    this.sentCommit = index
  }

  /** An append message with `count` entries of `bytes` ending at next + count − 1 has been sent. */
  sentEntries(count: number, bytes: number): void {
    if (this.state === 'replicate') {
      if (count > 0) {
        this.next += count
        this.inflights.add(this.next - 1, bytes)
      }
      this.flowPaused = this.inflights.full
    } else if (this.state === 'probe' && count > 0) {
      this.flowPaused = true
    }
  }

  /** Sending `commit` now could move the peer's commit index: it has not been told of all that it can commit. */
  canBumpCommit(commit: LogIndex): boolean {
    return commit > this.sentCommit && this.sentCommit < this.next - 1
  }

  /**
   * The peer matches up to `index`.
   *
   * @returns false for a duplicate or reordered acknowledgement: match never moves back
   */
  acknowledge(index: LogIndex): boolean {
    if (index <= this.match) return false
    this.match = index
    this.next = Math.max(this.next, index + 1)
    this.flowPaused = false
    return true
  }

  /**
   * The acknowledgement of nothing new that ends a probe: one from where the match ends, as after the peer had been reported
   * unreachable. From further ahead it is an answer to something older, such as one of index 0 by which a peer only told its
   * term: going back to the match for that would cost a snapshot of what the peer has.
   */
  answersProbe(index: LogIndex): boolean {
    return this.state === 'probe' && index === this.match && this.next === index + 1
  }

  /**
   * The peer refused an append whose previous index was `rejected`; `hint` is where the logs may still agree.
   *
   * @returns false for a stale refusal
   */
  reject(rejected: LogIndex, hint: LogIndex): boolean {
    // What has been acknowledged is there: the refusal is older, or the peer is broken, and answering it would not end.
    if (rejected <= this.match) return false
    if (this.state === 'replicate') {
      this.next = this.match + 1
    } else {
      // Outside of replicate there is one message at a time, so any other refusal is an old one.
      if (this.next - 1 !== rejected) return false
      this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1)
      this.flowPaused = false
    }
    this.sentCommit = Math.min(this.sentCommit, this.next - 1)
    return true
  }

  #enter(state: ProgressState, next: LogIndex): void {
    this.state = state
    this.next = next
    this.flowPaused = false
    this.pendingSnapshot = 0
    this.inflights.reset()
  }
}
