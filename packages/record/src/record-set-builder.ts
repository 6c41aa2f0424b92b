/**
 * Builds record sets: protobuf's bytes of `RecordSet`, written column by column without going through messages.
 *
 * A builder is used again after `build`, with the memory it has. Everything that `add` takes is copied. A record that
 * is refused leaves no trace. What comes out is canonical: fields in the order of their numbers, each at most once,
 * lists packed, columns left out where they say nothing.
 */
import { zstdCompress } from '#zstd'
import { MillraceError } from './errors.ts'
import { FrameCodec } from './frame.ts'
import { LIMITS } from './limits.ts'
import { keyHash } from './partitioner.ts'
import { checkRecordBytes, checkRecordParts, type RecordHeader, type RecordInput, tooLarge } from './record-data.ts'
import { ByteSink, varintBytes, WireType, writeVarint, zigzag } from './wire.ts'

/** How to compress values: `zstd` falls back to `none` where it does not make them smaller. */
export type Compression = 'none' | 'zstd'

/** Bits of a record's entry in `flags`. */
export const RecordFlag = { hasKey: 1, tombstone: 2 } as const

/** A finished record set: what goes into one frame. */
export interface EncodedRecordSet {
  /** The message `RecordSet`; owned by the receiver. */
  readonly bytes: Uint8Array
  readonly count: number
  readonly codec: FrameCodec
}

export interface RecordSetBuilderOptions {
  readonly codec?: Compression
  /** Bytes before compression at which the set is full; at most and by default `LIMITS.recordSetBytesMax`. */
  readonly bytesMax?: number
}

/** Tags, lengths and the scalar fields around the columns: more than they can ever take. */
const FIXED_BYTES_MAX = 160
/** Most that one record adds to all columns. */
const COLUMN_BYTES_MAX = 32
const INT32_MAX = 0x7fff_ffff

