/**
 * What a snapshot's transfer says, whatever carries it: an offer, then chunks one way and answers the other. The two ends
 * are `snapshot-sender.ts` and `snapshot-receiver.ts`; a transport only carries.
 */
import type { SnapshotInfo } from '@millrace/log-store'
import type { ReplicaId, Term } from '@millrace/raft-core'

/** Which snapshot, from whom, for whom: begins a call. */
export interface SnapshotOffer {
  readonly group: number
  readonly from: ReplicaId
  readonly to: ReplicaId
  /** In which `from` leads. */
  readonly term: Term
  /** Equal for equal content: a transfer goes on where one of the same id broke off. */
  readonly snapshotId: string
  readonly info: SnapshotInfo
  /**
   * Its receiver has asked for the sender's state: the content takes the place of its own, and its log stays as it is. Who
   * leads does not matter.
   */
  readonly stateOnly?: boolean
}

export interface SnapshotChunk {
  /** Of the chunk in the content, in bytes. */
  readonly offset: number
  /** Belongs to whoever gets it. */
  readonly data: Uint8Array
  /** CRC-32 of `data`. */
  readonly crc: number
  /** The content ends here. */
  readonly done: boolean
}

export interface SnapshotAnswer {
  /** Of the receiver: above the offer's where its sender is no leader any more. */
  readonly term: Term
  /** Bytes of the content that the receiver has. The first answer says where to begin. */
  readonly received: number
  /** The receiver has all of it durably, or has no need of it. */
  readonly done: boolean
  /** Why it is not taken; the call is over. */
  readonly refused?: string
}

/** A call as its maker holds it. */
export interface SnapshotCall {
  send(chunk: SnapshotChunk): void
  /** Ends the call; nothing is reported any more. */
  close(): void
}

/** What the maker of a call hears, in order, never from inside `send`. */
export interface SnapshotCallEvents {
  answered(answer: SnapshotAnswer): void
  /** The call is over, and `close` was not the reason. Once; nothing follows. */
  ended(reason: string): void
}

/** A call as its receiver holds it. */
export interface IncomingSnapshot {
  chunk(chunk: SnapshotChunk): void
  /** The call is over, for whatever reason. Once; nothing follows. */
  ended(): void
}
