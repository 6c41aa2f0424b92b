/**
 * The index part of a record set: what a broker may look at. It is never compressed, and reading it opens no value.
 *
 * Every length and count is checked against every other before anything is believed, so an index that exists is one
 * whose accessors cannot go out of bounds. Key hashes are what the producer says they are: whoever decides by them
 * compares the keys too.
 */
import { FrameCodec } from './frame.ts'
import { LIMITS } from './limits.ts'
import { CREATE_TIME_MAX } from './record-data.ts'
import { RecordFlag } from './record-set-builder.ts'
import { corruptBatch, readPacked, readText, unzigzag, WireReader, WireType } from './wire.ts'

/** Names of record.proto, by field number. */
const FIELDS: Readonly<Record<number, { readonly name: string; readonly wire: number }>> = {
  1: { name: 'count', wire: WireType.varint },
  2: { name: 'codec', wire: WireType.varint },
  3: { name: 'block_length', wire: WireType.varint },
  4: { name: 'content_type', wire: WireType.bytes },
  5: { name: 'create_time', wire: WireType.varint },
  6: { name: 'create_time_deltas', wire: WireType.bytes },
  7: { name: 'flags', wire: WireType.bytes },
  8: { name: 'key_hashes', wire: WireType.bytes },
  9: { name: 'key_lengths', wire: WireType.bytes },
  10: { name: 'keys', wire: WireType.bytes },
  15: { name: 'block', wire: WireType.bytes },
}

const EMPTY = new Uint8Array(0)

/** The index part of one record set. All byte fields are views on the set's bytes. */
export class RecordSetIndex {
  readonly count: number
  readonly codec: FrameCodec
  /** Length of the value block before compression. */
  readonly blockLength: number
  /** Content type of values that name no other. */
  readonly contentType: string
  /** The value block as it came, compressed as `codec` says. */
  readonly block: Uint8Array
  /** All keys, one after the other. */
  readonly keys: Uint8Array
  /** Hash per record, or null where no record has a key. */
  readonly keyHashes: Uint32Array | null
  readonly #flags: Uint32Array | null
  /** Where each key begins in `keys`; one more item than records. */
  readonly #keyStarts: Uint32Array | null
  readonly #createTimes: Float64Array | null
  readonly #createTime: number

  /** Use {@link recordSetIndex}. */
  constructor(fields: RawFields) {
    const { count } = fields
    this.count = count
    this.codec = fields.codec
    this.blockLength = fields.blockLength
    this.contentType = readText(fields.contentType, 'content_type')
    this.block = fields.block
    this.keys = fields.keys
    this.#flags = fields.flags.length === 0 ? null : readPacked(fields.flags, count, 'flags')
    this.keyHashes = readKeyHashes(fields.keyHashes, count)
    this.#keyStarts = readKeyStarts(fields, this.#flags)
    this.#createTime = fields.createTime
    this.#createTimes = readCreateTimes(fields)
  }

  hasKey(i: number): boolean {
    return this.#flags !== null && (this.#flags[i]! & RecordFlag.hasKey) !== 0
  }

  isTombstone(i: number): boolean {
    return this.#flags !== null && (this.#flags[i]! & RecordFlag.tombstone) !== 0
  }

