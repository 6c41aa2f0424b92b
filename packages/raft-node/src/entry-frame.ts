/**
 * Raft entries and frames, one made from the other.
 *
 * An entry's payload is its frame. Only between a proposal and the end of the turn it is the body that the frame will
 * be sealed from, or `null` for what the core made itself; nothing leaves a turn unsealed.
 */
import type { ConfigEntry, Configuration, Entry } from '@millrace/raft-core'
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
import type { GroupConfiguration } from './group-handle.ts'

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
  describe: (configuration: Configuration) => GroupConfiguration,
): Frame {
  const body = entry.payload === null ? bodyOfCoreEntry(entry, describe) : (entry.payload as FrameBody)
  const frame = sealFrame(body, at)
  entry.payload = frame
  return frame
}

/** The body of an entry that the core made: the empty one of a new term, or a configuration. */
function bodyOfCoreEntry(
  { config }: Entry<EntryPayload>,
  describe: (configuration: Configuration) => GroupConfiguration,
): FrameBody {
  if (config === undefined) return plainBody(FrameKind.noop, EMPTY)
  return plainBody(FrameKind.configuration, encodeGroupConfiguration(describe(config.result), config.change))
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
