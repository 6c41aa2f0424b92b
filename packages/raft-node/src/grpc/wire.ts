/**
 * The protobuf wire format for the messages between peers, with 64-bit integers as numbers.
 *
 * The runtime of the generated code reads and writes 64-bit fields as bigints, one allocation each; these messages are
 * nearly all 64-bit fields, and entries travel by the ten thousand. `codec.test.ts` holds both to the same bytes.
 *
 * Invariant: a value that is no safe unsigned integer is neither written nor read.
 */

const TWO_32 = 0x1_0000_0000
/** Of the tenth and last byte that an integer may have. */
const SCALE_MAX = 2 ** 70
const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2
const FIXED32 = 5

/** Writes fields into a buffer that grows; zero values are left out, as proto3 does. */
export class WireWriter {
  #buffer: Buffer
  #at = 0

  constructor(bytesExpected: number) {
    this.#buffer = Buffer.allocUnsafe(Math.max(bytesExpected, 64))
  }

  /** What was written: a view, the writer must not be used any more. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#at)
  }

  uint(field: number, value: number): void {
    if (value === 0) return
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`field ${field}: not a safe integer: ${value}`)
    this.#reserve(20)
    this.#varint((field << 3) | VARINT)
    this.#varint(value)
  }

  bool(field: number, value: boolean): void {
    if (value) this.uint(field, 1)
  }

  /** Written even if it is 0: the presence of an optional field says something. */
  fixed32(field: number, value: number): void {
    this.#reserve(9)
    this.#varint((field << 3) | FIXED32)
    this.#at = this.#buffer.writeUInt32LE(value, this.#at)
  }

  fixed64(field: number, value: number): void {
    this.#reserve(13)
    this.#varint((field << 3) | FIXED64)
    this.#at = this.#buffer.writeUInt32LE(value % TWO_32, this.#at)
    this.#at = this.#buffer.writeUInt32LE(Math.floor(value / TWO_32), this.#at)
  }

  /** A nested message whose fields 1, 2, 3 … are these integers. */
  uints(field: number, values: readonly number[]): void {
    this.header(field, uintsLength(values))
    this.uintFields(values)
  }

  /** Fields 1, 2, 3 … of this message. */
  uintFields(values: readonly number[]): void {
    for (let i = 0; i < values.length; i++) this.uint(i + 1, values[i]!)
  }

  /** A repeated integer field; nothing where there is none. */
  packedUints(field: number, values: readonly number[]): void {
    if (values.length === 0) return
    let length = 0
    for (const value of values) {
      if (!Number.isSafeInteger(value) || value < 0)
        throw new RangeError(`field ${field}: not a safe integer: ${value}`)
      length += varintLength(value)
    }
    this.header(field, length)
    this.#reserve(length)
    for (const value of values) this.#varint(value)
  }

  message(field: number, nested: WireWriter): void {
    const bytes = nested.finish()
    this.header(field, bytes.length)
    this.raw(bytes)
  }

  /** Tag and length of a field of `length` bytes; the caller writes exactly that many next. */
  header(field: number, length: number): void {
    this.#reserve(15)
    this.#varint((field << 3) | LENGTH_DELIMITED)
    this.#varint(length)
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.length
  }

  #reserve(more: number): void {
    if (this.#at + more <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + more))
    grown.set(this.#buffer.subarray(0, this.#at))
    this.#buffer = grown
  }

  #varint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#buffer[this.#at++] = rest
  }
}

/** Bytes that fields 1 to 15 with these integers take. */
export function uintsLength(values: readonly number[]): number {
  let length = 0
  for (const value of values) if (value !== 0) length += 1 + varintLength(value)
  return length
}

/** Bytes of an integer as a varint. */
export function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++
  return length
}

/** A 64-bit field that the generated code has read. @throws RangeError */
export function safeNumber(value: bigint): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw new RangeError(`${value} is no index`)
  return number
}

/** What cannot be a message of a peer. */
export class WireError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'WireError'
  }
}

/**
 * Reads fields one after the other: `while (reader.next()) switch (reader.field) …`; what is not read by then is
 * skipped. Byte fields are views on the message.
 */
export class WireReader {
  field = 0
  readonly #bytes: Uint8Array
  readonly #end: number
  #at: number
  #type = 0
  /** The value of `field` has not been read yet. */
  #open = false

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  /** Goes to the next field. */
  next(): boolean {
    if (this.#open) this.#skip()
    if (this.#at >= this.#end) return false
    const tag = this.#varint()
    this.field = Math.floor(tag / 8)
    this.#type = tag % 8
    this.#open = true
    return true
  }

  uint(): number {
    this.#expect(VARINT)
    return this.#varint()
  }

  bool(): boolean {
    return this.uint() !== 0
  }

  fixed32(): number {
    this.#expect(FIXED32)
    const at = this.#take(4)
    const b = this.#bytes
    return (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0
  }

  fixed64(): number {
    this.#expect(FIXED64)
    const at = this.#take(8)
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, 8)
    const value = view.getUint32(4, true) * TWO_32 + view.getUint32(0, true)
    if (value > Number.MAX_SAFE_INTEGER) throw new WireError(`field ${this.field}: integer above 2^53 − 1`)
    return value
  }

  /** The integers in fields 1 to `count` of a nested message, at those places; 0 where a field is absent. */
  uints(count: number): number[] {
    const values = new Array<number>(count + 1).fill(0)
    const nested = this.message()
    while (nested.next()) if (nested.field <= count) values[nested.field] = nested.uint()
    return values
  }

  /** A repeated integer field in its packed form, the only one that is written. */
  packedUints(): number[] {
    const values: number[] = []
    const nested = this.message()
    while (nested.#at < nested.#end) values.push(nested.#varint())
    return values
  }

  bytes(): Uint8Array {
    this.#expect(LENGTH_DELIMITED)
    const length = this.#varint()
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** A reader over the nested message. */
  message(): WireReader {
    this.#expect(LENGTH_DELIMITED)
    const length = this.#varint()
    const at = this.#take(length)
    return new WireReader(this.#bytes, at, at + length)
  }

  #expect(type: number): void {
    if (this.#type !== type) throw new WireError(`field ${this.field}: wire type ${this.#type}, expected ${type}`)
    this.#open = false
  }

  #skip(): void {
    this.#open = false
    if (this.#type === VARINT) this.#skipVarint()
    else if (this.#type === FIXED64) this.#take(8)
    else if (this.#type === FIXED32) this.#take(4)
    else if (this.#type === LENGTH_DELIMITED) this.#take(this.#varint())
    else throw new WireError(`field ${this.field}: wire type ${this.#type}`)
  }

  #take(length: number): number {
    const at = this.#at
    if (length > this.#end - at) throw new WireError(`message ends inside field ${this.field}`)
    this.#at = at + length
    return at
  }

  #skipVarint(): void {
    while ((this.#byte() & 0x80) !== 0);
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new WireError('message ends inside an integer')
    return this.#bytes[this.#at++]!
  }

  #varint(): number {
    let byte = this.#byte()
    let value = byte & 0x7f
    let scale = 0x80
    while ((byte & 0x80) !== 0) {
      byte = this.#byte()
      value += (byte & 0x7f) * scale
      scale *= 0x80
      if (value > Number.MAX_SAFE_INTEGER || scale > SCALE_MAX) throw new WireError('integer above 2^53 − 1')
    }
    return value
  }
}
