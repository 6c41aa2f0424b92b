import { type Entry, NONE } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import { afterEach } from 'vitest'
import { encodeGroupConfiguration } from '../configuration-codec.ts'
import type { FrameAnswer, FrameRequest } from '../frame-calls.ts'
import type {
  IncomingSnapshot,
  SnapshotAnswer,
  SnapshotCallEvents,
  SnapshotChunk,
  SnapshotOffer,
} from '../snapshot-calls.ts'
import type { StateAnswer, StateRequest } from '../state-calls.ts'
import type { GroupMessage, GroupPresence, QuietBeat, Transport, TransportHandler } from '../transport.ts'

function comparable(entry: Entry<Frame>): unknown {
  return { ...entry, payload: Buffer.from(entry.payload!.bytes).toString('base64') }
}

export interface TransportNetwork {
  /** A transport of `node`; a second one of the same node after `close` is a new process. */
  transport(node: number): Promise<Transport>
}

/** A snapshot that was offered, as a recording handler sees it. */
export interface RecordedSnapshot {
  readonly fromNode: number
  readonly offer: SnapshotOffer
  readonly answer: (answer: SnapshotAnswer) => void
  readonly chunks: SnapshotChunk[]
  ends: number
}

/** Writes down what the maker of a snapshot call hears. */
export class RecordingEvents implements SnapshotCallEvents {
  readonly answers: SnapshotAnswer[] = []
  readonly ends: string[] = []

  answered(answer: SnapshotAnswer): void {
    this.answers.push(answer)
  }

  ended(reason: string): void {
    this.ends.push(reason)
  }
}

/** An offer from replica 1 to replica 2, with a value of its own in every field. */
export function snapshotOffer(contentBytes: number, contentChecksum: number): SnapshotOffer {
  const places = [1, 2].map(replica => ({ replica, node: replica }))
  const info = {
    ...{ index: 2 ** 40 + 1, term: 2 ** 33 + 2, chain: 2 ** 32 - 3, timestamp: 2 ** 41 + 4, nextOffset: 2 ** 42 + 5 },
    configuration: encodeGroupConfiguration({
      ...{ voters: [1], votersOutgoing: [2], learners: [2], learnersNext: [2], autoLeave: true, places },
    }),
    configurationIndex: 2 ** 39 + 6,
    contentBytes,
    contentChecksum,
  }
  return { group: 77, from: 1, to: 2, term: 2 ** 34 + 7, snapshotId: 'some-id', info }
}

/** Writes down what a transport reports. */
export class RecordingHandler implements TransportHandler {
  readonly received: { fromNode: number; message: GroupMessage }[] = []
  readonly beats: { fromNode: number; beat: QuietBeat }[] = []
  readonly unreachables: number[] = []
  readonly gones: number[] = []
  readonly connects: number[] = []
  readonly snapshots: RecordedSnapshot[] = []
  readonly frameRequests: { readonly fromNode: number; readonly request: FrameRequest }[] = []
  /** What is answered next. */
  readonly frameAnswers: FrameAnswer[] = []
  readonly stateRequests: { readonly fromNode: number; readonly request: StateRequest }[] = []
  /** What is answered next. */
  readonly stateAnswers: StateAnswer[] = []

  receive(fromNode: number, messages: readonly GroupMessage[]): void {
    for (const message of messages) this.received.push({ fromNode, message })
  }

  beat(fromNode: number, beat: QuietBeat): void {
    this.beats.push({ fromNode, beat })
  }

  unreachable(node: number): void {
    this.unreachables.push(node)
  }

  gone(node: number): void {
    this.gones.push(node)
  }

  connected(node: number): void {
    this.connects.push(node)
  }

  describeGroup(group: number): GroupPresence {
    return { state: 'founding', birth: 4_000_000_000 + group }
  }

  async framesAsked(fromNode: number, request: FrameRequest): Promise<FrameAnswer> {
    this.frameRequests.push({ fromNode, request })
    return this.frameAnswers.shift()!
  }

  stateAsked(fromNode: number, request: StateRequest): StateAnswer {
    this.stateRequests.push({ fromNode, request })
    return this.stateAnswers.shift()!
  }

  snapshotOffered(fromNode: number, offer: SnapshotOffer, answer: RecordedSnapshot['answer']): IncomingSnapshot {
    const recorded: RecordedSnapshot = { fromNode, offer, answer, chunks: [], ends: 0 }
    this.snapshots.push(recorded)
    return {
      chunk: chunk => void recorded.chunks.push(chunk),
      ended: () => {
        recorded.ends += 1
      },
    }
  }

  /** The messages by their type, of which each came once. */
  byType(): Map<string, unknown> {
    return byType(this.received.map(({ message }) => message))
  }

  types(): string[] {
    return this.received.map(({ message }) => message.message.type)
  }
}

/** By type. An append does not travel with its addressee; its frames are compared by their bytes. */
export function byType(messages: readonly GroupMessage[]): Map<string, unknown> {
  const byType = new Map<string, unknown>()
  for (const whole of messages) {
    const { message } = whole
    const same =
      message.type === 'append' ? { ...message, to: NONE, entries: message.entries.map(comparable) } : message
    byType.set(message.type, { ...whole, message: same })
  }
  return byType
}

/** In a suite: starts transports, each with a handler that records, and closes them after the test. */
export function transportStarter(): (
  network: TransportNetwork,
  node: number,
) => Promise<[Transport, RecordingHandler]> {
  const closing: Transport[] = []
  afterEach(async () => {
    for (const transport of closing.splice(0)) await transport.close()
  })
  return async (network, node) => {
    const transport = await network.transport(node)
    const handler = new RecordingHandler()
    closing.push(transport)
    await transport.start(handler)
    return [transport, handler]
  }
}
