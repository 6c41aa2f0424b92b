/**
 * The seam between nodes. A transport moves Raft messages of all groups between pairs of nodes, at most once, in order
 * per (pair, class) while a connection lasts, and says nothing when it loses them: Raft repairs that. Queues to a peer
 * are bounded by bytes; what does not fit is dropped and reported by `unreachable`.
 */

import type { Message } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import type { FrameAnswer, FrameRequest } from './frame-calls.ts'
import type {
  IncomingSnapshot,
  SnapshotAnswer,
  SnapshotCall,
  SnapshotCallEvents,
  SnapshotOffer,
} from './snapshot-calls.ts'
import type { StateAnswer, StateRequest } from './state-calls.ts'

/** A Raft message of a group; `append` messages carry sealed frames as payloads. */
export interface GroupMessage {
  readonly group: number
  readonly message: Message<Frame>
  /**
   * On a refusing `appendResponse`: the append was not looked at, because its group is over its credit. To be sent again
   * after the next heartbeat.
   */
  readonly busy?: true
  /**
   * On a heartbeat: the group is quiet, and from now on beats of this session of the sender (see {@link QuietBeat}) may
   * stand for its heartbeats. On the answer: agreed, and the beats of this session of the answering node vouch for it.
   */
  readonly quiet?: number
}

/**
 * In place of the heartbeats of every group that is quiet between two nodes, or the answer to one. Not about any group,
 * so it proves nothing to the algorithm; see quiet-peers.ts.
 */
export interface QuietBeat {
  readonly answer: boolean
  /** Random per start of the sending node, above 0: what was agreed with another session is void. */
  readonly session: number
  /** Of a beat: counts the beats to this peer. Of an answer: the beat that is answered. */
  readonly number: number
  /** Of a beat: number of the newest answer that came; 0: none. */
  readonly heard: number
  /** Groups that are no longer quiet at the sender; repeated until the other side is known to have heard it. */
  readonly left: readonly number[]
}

/** What a node has of a group. */
export interface GroupPresence {
  /** `founding`: it waits for the others. `born`: nothing has been voted or written. `live`: anything else. */
  readonly state: 'absent' | 'founding' | 'born' | 'live'
  /**
   * Checksum of the record that the group is, or is to be, born from; 0 where the node neither has nor founds it, or its
   * log does not reach back to it.
   */
  readonly birth: number
}

/** What a node does with what arrives. Set once, before `start`. */
export interface TransportHandler {
  receive(fromNode: number, messages: readonly GroupMessage[]): void
  beat(fromNode: number, beat: QuietBeat): void
  /** Messages to this peer were lost, or its connection is gone. */
  unreachable(node: number): void
  /**
   * Evidence that the process which ran as `node` is gone: its connection closed *and* a new attempt was refused, or
   * the handshake shows a new incarnation. At most once per loss.
   */
  gone(node: number): void
  connected(node: number): void
  /** A peer asks what this node has of a group. */
  describeGroup(group: number): GroupPresence
  /** A peer asks for entries that its disk cannot give. Never rejects for what the asking node says. */
  framesAsked(fromNode: number, request: FrameRequest): Promise<FrameAnswer>
  /** A peer asks for the state of a replica here. */
  stateAsked(fromNode: number, request: StateRequest): StateAnswer
  /** A peer offers a snapshot. `answer` may be called until the call is over, and is without effect after that. */
  snapshotOffered(fromNode: number, offer: SnapshotOffer, answer: (answer: SnapshotAnswer) => void): IncomingSnapshot
}

export interface Transport {
  start(handler: TransportHandler): Promise<void>
  /** Queues; never waits. All messages handed over in one call travel together where their class allows it. */
  send(toNode: number, messages: readonly GroupMessage[]): void
  /** Queues; in order with the heartbeats, or their answers, that `send` takes. */
  sendBeat(toNode: number, beat: QuietBeat): void
  /**
   * Begins the transfer of a snapshot, apart from all messages: in order and whole until it ends. What is sent is not
   * queued with a bound here; the sender keeps few chunks unanswered.
   */
  offerSnapshot(toNode: number, offer: SnapshotOffer, events: SnapshotCallEvents): SnapshotCall
  /**
   * Another node is reached at this address: it joined while this one ran, or has moved. Quiet where that is known. Absent
   * where every node is found by its id.
   */
  addPeer?(node: number, address: string): void
  /**
   * Asks a node what it has of a group.
   *
   * @throws Error where it cannot be asked, or does not answer within a second
   */
  describeGroup(node: number, group: number): Promise<GroupPresence>
  /**
   * Asks a node for entries that the own disk cannot give. One answer is at most about `request.bytesMax` long, or one frame.
   *
   * @throws Error where it cannot be asked, or does not answer in time
   */
  fetchFrames(node: number, request: FrameRequest): Promise<FrameAnswer>
  /**
   * Asks a node to send the state of its replica, by a snapshot call.
   *
   * @throws Error where it cannot be asked, or does not answer in time
   */
  fetchState(node: number, request: StateRequest): Promise<StateAnswer>
  isConnected(node: number): boolean
  /** Bytes queued to a peer and not handed to the socket yet. */
  queuedBytes(node: number): number
  close(): Promise<void>
}
