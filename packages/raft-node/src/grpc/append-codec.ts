/**
 * AppendEntriesRequest and AppendEntriesResponse as bytes.
 *
 * Frames are spliced in as they are: only the fields in front of them are encoded, per follower, and the frames are copied
 * where grpc-js copies the message anyway. They are read as views on the message or on small copies of parts of it, never
 * on much more than themselves.
 */
import { type Message, NONE } from '@millrace/raft-core'
import { decodeFrameHeader, type Frame, FrameKind, frameBytes } from '@millrace/record'
import { entryOfFrame } from '../entry-frame.ts'
import { countCopy } from '../payload-copies.ts'
import type { GroupMessage } from '../transport.ts'
import { addPiece, GatheredMessage } from './gathered-message.ts'
import { release } from './release.ts'
import { uintsLength, varintLength, WireError, WireReader, WireWriter } from './wire.ts'

type AppendMessage = Extract<Message<Frame>, { type: 'append' }>

/** Field numbers of AppendEntriesRequest, GroupAppend, AppendEntriesResponse and GroupAppendResponse. */
const APPENDS = 2
const RESPONSES = 2
const FRAMES = 15
/** Room for the fields of an append beside its frames. */
const OVERHEAD_BYTES = 96

/** Bytes that an append takes in a queue and, within a few, on the wire. */
export function appendBytes(message: AppendMessage): number {
  let bytes = OVERHEAD_BYTES
  for (const entry of message.entries) bytes += entry.size
  return bytes
}

/** Fields `appends` of a request, one after the other. The frames in it are the caller's, by reference. */
export function encodeAppends(messages: readonly GroupMessage[]): GatheredMessage {
  const pieces: Uint8Array[] = []
  for (const { group, message } of messages) if (message.type === 'append') encodeAppend(group, message, pieces)
  return new GatheredMessage(pieces)
}

function encodeAppend(group: number, message: AppendMessage, pieces: Uint8Array[]): void {
  let frames = 0
  for (const entry of message.entries) frames += entry.payload!.bytes.length
  const { from, term, prevIndex, prevTerm, commit } = message
  const fields = [group, from, term, prevIndex, prevTerm, commit]
  const length = uintsLength(fields) + (frames > 0 ? 1 + varintLength(frames) + frames : 0)
  const writer = new WireWriter(OVERHEAD_BYTES)
  writer.header(APPENDS, length)
  writer.uintFields(fields)
  if (frames > 0) writer.header(FRAMES, frames)
  pieces.push(writer.finish())
  for (const entry of message.entries) addPiece(pieces, entry.payload!.bytes)
}

/**
 * The appends of a request. An append that cannot be read is left out and told to `refuse`; the rest is not affected.
 *
 * @param bytes given away: their memory is freed where no frame stays in it
 * @throws WireError when the request as a whole cannot be read
 */
export function decodeAppends(bytes: Uint8Array, refuse: (group: number, reason: string) => void): GroupMessage[] {
  const out: GroupMessage[] = []
  const reader = new WireReader(bytes)
  while (reader.next()) {
    if (reader.field !== APPENDS) continue
    const append = decodeAppend(reader.message(), refuse)
    if (append !== undefined) out.push(append)
  }
  if (!out.some(({ message }) => staysIn(bytes.buffer, message))) release(bytes)
  return out
}

/** The frames of one append are all copied, or none. */
function staysIn(buffer: ArrayBufferLike, message: GroupMessage['message']): boolean {
  return message.type === 'append' && message.entries[0]?.payload?.bytes.buffer === buffer
}

function decodeAppend(reader: WireReader, refuse: (group: number, reason: string) => void): GroupMessage | undefined {
  let group = 0
  let from = 0
  let term = 0
  let prevIndex = 0
  let prevTerm = 0
  let commit = 0
  let frames: Uint8Array | undefined
  while (reader.next()) {
    if (reader.field === 1) group = reader.uint()
    else if (reader.field === 2) from = reader.uint()
    else if (reader.field === 3) term = reader.uint()
    else if (reader.field === 4) prevIndex = reader.uint()
    else if (reader.field === 5) prevTerm = reader.uint()
    else if (reader.field === 6) commit = reader.uint()
    else if (reader.field === FRAMES) frames = reader.bytes()
  }
  countCopy('received', frames?.length ?? 0)
  try {
    const entries = frames === undefined ? [] : ownFrames(readFrames(frames)).map(entryOfFrame)
    // The addressee is the replica of the receiving node, which knows its id.
    return { group, message: { type: 'append', from, to: NONE, term, prevIndex, prevTerm, commit, entries } }
  } catch (error) {
    refuse(group, error instanceof Error ? error.message : String(error))
    return undefined
  }
}

