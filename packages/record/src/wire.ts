/**
 * Protobuf's wire format, as far as a record set needs it: varints up to 2^53, tags, length-delimited fields.
 *
 * Writing goes into a {@link ByteSink}, which grows and is used again; reading goes through {@link WireReader}, which
 * trusts no length and names the field in every error. Nothing here knows what a record is.
 */
import { MillraceError } from './errors.ts'

/** Wire types of protobuf that a record set uses. */
export const WireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

const SINK_BYTES_MIN = 256

const encoder = new TextEncoder()
/** Longest text for which a plain loop beats the call into TextEncoder. */
const SHORT_TEXT = 48

/** A byte array that grows at its end. `clear` keeps the memory, so that a sink is allocated once and used for long. */
export class ByteSink {
  bytes: Uint8Array
  length = 0

  constructor(capacity: number = SINK_BYTES_MIN) {
    this.bytes = new Uint8Array(capacity)
  }

  clear(): void {
    this.length = 0
  }

  /** Makes room for `more` bytes. */
  reserve(more: number): void {
    const needed = this.length + more
    if (needed <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }

  /** Appends a varint: an unsigned safe integer. */
  varint(value: number): void {
    this.reserve(8)
    this.length = writeVarint(this.bytes, this.length, value)
  }

  fixed32(value: number): void {
    this.reserve(4)
    const { bytes, length } = this
    bytes[length] = value
    bytes[length + 1] = value >>> 8
    bytes[length + 2] = value >>> 16
    bytes[length + 3] = value >>> 24
    this.length = length + 4
  }

  zeros(count: number): void {
    this.reserve(count)
    this.bytes.fill(0, this.length, this.length + count)
    this.length += count
  }

  append(bytes: Uint8Array): void {
    const { length } = bytes
    this.reserve(length)
    const { bytes: target, length: at } = this
    // A call of `set` costs more than a short loop.
    if (length <= 16) for (let i = 0; i < length; i++) target[at + i] = bytes[i]!
    else target.set(bytes, at)
    this.length = at + length
  }

  /** Appends a string as UTF-8; a lone surrogate becomes U+FFFD. Returns the number of bytes. */
  text(text: string): number {
    this.reserve(text.length * 3)
    const start = this.length
    const written = text.length <= SHORT_TEXT ? writeAscii(this.bytes, start, text) : -1
    this.length = start + (written >= 0 ? written : encoder.encodeInto(text, this.bytes.subarray(start)).written)
    return this.length - start
  }

  /** What was written, a view. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }
}

/** Writes `text` if it is ASCII; −1 if it is not. */
function writeAscii(target: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return -1
    target[at + i] = code
  }
  return text.length
}

/** Bytes of `value` as a varint. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  if (value < 0x1000_0000) return 4
  return 5 + (value < 0x8_0000_0000 ? 0 : Math.floor(Math.log2(value) / 7) - 4)
}

/** Writes an unsigned safe integer as a varint and returns the position behind it. */
export function writeVarint(target: Uint8Array, at: number, value: number): number {
  let rest = value
  let i = at
  while (rest > 0x7fff_ffff) {
    target[i++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  while (rest > 0x7f) {
    target[i++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  target[i++] = rest
  return i
}

/** Signed 32-bit integer → the unsigned one that small magnitudes keep small. */
export function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0
}

export function unzigzag(value: number): number {
  return (value >>> 1) ^ -(value & 1)
}

/** The error of a record set whose bytes make no sense; `field` is the name in record.proto. */
export function corruptBatch(field: string, why: string): MillraceError {
  return new MillraceError('CORRUPT_BATCH', `record set: ${field}: ${why}`, { details: { field } })
}

/** Reads one message. Positions are within `bytes`; nothing is copied. */
export class WireReader {
  readonly bytes: Uint8Array
  at: number
  readonly end: number

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.bytes = bytes
    this.at = start
    this.end = end
  }

  /** A varint up to 2^53 − 1. */
  varint(field: string): number {
    const { bytes, end } = this
    let value = 0
    let scale = 1
    for (let i = this.at; i < end; i++) {
      const byte = bytes[i]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break
        this.at = i + 1
        return value
      }
      scale *= 128
      if (i - this.at >= 8) break
    }
    throw corruptBatch(field, 'is no varint of at most 53 bits')
  }

  /** A varint up to 2^32 − 1. */
  uint32(field: string): number {
    const value = this.varint(field)
    if (value > 0xffff_ffff) throw corruptBatch(field, `${value} is above 2^32 − 1`)
    return value
  }

  /** The bytes of a length-delimited field, a view. */
  lengthDelimited(field: string): Uint8Array {
    const length = this.varint(field)
    const start = this.at
    if (length > this.end - start) throw corruptBatch(field, `${length} bytes announced, ${this.end - start} left`)
    this.at = start + length
    return this.bytes.subarray(start, start + length)
  }

  /** Passes over the value of a field that this version does not know. */
  skip(wireType: number): void {
    if (wireType === WireType.varint) {
      while (this.at < this.end && this.bytes[this.at]! >= 0x80) this.at++
      this.at++
    } else if (wireType === WireType.bytes) this.lengthDelimited('an unknown field')
    else if (wireType === WireType.fixed32) this.at += 4
    else if (wireType === WireType.fixed64) this.at += 8
    else throw corruptBatch('tag', `wire type ${wireType} does not exist`)
    if (this.at > this.end) throw corruptBatch('an unknown field', 'ends behind the end')
  }
}

/** A packed list of uint32 varints with exactly `count` items. */
export function readPacked(packed: Uint8Array, count: number, field: string): Uint32Array {
  const items = new Uint32Array(count)
  const { length } = packed
  let at = 0
  for (let i = 0; i < count; i++) {
    const first = at < length ? packed[at]! : 0x80
    if (first < 0x80) {
      items[i] = first
      at++
      continue
    }
    const reader = new WireReader(packed, at)
    if (at >= length) throw corruptBatch(field, `has fewer than ${count} items`)
    items[i] = reader.uint32(field)
    at = reader.at
  }
  if (at !== length) throw corruptBatch(field, `has more than ${count} items`)
  return items
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Strict UTF-8. */
export function readText(bytes: Uint8Array, field: string): string {
  try {
    return decoder.decode(bytes)
  } catch (error) {
    throw new MillraceError('CORRUPT_BATCH', `record set: ${field}: not UTF-8`, { cause: error, details: { field } })
  }
}
