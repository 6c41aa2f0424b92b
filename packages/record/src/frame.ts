/**
 * The frame: one log entry as bytes, the same on the wire, in the log of every replica and on the way to a reader.
 *
 * A frame is a header of {@link FRAME_HEADER_BYTES} bytes, the payload, and zeroes up to a multiple of 8. It is made
 * once, by the leader, when an entry is sealed; nobody encodes it again. Layout (little-endian), byte by byte:
 * docs/internals/log-format.md.
 *
 * The chain joins a frame to everything before it: chain(n) = crc32(header bytes 0..91 of n, seeded with chain(n−1)).
 * The header holds the payload's checksum, so a chain vouches for the payloads too.
 */
import { crc32 } from '#crc32'
import { crc32Between } from './crc32-portable.ts'

export const FRAME_HEADER_BYTES = 104
/** "MLF1" as a little-endian integer. */
export const FRAME_MAGIC = 0x3146_4c4d
export const FRAME_VERSION = 1

/** What an entry is. Only `records` takes offsets. An unknown kind stops the group: the software is too old for it. */
export const FrameKind = {
  /** The empty entry with which a leader starts its term. */
  noop: 1,
  /** A change of the group's Raft configuration. */
  configuration: 2,
  /** A record set of a producer. */
  records: 3,
  /** A command of a generic state machine (the catalogue's included). */
  command: 4,
  /** Moves the log start of a partition. */
  logStart: 5,
  /** A range that no replica could read any more, given up by an operator. */
  lostRange: 6,
  /** A claim or commit of a consumer group's cursor. */
  cursor: 7,
} as const
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

/** How the value block of a record set is compressed; the broker never opens it. */
export const FrameCodec = { none: 0, zstd: 1 } as const
export type FrameCodec = (typeof FrameCodec)[keyof typeof FrameCodec]

/** The algorithm of all checksums in a frame, in bits 0–3 of `flags`. 0: CRC-32 (IEEE). */
export const CHECKSUM_CRC32 = 0

/** The fields of a frame header. Numbers are safe integers; `producerId` is 16 bytes, all zero for "no producer". */
export interface FrameHeader {
  readonly kind: FrameKind
  readonly codec: FrameCodec
  readonly flags: number
  readonly payloadLength: number
  /** Offsets that this frame takes: > 0 only for `records`. */
  readonly recordCount: number
  readonly group: number
  readonly index: number
  readonly term: number
  /** Offset of the first record; for frames without records the next offset. */
  readonly baseOffset: number
  /** Leader's wall clock at sealing, never below the previous frame's; milliseconds since 1970. */
  readonly timestamp: number
  readonly producerId: Uint8Array
  readonly producerEpoch: number
  readonly sequence: number
  readonly payloadCrc: number
  readonly chain: number
  readonly headerCrc: number
}

/** A frame as bytes with its header at hand. `bytes` is the whole frame, padding included; nobody changes it. */
export interface Frame {
  readonly header: FrameHeader
  readonly bytes: Uint8Array
}

/** Whole length of a frame with a payload of `payloadLength` bytes: a multiple of 8. */
export function frameBytes(payloadLength: number): number {
  return (FRAME_HEADER_BYTES + payloadLength + 7) & ~7
}

/** What the proposer knows of a frame before it is sealed. */
export interface FrameBody {
  readonly kind: FrameKind
  readonly codec: FrameCodec
  readonly recordCount: number
  readonly producerId: Uint8Array
  readonly producerEpoch: number
  readonly sequence: number
  readonly payload: Uint8Array
  /** Checksum of `payload`, where it is already known. */
  readonly payloadCrc?: number
  /** The memory around `payload` is given away with it: where there is room, the frame is made there, without a copy. */
  readonly payloadOwned?: boolean
}

/** What the log knows at sealing: where the frame stands, and the chain of the frame before it. */
export interface FramePosition {
  readonly group: number
  readonly index: number
  readonly term: number
  readonly baseOffset: number
  readonly timestamp: number
  readonly previousChain: number
}

/** 16 zero bytes: the producer of frames that no producer made. */
export const NO_PRODUCER: Uint8Array = new Uint8Array(16)

/** Room before and behind a payload that is enough to make its frame in place. */
export const FRAME_ROOM: { readonly before: number; readonly behind: number } = {
  before: FRAME_HEADER_BYTES,
  behind: 7,
}

/** Whether a frame is made around the payload where it lies, without a copy. */
export function isSealedInPlace({ payload, payloadOwned }: Pick<FrameBody, 'payload' | 'payloadOwned'>): boolean {
  if (payloadOwned !== true || payload.byteOffset < FRAME_HEADER_BYTES) return false
  return payload.byteOffset - FRAME_HEADER_BYTES + frameBytes(payload.length) <= payload.buffer.byteLength
}

/** The frame's memory, with the payload in its place and zeroes around it. */
function frameAround(body: FrameBody): Uint8Array {
  const { payload } = body
  const length = frameBytes(payload.length)
  if (!isSealedInPlace(body)) {
    const bytes = new Uint8Array(length)
    bytes.set(payload, FRAME_HEADER_BYTES)
    return bytes
  }
  const bytes = new Uint8Array(payload.buffer, payload.byteOffset - FRAME_HEADER_BYTES, length)
  bytes.fill(0, 0, FRAME_HEADER_BYTES)
  bytes.fill(0, FRAME_HEADER_BYTES + payload.length)
  return bytes
}