/** Frames are kept for as long as caches like, so they may not keep more than this alive beside themselves. */
const CARRIER_BYTES_MAX = 64 * 1024

/**
 * Frames in buffers of their own: each at most {@link CARRIER_BYTES_MAX} long or one frame. A view on the message would
 * keep all of it alive, with the frames of every other group in it. Frames that are nearly the whole message stay there:
 * caches drop them one after the other.
 */
function ownFrames(frames: readonly Frame[]): readonly Frame[] {
  const carrierBytes = frames[0]!.bytes.buffer.byteLength
  if (carrierBytes <= CARRIER_BYTES_MAX || areMostOf(frames, carrierBytes)) return frames
  const own: Frame[] = []
  for (let first = 0; first < frames.length; ) {
    let bytes = frames[first]!.bytes.length
    let end = first + 1
    while (end < frames.length && bytes + frames[end]!.bytes.length <= CARRIER_BYTES_MAX) {
      bytes += frames[end++]!.bytes.length
    }
    copyTogether(frames.slice(first, end), bytes, own)
    first = end
  }
  return own
}

/** A configuration is kept for longer than any cache keeps frames, and alone. */
function areMostOf(frames: readonly Frame[], carrierBytes: number): boolean {
  let bytes = 0
  for (const frame of frames) {
    if (frame.header.kind === FrameKind.configuration) return false
    bytes += frame.bytes.length
  }
  return carrierBytes - bytes <= CARRIER_BYTES_MAX
}

/** `bytes`: of all the frames together. */
function copyTogether(frames: readonly Frame[], bytes: number, into: Frame[]): void {
  const buffer = Buffer.from(new ArrayBuffer(bytes))
  countCopy('owned', bytes)
  let at = 0
  for (const frame of frames) {
    buffer.set(frame.bytes, at)
    const header = decodeFrameHeader(buffer, at)
    if (typeof header === 'string') throw new WireError(`a frame that was whole is ${header} in its copy`)
    into.push({ header, bytes: buffer.subarray(at, at + frame.bytes.length) })
    at += frame.bytes.length
  }
}

/** Splits frames by their headers, whose checksums are verified; payloads are verified where the frames are stored. @throws WireError */
export function readFrames(bytes: Uint8Array): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length; ) {
    const header = decodeFrameHeader(bytes, at)
    if (typeof header === 'string') throw new WireError(`frame at byte ${at} of ${bytes.length}: ${header}`)
    const length = frameBytes(header.payloadLength)
    if (length > bytes.length - at) throw new WireError(`frame at byte ${at} of ${bytes.length}: short`)
    frames.push({ header, bytes: bytes.subarray(at, at + length) })
    at += length
  }
  return frames
}

/** Fields `responses` of a response. */
export function encodeAppendResponses(messages: readonly GroupMessage[]): Buffer {
  const writer = new WireWriter(messages.length * 48)
  for (const { group, message, busy } of messages) {
    if (message.type !== 'appendResponse') continue
    const { from, to, term, rejected, index, hintIndex, hintTerm, lostTail } = message
    const lost = lostTail === true ? 1 : 0
    const over = busy === true ? 1 : 0
    writer.uints(RESPONSES, [group, from, to, term, rejected ? 1 : 0, index, hintIndex, hintTerm, over, lost])
  }
  return writer.finish()
}

/** The answers in a response. @throws WireError */
export function decodeAppendResponses(bytes: Uint8Array): GroupMessage[] {
  const out: GroupMessage[] = []
  const reader = new WireReader(bytes)
  while (reader.next()) {
    if (reader.field !== RESPONSES) continue
    const f = reader.uints(10)
    const envelope = { type: 'appendResponse', from: f[2]!, to: f[3]!, term: f[4]! } as const
    const message = { ...envelope, rejected: f[5] !== 0, index: f[6]!, hintIndex: f[7]!, hintTerm: f[8]! }
    const answer = { group: f[1]!, message: f[10] === 0 ? message : ({ ...message, lostTail: true } as const) }
    out.push(f[9] === 0 ? answer : { ...answer, busy: true })
  }
  return out
}
