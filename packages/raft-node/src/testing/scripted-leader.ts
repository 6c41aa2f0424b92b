/** A node that says what a test has it say, in the name of a leader. */
import type { BaseRecord, LogPosition, SnapshotInfo } from '@millrace/log-store'
import type { Message } from '@millrace/raft-core'
import { crc32, type Frame, FrameKind, nextOffsetAfter, sealFrame } from '@millrace/record'
import { birthRecord } from '../birth-record.ts'
import { encodeGroupConfiguration } from '../configuration-codec.ts'
import { entryOfFrame, plainBody } from '../entry-frame.ts'
import type { MemoryNetwork } from '../memory-network.ts'
import type { SnapshotCall, SnapshotOffer } from '../snapshot-calls.ts'
import type { Transport } from '../transport.ts'
import { BlobFsm, setBlob } from './blob-fsm.ts'
import { RecordingEvents, RecordingHandler } from './recording-handler.ts'
import { SNAPSHOT_GROUP } from './snapshot-cluster.ts'
import { configurationOf, replicaOn } from './test-cluster.ts'
import { until } from './until.ts'

const NODES = [1, 2, 3]
const CHUNK_BYTES = 1_000

/** Where the log of every replica begins. */
export const BIRTH: BaseRecord = birthRecord({
  ...{ clusterId: 'test', group: SNAPSHOT_GROUP, createIndex: 3, createTimestamp: 1_000 },
  configuration: configurationOf(NODES),
})

/** Frames of commands that set these keys, after `at`. */
export function framesAfter(at: LogPosition, term: number, keys: readonly number[], bytes = 10): Frame[] {
  const frames: Frame[] = []
  let { chain: previousChain, nextOffset: baseOffset, index } = at
  for (const key of keys) {
    const body = plainBody(FrameKind.command, setBlob(key, new Uint8Array(bytes).fill(key)))
    index += 1
    const frame = sealFrame(body, {
      ...{ group: SNAPSHOT_GROUP, index, term, baseOffset, timestamp: at.timestamp, previousChain },
    })
    frames.push(frame)
    previousChain = frame.header.chain
    baseOffset = nextOffsetAfter(frame.header)
  }
  return frames
}

/** A snapshot of a state with these keys. */
export interface MadeSnapshot {
  readonly info: SnapshotInfo
  readonly content: Uint8Array
}

export async function madeSnapshot(
  index: number,
  term: number,
  keys: readonly number[],
  bytes = 1_000,
): Promise<MadeSnapshot> {
  const fsm = new BlobFsm()
  fsm.apply(keys.map(key => setBlob(key, new Uint8Array(bytes).fill(key))))
  const pieces: Uint8Array[] = []
  for await (const piece of fsm.snapshot().content()) pieces.push(piece)
  const content = Buffer.concat(pieces)
  const info = {
    ...{ index, term, chain: index * 7, timestamp: 2_000, nextOffset: 0, configurationIndex: 1 },
    configuration: encodeGroupConfiguration(configurationOf(NODES)),
    ...{ contentBytes: content.length, contentChecksum: crc32(content) },
  }
  return { info, content }
}

export class ScriptedLeader {
  readonly handler: RecordingHandler = new RecordingHandler()
  readonly #node: number
  readonly #transport: Transport
  #call: SnapshotCall | undefined

  private constructor(network: MemoryNetwork, node: number) {
    this.#node = node
    this.#transport = network.transport(node)
  }

  static async on(network: MemoryNetwork, node: number): Promise<ScriptedLeader> {
    const leader = new ScriptedLeader(network, node)
    await leader.#transport.start(leader.handler)
    return leader
  }

  get replica(): number {
    return replicaOn(this.#node)
  }

  send(toNode: number, message: Message<Frame>): void {
    this.#transport.send(toNode, [{ group: SNAPSHOT_GROUP, message }])
  }

  heartbeat(toNode: number, term: number, commit = 0): void {
    this.send(toNode, { type: 'heartbeat', from: this.replica, to: replicaOn(toNode), term, commit, context: 0 })
  }

  append(
    toNode: number,
    term: number,
    before: { index: number; term: number },
    frames: readonly Frame[],
    commit: number,
  ): void {
    const envelope = { type: 'append', from: this.replica, to: replicaOn(toNode), term } as const
    const entries = frames.map(entryOfFrame)
    this.send(toNode, { ...envelope, prevIndex: before.index, prevTerm: before.term, commit, entries })
  }

  /** Index of the newest acknowledgement. */
  get acknowledged(): number {
    const answers = this.handler.received.map(({ message: { message } }) => message)
    const accepted = answers.filter(answer => answer.type === 'appendResponse' && !answer.rejected)
    const last = accepted.at(-1)
    return last?.type === 'appendResponse' ? last.index : 0
  }

  /** Offers a snapshot and waits for the first answer. */
  async offer(toNode: number, term: number, { info }: MadeSnapshot): Promise<RecordingEvents> {
    const offer: SnapshotOffer = {
      ...{ group: SNAPSHOT_GROUP, from: this.replica, to: replicaOn(toNode), term, info },
      snapshotId: `${info.index}-${info.term}-${info.contentChecksum}`,
    }
    const events = new RecordingEvents()
    this.#call = this.#transport.offerSnapshot(toNode, offer, events)
    await until('the offer is answered', () => events.answers.length > 0)
    return events
  }

  /** Sends the content from `from` up to `to`, chunk by chunk, each after the answer to the one before. */
  async chunks(
    events: RecordingEvents,
    { content }: MadeSnapshot,
    from = 0,
    to: number = content.length,
  ): Promise<void> {
    for (let offset = from; offset < to; offset += CHUNK_BYTES) {
      const data = content.slice(offset, offset + CHUNK_BYTES)
      const answers = events.answers.length
      this.#call!.send({ offset, data, crc: crc32(data), done: offset + data.length === content.length })
      await until('the chunk is answered', () => events.answers.length > answers)
    }
  }

  /** The whole snapshot. */
  async snapshot(toNode: number, term: number, made: MadeSnapshot): Promise<RecordingEvents> {
    const events = await this.offer(toNode, term, made)
    if (!events.answers[0]!.done) await this.chunks(events, made)
    return events
  }

  breakCall(): void {
    this.#call!.close()
  }

  close(): Promise<void> {
    return this.#transport.close()
  }
}