export class RecordSetBuilder {
  readonly #codec: Compression
  readonly #bytesMax: number
  #count = 0
  #byteLength = FIXED_BYTES_MAX
  #firstTime = 0
  #lastTime = 0
  #contentType = ''
  readonly #contentTypes = new Map<string, number>()
  readonly #deltas = new ByteSink()
  readonly #flags = new ByteSink()
  readonly #keyHashes = new ByteSink()
  readonly #keyLengths = new ByteSink()
  readonly #keys = new ByteSink()
  readonly #valueLengths = new ByteSink()
  readonly #headerCounts = new ByteSink()
  readonly #headers = new ByteSink()
  readonly #typeIndexes = new ByteSink()
  readonly #typeNames = new ByteSink()
  readonly #values = new ByteSink(4096)
  readonly #columns: readonly ByteSink[] = [
    this.#deltas,
    this.#flags,
    this.#keyHashes,
    this.#keyLengths,
    this.#keys,
    this.#valueLengths,
    this.#headerCounts,
    this.#headers,
    this.#typeIndexes,
    this.#typeNames,
    this.#values,
  ]

  constructor(options: RecordSetBuilderOptions = {}) {
    this.#codec = options.codec ?? 'none'
    this.#bytesMax = Math.min(options.bytesMax ?? LIMITS.recordSetBytesMax, LIMITS.recordSetBytesMax)
  }

  /** Records added since the last `build`. */
  get count(): number {
    return this.#count
  }

  /** Upper bound of what `build` gives, off by less than 200 bytes without compression. */
  get byteLength(): number {
    return this.#byteLength
  }

  /**
   * Appends a record.
   *
   * @returns false where the set is full (or the record's time is more than 24 days from the one before it): build,
   *   then add it again
   * @throws RECORD_TOO_LARGE, INVALID_ARGUMENT: this record fits into no set
   */
  add(record: RecordInput): boolean {
    const headerBytes = checkRecordParts(record)
    if (this.#count >= LIMITS.recordsPerSetMax) return false
    const delta = this.#count === 0 ? 0 : record.createTime - this.#lastTime
    if (delta > INT32_MAX || delta < -INT32_MAX) return false
    const key = record.key ?? null
    const values = this.#values
    const mark = values.length
    const valueBytes = this.#appendValue(record.value)
    try {
      checkRecordBytes((key?.length ?? 0) + valueBytes + headerBytes)
      if (!this.#fits(record, key, headerBytes + valueBytes, delta)) {
        values.length = mark
        return false
      }
    } catch (error) {
      values.length = mark
      throw error
    }
    this.#appendTime(record.createTime, delta)
    this.#appendKey(key, record.value === null)
    this.#valueLengths.varint(valueBytes)
    this.#appendHeaders(record.headers)
    this.#appendContentType(record.contentType ?? '')
    this.#count++
    this.#byteLength = this.#measure()
    return true
  }

  /**
   * Finishes the set and empties the builder.
   *
   * @throws INVALID_ARGUMENT where it is empty: a set has at least one record
   */
  build(): EncodedRecordSet {
    const count = this.#count
    if (count === 0) throw new MillraceError('INVALID_ARGUMENT', 'a record set needs at least one record')
    const blockLength = this.#blockLength()
    const packed = this.#codec === 'zstd' ? this.#compress(blockLength) : null
    const bytes = new Uint8Array(this.byteLength - (packed === null ? 0 : blockLength - packed.length))
    let at = this.#writeIndex(bytes, blockLength, packed !== null)
    at = writeTag(bytes, at, 15, packed?.length ?? blockLength)
    if (packed === null) at = this.#writeBlock(bytes, at)
    else {
      bytes.set(packed, at)
      at += packed.length
    }
    this.clear()
    return { bytes: bytes.subarray(0, at), count, codec: packed === null ? FrameCodec.none : FrameCodec.zstd }
  }

  /** Forgets all records; keeps the memory. */
  clear(): void {
    this.#count = 0
    this.#byteLength = FIXED_BYTES_MAX
    this.#contentTypes.clear()
    for (const column of this.#columns) column.clear()
  }

  #measure(): number {
    let bytes = FIXED_BYTES_MAX
    for (const column of this.#columns) bytes += column.length
    return bytes
  }

  #appendValue(value: Uint8Array | string | null): number {
    if (value === null) return 0
    if (typeof value === 'string') return this.#values.text(value)
    this.#values.append(value)
    return value.length
  }

  /** A column that starts late has to catch up for all records before it. */
  #fits(record: RecordInput, key: Uint8Array | null, contentBytes: number, delta: number): boolean {
    const count = this.#count
    let growth = COLUMN_BYTES_MAX + contentBytes + (key?.length ?? 0) + (record.contentType?.length ?? 0) * 3
    if (record.headers !== undefined) growth += record.headers.length * 12
    if ((key !== null || record.value === null) && this.#flags.length === 0) growth += count
    if (key !== null && this.#keyHashes.length === 0) growth += count * 5
    if (delta !== 0 && this.#deltas.length === 0) growth += count
    if (record.headers !== undefined && this.#headerCounts.length === 0) growth += count
    if (record.contentType !== this.#contentType && this.#typeIndexes.length === 0) growth += count
    if (this.byteLength + growth <= this.#bytesMax) return true
    if (count > 0) return false
    if (this.byteLength + growth <= LIMITS.recordSetBytesMax) return true
    throw tooLarge('record set bytes', this.byteLength + growth, 'recordSetBytesMax')
  }

  #appendTime(time: number, delta: number): void {
    if (this.#count === 0) this.#firstTime = time
    this.#lastTime = time
    if (delta !== 0 && this.#deltas.length === 0) this.#deltas.zeros(this.#count)
    if (this.#deltas.length > 0 || delta !== 0) this.#deltas.varint(zigzag(delta))
  }

  #appendKey(key: Uint8Array | null, tombstone: boolean): void {
    const flags = (key === null ? 0 : RecordFlag.hasKey) | (tombstone ? RecordFlag.tombstone : 0)
    if (flags !== 0 && this.#flags.length === 0) this.#flags.zeros(this.#count)
    if (flags !== 0 || this.#flags.length > 0) this.#flags.varint(flags)
    if (key !== null) {
      if (this.#keyHashes.length === 0) {
        this.#keyHashes.zeros(this.#count * 4)
        this.#keyLengths.zeros(this.#count)
      }
      this.#keyHashes.fixed32(keyHash(key))
      this.#keyLengths.varint(key.length)
      this.#keys.append(key)
    } else if (this.#keyHashes.length > 0) {
      this.#keyHashes.fixed32(0)
      this.#keyLengths.varint(0)
    }
  }

  #appendHeaders(headers: readonly RecordHeader[] | undefined): void {
    const count = headers?.length ?? 0
    if (count > 0 && this.#headerCounts.length === 0) this.#headerCounts.zeros(this.#count)
    if (count > 0 || this.#headerCounts.length > 0) this.#headerCounts.varint(count)
    if (headers === undefined) return
    for (const { name, value } of headers) appendHeader(this.#headers, name, value)
  }

  /** The first record's content type is the set's; others go into a table. */
  #appendContentType(contentType: string): void {
    if (this.#count === 0) this.#contentType = contentType
    if (contentType === this.#contentType) {
      if (this.#typeIndexes.length > 0) this.#typeIndexes.varint(0)
      return
    }
    let index = this.#contentTypes.get(contentType)
    if (index === undefined) {
      index = this.#contentTypes.size + 1
      this.#contentTypes.set(contentType, index)
      const text = utf8.encode(contentType)
      this.#typeNames.varint((5 << 3) | WireType.bytes)
      this.#typeNames.varint(text.length)
      this.#typeNames.append(text)
    }
    if (this.#typeIndexes.length === 0) this.#typeIndexes.zeros(this.#count)
    this.#typeIndexes.varint(index)
  }

  #blockLength(): number {
    return (
      fieldBytes(this.#valueLengths.length) +
      fieldBytes(this.#headerCounts.length) +
      this.#headers.length +
      fieldBytes(this.#typeIndexes.length) +
      this.#typeNames.length +
      fieldBytes(this.#values.length)
    )
  }

  #compress(blockLength: number): Uint8Array | null {
    const block = new Uint8Array(blockLength)
    this.#writeBlock(block, 0)
    const packed = zstdCompress(block)
    return packed.length < blockLength ? packed : null
  }

  #writeIndex(bytes: Uint8Array, blockLength: number, compressed: boolean): number {
    let at = writeScalar(bytes, 0, 1, this.#count)
    at = writeScalar(bytes, at, 2, compressed ? FrameCodec.zstd : FrameCodec.none)
    at = writeScalar(bytes, at, 3, blockLength)
    at = writeBytes(bytes, at, 4, utf8.encode(this.#contentType))
    at = writeScalar(bytes, at, 5, this.#firstTime)
    at = writeBytes(bytes, at, 6, this.#deltas.view())
    at = writeBytes(bytes, at, 7, this.#flags.view())
    at = writeBytes(bytes, at, 8, this.#keyHashes.view())
    at = writeBytes(bytes, at, 9, this.#keyLengths.view())
    return writeBytes(bytes, at, 10, this.#keys.view())
  }

  #writeBlock(bytes: Uint8Array, start: number): number {
    let at = writeBytes(bytes, start, 1, this.#valueLengths.view())
    at = writeBytes(bytes, at, 2, this.#headerCounts.view())
    bytes.set(this.#headers.view(), at)
    at += this.#headers.length
    at = writeBytes(bytes, at, 4, this.#typeIndexes.view())
    bytes.set(this.#typeNames.view(), at)
    at += this.#typeNames.length
    return writeBytes(bytes, at, 15, this.#values.view())
  }
}

/**
 * Encodes records as one set.
 *
 * @throws RECORD_TOO_LARGE where they do not fit into one set, INVALID_ARGUMENT where there is none
 */
export function encodeRecordSet(
  records: readonly RecordInput[],
  options: { readonly codec?: Compression } = {},
): EncodedRecordSet {
  if (records.length > LIMITS.recordsPerSetMax) throw tooLarge('records', records.length, 'recordsPerSetMax')
  const builder = new RecordSetBuilder(options)
  for (const record of records) {
    if (builder.add(record)) continue
    throw tooLarge(`record set bytes at record ${builder.count}`, builder.byteLength, 'recordSetBytesMax')
  }
  return builder.build()
}

const utf8 = new TextEncoder()

/** One entry of `ValueBlock.headers` (field 3): a message of name (1) and value (2). */
function appendHeader(sink: ByteSink, name: string, value: Uint8Array): void {
  const text = utf8.encode(name)
  const length = fieldBytes(text.length) + fieldBytes(value.length)
  sink.varint((3 << 3) | WireType.bytes)
  sink.varint(length)
  sink.varint((1 << 3) | WireType.bytes)
  sink.varint(text.length)
  sink.append(text)
  if (value.length === 0) return
  sink.varint((2 << 3) | WireType.bytes)
  sink.varint(value.length)
  sink.append(value)
}

/** Bytes of a length-delimited field with a one-byte tag; 0 where it is empty and left out. */
function fieldBytes(length: number): number {
  return length === 0 ? 0 : 1 + varintBytes(length) + length
}

function writeTag(bytes: Uint8Array, at: number, field: number, length: number): number {
  bytes[at] = (field << 3) | WireType.bytes
  return writeVarint(bytes, at + 1, length)
}

function writeScalar(bytes: Uint8Array, at: number, field: number, value: number): number {
  if (value === 0) return at
  bytes[at] = field << 3
  return writeVarint(bytes, at + 1, value)
}

function writeBytes(bytes: Uint8Array, at: number, field: number, content: Uint8Array): number {
  if (content.length === 0) return at
  const start = writeTag(bytes, at, field, content.length)
  bytes.set(content, start)
  return start + content.length
}
