/**
 * The value block of a record set, opened: values, headers and content types of its records. Only readers do this;
 * brokers pass the block on as it is. As with the index, an opened block is one whose parts add up.
 */
import { zstdDecompress } from '#zstd'
import { MillraceError } from './errors.ts'
import { FrameCodec } from './frame.ts'
import { NO_HEADERS, type RecordHeader } from './record-data.ts'
import type { RecordSetIndex } from './record-set-index.ts'
import { corruptBatch, readPacked, readText, WireReader, WireType } from './wire.ts'

const EMPTY = new Uint8Array(0)

/** Names of `ValueBlock` in record.proto, by field number. */
const FIELDS: Readonly<Record<number, string>> = {
  1: 'value_lengths',
  2: 'header_counts',
  3: 'headers',
  4: 'content_type_indexes',
  5: 'content_types',
  15: 'values',
}

/** An open value block. What its methods give are views on its bytes. */
export class ValueBlock {
  readonly #values: Uint8Array
  readonly #valueStarts: Uint32Array
  readonly #headers: readonly Uint8Array[]
  /** Number of the first header of each record; null where no record has any. */
  readonly #headerStarts: Uint32Array | null
  readonly #typeIndexes: Uint32Array | null
  readonly #types: readonly string[]

  constructor(block: Uint8Array, count: number, contentType: string) {
    const parts = readParts(block)
    this.#values = parts.values
    this.#valueStarts = starts(parts.valueLengths, count, parts.values.length, 'value_lengths')
    this.#headers = parts.headers
    this.#headerStarts =
      parts.headerCounts.length === 0 ? null : starts(parts.headerCounts, count, parts.headers.length, 'header_counts')
    if (this.#headerStarts === null && parts.headers.length > 0) throw corruptBatch('header_counts', 'missing')
    this.#types = [contentType, ...parts.contentTypes.map(text => readText(text, 'content_types'))]
    this.#typeIndexes = readTypeIndexes(parts.contentTypeIndexes, count, this.#types.length)
  }

  /** Bytes of the value of record `i`; empty for a tombstone. */
  value(i: number): Uint8Array {
    return this.#values.subarray(this.#valueStarts[i]!, this.#valueStarts[i + 1]!)
  }

  contentType(i: number): string {
    return this.#types[this.#typeIndexes === null ? 0 : this.#typeIndexes[i]!]!
  }

  /** @throws CORRUPT_BATCH where a header of this record makes no sense */
  headers(i: number): readonly RecordHeader[] {
    const headerStarts = this.#headerStarts
    if (headerStarts === null || headerStarts[i] === headerStarts[i + 1]) return NO_HEADERS
    return this.#headers.slice(headerStarts[i], headerStarts[i + 1]).map(readHeader)
  }
}

/**
 * Decompresses and opens the value block of a set.
 *
 * @throws CORRUPT_BATCH naming the field; UNSUPPORTED where the runtime has no zstd
 */
export function openValueBlock(index: RecordSetIndex): ValueBlock {
  return new ValueBlock(unpack(index), index.count, index.contentType)
}

/** Never allocates more than the announced length, which the index has checked. */
function unpack(index: RecordSetIndex): Uint8Array {
  if (index.codec === FrameCodec.none) return index.block
  let block: Uint8Array
  try {
    block = zstdDecompress(index.block, index.blockLength)
  } catch (error) {
    if (error instanceof MillraceError) throw error
    throw new MillraceError('CORRUPT_BATCH', 'record set: block: does not decompress', {
      cause: error,
      details: { field: 'block' },
    })
  }
  if (block.length !== index.blockLength) {
    throw corruptBatch('block_length', `${index.blockLength} announced, ${block.length} bytes decompressed`)
  }
  return block
}

interface Parts {
  valueLengths: Uint8Array
  headerCounts: Uint8Array
  headers: Uint8Array[]
  contentTypeIndexes: Uint8Array
  contentTypes: Uint8Array[]
  values: Uint8Array
}

function readParts(block: Uint8Array): Parts {
  const single: Uint8Array[] = []
  const headers: Uint8Array[] = []
  const contentTypes: Uint8Array[] = []
  const reader = new WireReader(block)
  while (reader.at < reader.end) {
    const tag = reader.uint32('tag')
    const field = tag >>> 3
    const name = FIELDS[field]
    if (name === undefined) {
      if (field === 0) throw corruptBatch('tag', 'field number 0')
      reader.skip(tag & 7)
      continue
    }
    if ((tag & 7) !== WireType.bytes) throw corruptBatch(name, `wire type ${tag & 7} instead of ${WireType.bytes}`)
    const content = reader.lengthDelimited(name)
    if (field === 3) headers.push(content)
    else if (field === 5) contentTypes.push(content)
    else if (single[field] !== undefined) throw corruptBatch(name, 'comes twice')
    else single[field] = content
  }
  return {
    valueLengths: single[1] ?? EMPTY,
    headerCounts: single[2] ?? EMPTY,
    headers,
    contentTypeIndexes: single[4] ?? EMPTY,
    contentTypes,
    values: single[15] ?? EMPTY,
  }
}

/** Lengths → where each item begins; one more item than records. They must add up to `total`. */
function starts(packed: Uint8Array, count: number, total: number, field: string): Uint32Array {
  const lengths = readPacked(packed, count, field)
  const result = new Uint32Array(count + 1)
  let at = 0
  for (let i = 0; i < count; i++) {
    at += lengths[i]!
    if (at > total) break
    result[i + 1] = at
  }
  if (at !== total) throw corruptBatch(field, `adds up to ${at} instead of ${total}`)
  return result
}

function readTypeIndexes(packed: Uint8Array, count: number, types: number): Uint32Array | null {
  if (packed.length === 0) return null
  const indexes = readPacked(packed, count, 'content_type_indexes')
  for (const index of indexes) {
    if (index >= types) throw corruptBatch('content_type_indexes', `${index}, but there are ${types - 1} types`)
  }
  return indexes
}

function readHeader(bytes: Uint8Array): RecordHeader {
  let name = EMPTY
  let value = EMPTY
  const reader = new WireReader(bytes)
  while (reader.at < reader.end) {
    const tag = reader.uint32('headers')
    if (tag === ((1 << 3) | WireType.bytes)) name = reader.lengthDelimited('headers.name') as typeof EMPTY
    else if (tag === ((2 << 3) | WireType.bytes)) value = reader.lengthDelimited('headers.value') as typeof EMPTY
    else reader.skip(tag & 7)
  }
  return { name: readText(name, 'headers.name'), value }
}