/** Makes the frame, in the buffer that disk, peers and readers then share: a copy, or around the payload if that is owned. */
export function sealFrame(body: FrameBody, at: FramePosition): Frame {
  const { payload } = body
  const bytes = frameAround(body)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const payloadCrc = body.payloadCrc ?? crc32(payload)
  view.setUint32(0, FRAME_MAGIC, true)
  view.setUint8(4, FRAME_VERSION)
  view.setUint8(5, body.kind)
  view.setUint8(6, body.codec)
  view.setUint8(7, CHECKSUM_CRC32)
  view.setUint32(8, FRAME_HEADER_BYTES, true)
  view.setUint32(12, payload.length, true)
  view.setUint32(16, body.recordCount, true)
  setSafe(view, 24, at.group)
  setSafe(view, 32, at.index)
  setSafe(view, 40, at.term)
  setSafe(view, 48, at.baseOffset)
  setSafe(view, 56, at.timestamp)
  bytes.set(body.producerId, 64)
  view.setUint32(80, body.producerEpoch, true)
  view.setUint32(84, body.sequence, true)
  view.setUint32(88, payloadCrc, true)
  const chain = chainOf(bytes, at.previousChain)
  view.setUint32(92, chain, true)
  const headerCrc = crc32Between(bytes, 0, 96)
  view.setUint32(96, headerCrc, true)
  const header: FrameHeader = {
    kind: body.kind,
    codec: body.codec,
    flags: CHECKSUM_CRC32,
    payloadLength: payload.length,
    recordCount: body.recordCount,
    group: at.group,
    index: at.index,
    term: at.term,
    baseOffset: at.baseOffset,
    timestamp: at.timestamp,
    producerId: body.producerId,
    producerEpoch: body.producerEpoch,
    sequence: body.sequence,
    payloadCrc,
    chain,
    headerCrc,
  }
  return { header, bytes }
}

/** The chain value that the frame starting at `bytes[0]` must have after `previousChain`. */
export function chainOf(bytes: Uint8Array, previousChain: number): number {
  return crc32Between(bytes, 0, 92, previousChain)
}

/** The payload, a view on the frame. */
export function framePayload(frame: Frame): Uint8Array {
  return frame.bytes.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + frame.header.payloadLength)
}

/** Next offset after this frame. */
export function nextOffsetAfter(header: FrameHeader): number {
  return header.baseOffset + header.recordCount
}

export type FrameFault = 'short' | 'magic' | 'version' | 'header-checksum' | 'length' | 'payload-checksum' | 'padding'

/**
 * Reads the header at `start` and verifies its checksum, not the payload's. The result's `producerId` aliases `bytes`.
 *
 * @returns the header, or what is wrong with it
 */
export function decodeFrameHeader(bytes: Uint8Array, start = 0): FrameHeader | FrameFault {
  if (bytes.length - start < FRAME_HEADER_BYTES) return 'short'
  if (getU32(bytes, start) !== FRAME_MAGIC) return 'magic'
  const headerCrc = getU32(bytes, start + 96)
  if (crc32Between(bytes, start, start + 96) !== headerCrc) return 'header-checksum'
  if (bytes[start + 4] !== FRAME_VERSION) return 'version'
  if (getU32(bytes, start + 8) !== FRAME_HEADER_BYTES) return 'length'
  return {
    kind: bytes[start + 5] as FrameKind,
    codec: bytes[start + 6] as FrameCodec,
    flags: bytes[start + 7]!,
    payloadLength: getU32(bytes, start + 12),
    recordCount: getU32(bytes, start + 16),
    group: getSafe(bytes, start + 24),
    index: getSafe(bytes, start + 32),
    term: getSafe(bytes, start + 40),
    baseOffset: getSafe(bytes, start + 48),
    timestamp: getSafe(bytes, start + 56),
    producerId: bytes.subarray(start + 64, start + 80),
    producerEpoch: getU32(bytes, start + 80),
    sequence: getU32(bytes, start + 84),
    payloadCrc: getU32(bytes, start + 88),
    chain: getU32(bytes, start + 92),
    headerCrc,
  }
}

/** Reads and fully verifies the frame at `start`. The result's `bytes` is a view on `bytes`. */
export function decodeFrame(bytes: Uint8Array, start = 0): Frame | FrameFault {
  const header = decodeFrameHeader(bytes, start)
  if (typeof header === 'string') return header
  const length = frameBytes(header.payloadLength)
  if (bytes.length - start < length) return 'short'
  const frame = { header, bytes: bytes.subarray(start, start + length) }
  if (crc32(framePayload(frame)) !== header.payloadCrc) return 'payload-checksum'
  return paddingIsZero(frame) ? frame : 'padding'
}

/** The bytes that no checksum covers: the last four of the header, and those after the payload. */
function paddingIsZero({ header, bytes }: Frame): boolean {
  for (let at = 100; at < FRAME_HEADER_BYTES; at++) if (bytes[at] !== 0) return false
  for (let at = FRAME_HEADER_BYTES + header.payloadLength; at < bytes.length; at++) if (bytes[at] !== 0) return false
  return true
}

function setSafe(view: DataView, at: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a safe unsigned integer: ${value}`)
  view.setUint32(at, value % 0x1_0000_0000, true)
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true)
}

// Byte by byte: a DataView for every frame would cost more than everything that is read through it.

function getU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

/** A 64-bit unsigned integer as a number; NaN above 2^53 − 1, which no comparison accepts. */
function getSafe(bytes: Uint8Array, at: number): number {
  const high = getU32(bytes, at + 4)
  return high > 0x1f_ffff ? Number.NaN : high * 0x1_0000_0000 + getU32(bytes, at)
}
