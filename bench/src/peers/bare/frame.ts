/**
 * What the bare processes and their client tell each other: a header with a checksum of the rest, and records behind each
 * other, each with its length. Appends are stored as they come.
 *
 *     u32 payload bytes · u32 CRC-32 of the rest · u32 number of the call · u16 topic · u16 partition · u8 operation · payload
 */
import { crc32 } from '@millrace/record'

export const HEADER_BYTES = 17
const CHECKED_FROM = 8

/** The number of a call, behind each other without anything in between. */
export const ACKNOWLEDGEMENT_BYTES = 4

export const Operation = { append: 1, read: 2, follow: 3, end: 4, forget: 5 } as const

export interface Frame {
  readonly call: number
  readonly topic: number
  readonly partition: number
  readonly operation: number
  /** Header and payload, as they came. */
  readonly bytes: Buffer
}

export function sealFrame(
  place: { readonly call: number; readonly topic: number; readonly partition: number; readonly operation: number },
  values: readonly Uint8Array[] = [],
): Buffer {
  const payloadBytes = values.reduce((sum, value) => sum + 4 + value.length, 0)
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + payloadBytes)
  bytes.writeUInt32LE(payloadBytes, 0)
  bytes.writeUInt32LE(place.call, 8)
  bytes.writeUInt16LE(place.topic, 12)
  bytes.writeUInt16LE(place.partition, 14)
  bytes.writeUInt8(place.operation, 16)
  let at = HEADER_BYTES
  for (const value of values) {
    bytes.writeUInt32LE(value.length, at)
    bytes.set(value, at + 4)
    at += 4 + value.length
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(CHECKED_FROM)), 4)
  return bytes
}

export function valuesOf({ bytes }: Frame): Buffer[] {
  const values: Buffer[] = []
  for (let at = HEADER_BYTES; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at)
    values.push(bytes.subarray(at + 4, end))
    at = end
  }
  return values
}

/** Cuts a stream of bytes into frames, and checks each. */
export class FrameCutter {
  #chunks: Buffer[] = []
  #length = 0

  /** @returns the frames that are complete with this chunk. @throws Error where a checksum does not fit */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk)
    this.#length += chunk.length
    if (this.#length < this.#needed()) return []
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#length)
    const frames: Frame[] = []
    while (rest.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + rest.readUInt32LE(0)
      if (rest.length < end) break
      frames.push(checked(rest.subarray(0, end)))
      rest = rest.subarray(end)
    }
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#length = rest.length
    return frames
  }

  /** Bytes with which the first frame is complete, as far as they are known. */
  #needed(): number {
    const first = this.#chunks[0]!
    return first.length < 4 ? HEADER_BYTES : HEADER_BYTES + first.readUInt32LE(0)
  }
}

function checked(bytes: Buffer): Frame {
  if (crc32(bytes.subarray(CHECKED_FROM)) !== bytes.readUInt32LE(4)) throw new Error('a frame with a wrong checksum')
  return {
    call: bytes.readUInt32LE(8),
    topic: bytes.readUInt16LE(12),
    partition: bytes.readUInt16LE(14),
    operation: bytes.readUInt8(16),
    bytes,
  }
}

/** Cuts a stream of acknowledgements into the numbers of calls. */
export class AcknowledgementCutter {
  #rest: Buffer = Buffer.alloc(0)

  push(chunk: Buffer): number[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const whole = bytes.length - (bytes.length % ACKNOWLEDGEMENT_BYTES)
    const calls: number[] = []
    for (let at = 0; at < whole; at += ACKNOWLEDGEMENT_BYTES) calls.push(bytes.readUInt32LE(at))
    this.#rest = bytes.subarray(whole)
    return calls
  }
}
