/**
 * What the entries and snapshots of a simulated group carry. Entries are frames, sealed by whoever leads, as in a real
 * node; a client's command is its number, a configuration is JSON.
 */
import type { BaseRecord, LogPosition } from '@millrace/log-store'
import type { ConfigEntry, Configuration, Entry, LogIndex, SnapshotMeta, Term } from '@millrace/raft-core'
import { decodeGroupConfiguration, encodeGroupConfiguration, type GroupConfiguration } from '@millrace/raft-node'
import {
  FRAME_HEADER_BYTES,
  type Frame,
  type FrameBody,
  FrameCodec,
  FrameKind,
  framePayload,
  NO_PRODUCER,
  nextOffsetAfter,
  sealFrame,
} from '@millrace/record'

/** A state machine's state: a hash over everything that was applied, and how far that is. */
export interface StateImage {
  readonly index: LogIndex
  readonly term: Term
  readonly hash: number
}

/** What a snapshot brings: a state, and the base that the log goes on from. */
export interface SnapshotImage {
  readonly state: StateImage
  readonly base: BaseRecord
}

/** Of an entry its frame, or what one will be sealed from; of a snapshot the image. */
export type Payload = Frame | FrameBody | SnapshotImage

export type SimEntry = Entry<Payload>
export type SimSnapshot = SnapshotMeta<Payload>

const EMPTY = new Uint8Array(0)
const ID_BYTES = 8
const JSON_START = 0x7b

/** A client's command: its number, and `more` bytes to make it longer. */
export function commandBody(id: number, more: number): FrameBody {
  const payload = new Uint8Array(ID_BYTES + more)
  new DataView(payload.buffer).setFloat64(0, id)
  return bodyOf(FrameKind.command, payload)
}

/** Number of the command in a frame; 0 where there is none. */
export function commandOf({ header, bytes }: Frame): number {
  return header.kind === FrameKind.command ? commandIn(bytes.subarray(FRAME_HEADER_BYTES)) : 0
}

/** Number of the command in the payload of a frame. */
export function commandIn(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset).getFloat64(0)
}

/**
 * The frame of an entry.
 *
 * @throws Error for an entry that no host has sealed
 */
export function frameOf(entry: SimEntry): Frame {
  const { payload } = entry
  if (payload === null || !('bytes' in payload)) {
    throw new Error(`entry ${entry.index} of term ${entry.term} was not sealed before it was used`)
  }
  return payload
}

/** What an entry says, and everything before it, as a number. */
export function chainOf(entry: SimEntry): number {
  return frameOf(entry).header.chain
}

/** Gives an entry that has none its frame, after what stands at `before`. */
export function seal(entry: SimEntry, group: number, before: LogPosition, wallMs: number): void {
  const { payload } = entry
  if (payload !== null && 'bytes' in payload) return
  const body = payload === null ? bodyOfCoreEntry(entry) : (payload as FrameBody)
  entry.payload = sealFrame(body, {
    group,
    index: entry.index,
    term: entry.term,
    baseOffset: before.nextOffset,
    timestamp: Math.max(before.timestamp, Math.floor(wallMs)),
    previousChain: before.chain,
  })
}

/** The entry that a frame carries. */
export function entryOf(frame: Frame): SimEntry {
  const { index, term, kind } = frame.header
  const entry = { index, term, size: frame.bytes.length, payload: frame }
  if (kind !== FrameKind.configuration) return { ...entry, kind: 'normal' }
  return { ...entry, kind: 'config', config: decoded<ConfigEntry>(framePayload(frame)) }
}

/** Where a log stands after an entry. */
export function positionAfter(entry: SimEntry): LogPosition {
  const { header } = frameOf(entry)
  const { index, term, chain, timestamp } = header
  return { index, term, chain, timestamp, nextOffset: nextOffsetAfter(header) }
}

/** As the host of a node does, where it says on which nodes the replicas are. */
export function encodedConfiguration(configuration: Configuration | GroupConfiguration): Uint8Array {
  return 'places' in configuration ? encodeGroupConfiguration(configuration) : encoded(configuration)
}

export function decodedConfiguration(bytes: Uint8Array): Configuration | GroupConfiguration {
  return bytes[0] === JSON_START ? decoded<Configuration>(bytes) : decodeGroupConfiguration(bytes)
}

/** What comes with a snapshot. */
export function imageOf(snapshot: SimSnapshot): SnapshotImage {
  const { payload } = snapshot
  if (payload === undefined || payload === null || !('base' in payload)) {
    throw new Error(`snapshot ${snapshot.index} comes without a state`)
  }
  return payload
}

function bodyOfCoreEntry({ config }: SimEntry): FrameBody {
  return config === undefined ? bodyOf(FrameKind.noop, EMPTY) : bodyOf(FrameKind.configuration, encoded(config))
}

function bodyOf(kind: FrameKind, payload: Uint8Array): FrameBody {
  const nobody = { producerId: NO_PRODUCER, producerEpoch: 0, sequence: 0 }
  return { kind, codec: FrameCodec.none, recordCount: 0, ...nobody, payload }
}

function encoded(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

function decoded<T>(bytes: Uint8Array): T {
  return JSON.parse(new TextDecoder().decode(bytes)) as T
}
