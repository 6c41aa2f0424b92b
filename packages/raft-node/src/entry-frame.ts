/**
 * Raft entries and frames, one made from the other.
 *
 * An entry's payload is its frame. Only between a proposal and the end of the turn it is the body that the frame will
 * be sealed from, or `null` for what the core made itself; nothing leaves a turn unsealed.
 */
import { type ConfigEntry, type Entry, NONE, type ReplicaId } from '@millrace/raft-core'
import {
  type Frame,
  type FrameBody,
  FrameCodec,
  FrameKind,
  type FramePosition,
  framePayload,
  NO_PRODUCER,
  sealFrame,
} from '@millrace/record'
import { decodeConfigurationRecord, encodeGroupConfiguration } from './configuration-codec.ts'
import type { ReplicaPlace } from './group-handle.ts'

/** Payload of an entry inside this node. */
export type EntryPayload = Frame | FrameBody

const EMPTY = new Uint8Array(0)
/** Kinds that this version can apply. */
const KNOWN_KINDS: ReadonlySet<number> = new Set(Object.values(FrameKind))

export function isKnownKind(kind: number): boolean {
  return KNOWN_KINDS.has(kind)
}

export function isSealed(payload: EntryPayload | null): payload is Frame {
  return payload !== null && 'bytes' in payload
}

/**
 * The entry that a frame carries.
 *
 * @throws Error when the frame holds a configuration that cannot be read
 */
export function entryOfFrame(frame: Frame): Entry<Frame> {
  const { header, bytes } = frame
  const { index, term } = header
  if (header.kind !== FrameKind.configuration) {
    return { index, term, kind: 'normal', size: bytes.length, payload: frame }
  }
  return { index, term, kind: 'config', size: bytes.length, payload: frame, config: configOfFrame(frame) }
}

function configOfFrame(frame: Frame): ConfigEntry {
  const { configuration, change } = decodeConfigurationRecord(framePayload(frame))
  return { change, result: configuration }
}

/** Frames as entries, in order. */
export function entriesOfFrames(frames: readonly Frame[]): Entry<Frame>[] {
  return frames.map(entryOfFrame)
}

/** Seals an entry at its place in the log; its payload is the frame from now on. */
export function sealEntry(
  entry: Entry<EntryPayload>,
  at: FramePosition,
  placeOf: (replica: ReplicaId) => number,
): Frame {
  const body = entry.payload === null ? bodyOfCoreEntry(entry, placeOf) : (entry.payload as FrameBody)
  const frame = sealFrame(body, at)
  entry.payload = frame
  return frame
}

/** The body of an entry that the core made: the empty one of a new term, or a configuration. */
function bodyOfCoreEntry(entry: Entry<EntryPayload>, placeOf: (replica: ReplicaId) => number): FrameBody {
  if (entry.config === undefined) return plainBody(FrameKind.noop, EMPTY)
  const { result, change } = entry.config
  const ids = new Set([...result.voters, ...result.votersOutgoing, ...result.learners, ...result.learnersNext])
  const places: ReplicaPlace[] = [...ids]
    .filter(id => id !== NONE)
    .sort((a, b) => a - b)
    .map(replica => ({ replica, node: placeOf(replica) }))
  return plainBody(FrameKind.configuration, encodeGroupConfiguration({ ...result, places }, change))
}

/** A body without records and without a producer. */
export function plainBody(kind: FrameKind, payload: Uint8Array): FrameBody {
  return {
    kind,
    codec: FrameCodec.none,
    recordCount: 0,
    producerId: NO_PRODUCER,
    producerEpoch: 0,
    sequence: 0,
    payload,
  }
}