  /** Key of record `i` (0 to count − 1), a view; null where it has none. */
  key(i: number): Uint8Array | null {
    if (!this.hasKey(i) || this.#keyStarts === null) return null
    return this.keys.subarray(this.#keyStarts[i]!, this.#keyStarts[i + 1]!)
  }

  /** Milliseconds since 1970. */
  createTime(i: number): number {
    return this.#createTimes === null ? this.#createTime : this.#createTimes[i]!
  }
}

/**
 * Reads the index part.
 *
 * @param bytes a whole message `RecordSet`, for example a frame's payload
 * @throws CORRUPT_BATCH naming the field; UNSUPPORTED for a codec of a later version
 */
export function recordSetIndex(bytes: Uint8Array): RecordSetIndex {
  if (bytes.length > LIMITS.recordSetBytesMax) {
    throw corruptBatch('bytes', `${bytes.length} is above the limit of ${LIMITS.recordSetBytesMax} (recordSetBytesMax)`)
  }
  return new RecordSetIndex(readFields(bytes))
}

interface RawFields {
  count: number
  codec: FrameCodec
  blockLength: number
  contentType: Uint8Array
  createTime: number
  deltas: Uint8Array
  flags: Uint8Array
  keyHashes: Uint8Array
  keyLengths: Uint8Array
  keys: Uint8Array
  block: Uint8Array
}

/** One pass over the top level: nothing inside a field is looked at. A field that comes twice is corrupt. */
function readFields(bytes: Uint8Array): RawFields {
  const scalars = new Float64Array(6)
  const slices: Uint8Array[] = []
  let seen = 0
  const reader = new WireReader(bytes)
  while (reader.at < reader.end) {
    const tag = reader.uint32('tag')
    const field = tag >>> 3
    const known = FIELDS[field]
    if (known === undefined) {
      if (field === 0) throw corruptBatch('tag', 'field number 0')
      reader.skip(tag & 7)
      continue
    }
    if (seen & (1 << field)) throw corruptBatch(known.name, 'comes twice')
    seen |= 1 << field
    if ((tag & 7) !== known.wire) throw corruptBatch(known.name, `wire type ${tag & 7} instead of ${known.wire}`)
    if (known.wire === WireType.varint) scalars[field] = reader.varint(known.name)
    else slices[field] = reader.lengthDelimited(known.name)
  }
  return checkFields({
    count: scalars[1]!,
    codec: scalars[2]! as FrameCodec,
    blockLength: scalars[3]!,
    contentType: slices[4] ?? EMPTY,
    createTime: scalars[5]!,
    deltas: slices[6] ?? EMPTY,
    flags: slices[7] ?? EMPTY,
    keyHashes: slices[8] ?? EMPTY,
    keyLengths: slices[9] ?? EMPTY,
    keys: slices[10] ?? EMPTY,
    block: slices[15] ?? EMPTY,
  })
}

function checkFields(fields: RawFields): RawFields {
  const { count, codec, blockLength, block, contentType } = fields
  if (count < 1 || count > LIMITS.recordsPerSetMax) {
    throw corruptBatch('count', `${count} is not in 1 to ${LIMITS.recordsPerSetMax} (recordsPerSetMax)`)
  }
  if (codec !== FrameCodec.none && codec !== FrameCodec.zstd) throw corruptBatch('codec', `${codec} is not known`)
  if (blockLength > LIMITS.recordSetBytesMax) {
    throw corruptBatch('block_length', `${blockLength} is above ${LIMITS.recordSetBytesMax} (recordSetBytesMax)`)
  }
  // Each record has at least one byte, in value_lengths.
  if (blockLength < count) throw corruptBatch('block_length', `${blockLength} is too short for ${count} records`)
  if (codec === FrameCodec.none && block.length !== blockLength) {
    throw corruptBatch('block_length', `${blockLength} announced, ${block.length} bytes there`)
  }
  if (contentType.length > LIMITS.contentTypeBytesMax) {
    throw corruptBatch('content_type', `above ${LIMITS.contentTypeBytesMax} bytes (contentTypeBytesMax)`)
  }
  return fields
}

function readKeyHashes(bytes: Uint8Array, count: number): Uint32Array | null {
  if (bytes.length === 0) return null
  if (bytes.length !== count * 4) throw corruptBatch('key_hashes', `${bytes.length} bytes for ${count} records`)
  const hashes = new Uint32Array(count)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let i = 0; i < count; i++) hashes[i] = view.getUint32(i * 4, true)
  return hashes
}

/** Checks that flags, hashes, lengths and keys tell one story. */
function readKeyStarts(fields: RawFields, flags: Uint32Array | null): Uint32Array | null {
  const { count, keyLengths, keyHashes, keys } = fields
  const anyKey = flags?.some(flag => (flag & RecordFlag.hasKey) !== 0) ?? false
  const present = keyLengths.length > 0
  if (present !== anyKey) throw corruptBatch('key_lengths', anyKey ? 'missing' : 'there, but no record has a key')
  if (keyHashes.length > 0 !== anyKey) throw corruptBatch('key_hashes', anyKey ? 'missing' : 'there without a key')
  if (!present) {
    if (keys.length > 0) throw corruptBatch('keys', 'there, but no record has a key')
    return null
  }
  const lengths = readPacked(keyLengths, count, 'key_lengths')
  const starts = new Uint32Array(count + 1)
  let at = 0
  for (let i = 0; i < count; i++) {
    const length = lengths[i]!
    if (length > LIMITS.keyBytesMax) throw corruptBatch('key_lengths', `${length} is above ${LIMITS.keyBytesMax}`)
    if (length > 0 && (flags![i]! & RecordFlag.hasKey) === 0) throw corruptBatch('flags', `record ${i} has a key`)
    at += length
    starts[i + 1] = at
  }
  if (at !== keys.length) throw corruptBatch('keys', `${keys.length} bytes, the lengths add up to ${at}`)
  return starts
}

function readCreateTimes(fields: RawFields): Float64Array | null {
  checkTime(fields.createTime, 'create_time')
  if (fields.deltas.length === 0) return null
  const deltas = readPacked(fields.deltas, fields.count, 'create_time_deltas')
  const times = new Float64Array(fields.count)
  let time = fields.createTime
  for (let i = 0; i < fields.count; i++) {
    time += unzigzag(deltas[i]!)
    checkTime(time, 'create_time_deltas')
    times[i] = time
  }
  return times
}

function checkTime(time: number, field: string): void {
  if (!(time >= 0 && time <= CREATE_TIME_MAX)) throw corruptBatch(field, `${time} is no time since 1970`)
}
