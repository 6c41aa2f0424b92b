/**
 * A record as a reader gets it. Key, value and headers are decoded when they are asked for, the value once; bytes are
 * views on the batch, so keeping a record keeps its batch in memory.
 */
import { MillraceError, type RecordHeader } from '@millrace/record'
import type { Codec } from '../codec.ts'

/** Columns of decoded records: a record set, or records that a broker has decoded. */
export interface RecordColumns {
  readonly count: number
  key(i: number): Uint8Array | null
  value(i: number): Uint8Array | null
  headers(i: number): readonly RecordHeader[]
  contentType(i: number): string
  createTime(i: number): number
}

/** What all records of a batch share. */
export interface RecordOrigin<T, K> {
  readonly topic: string
  readonly partition: number
  readonly valueCodec: Codec<T>
  readonly keyCodec: Codec<K>
  /** Position of the read behind the record with this offset. */
  positionAfter(offset: number): string
}

export class ReceivedRecord<T, K = string> {
  readonly offset: number
  /** Leader's time of the append, milliseconds since 1970. */
  readonly timestamp: number
  readonly #origin: RecordOrigin<T, K>
  readonly #columns: RecordColumns
  readonly #index: number
  #value: T | undefined
  #decoded = false

  constructor(origin: RecordOrigin<T, K>, columns: RecordColumns, index: number, offset: number, timestamp: number) {
    this.#origin = origin
    this.#columns = columns
    this.#index = index
    this.offset = offset
    this.timestamp = timestamp
  }

  get topic(): string {
    return this.#origin.topic
  }

  get partition(): number {
    return this.#origin.partition
  }

  /** Null where the record has none. @throws UNDECODABLE */
  get key(): K | null {
    const bytes = this.#columns.key(this.#index)
    return bytes === null ? null : this.#decode(this.#origin.keyCodec, bytes, 'key')
  }

  /** `null` for a tombstone, whatever `T` says. @throws UNDECODABLE, CORRUPT_BATCH, UNSUPPORTED */
  get value(): T {
    if (!this.#decoded) {
      const bytes = this.#columns.value(this.#index)
      this.#value = bytes === null ? (null as T) : this.#decode(this.#origin.valueCodec, bytes, 'value')
      this.#decoded = true
    }
    return this.#value as T
  }

  /** Says that older records of this key are obsolete. */
  get isTombstone(): boolean {
    return this.#columns.value(this.#index) === null
  }

  /** The value as stored; null for a tombstone. A view on the batch. */
  get valueBytes(): Uint8Array | null {
    return this.#columns.value(this.#index)
  }

  /** The key as stored; null where there is none. A view on the batch. */
  get keyBytes(): Uint8Array | null {
    return this.#columns.key(this.#index)
  }

  get headers(): readonly RecordHeader[] {
    return this.#columns.headers(this.#index)
  }

  /** The first header of this name, as text. */
  header(name: string): string | undefined {
    const found = this.headers.find(header => header.name === name)
    return found === undefined ? undefined : decoder.decode(found.value)
  }

  /** Media type of the value; empty: unknown. */
  get contentType(): string {
    return this.#columns.contentType(this.#index)
  }

  /** Producer's time of the record, milliseconds since 1970. */
  get createTime(): number {
    return this.#columns.createTime(this.#index)
  }

  /** Resume token: `read({ from: record.position })` goes on behind this record, in all partitions of this read. */
  get position(): string {
    return this.#origin.positionAfter(this.offset)
  }

  toJSON(): object {
    const { topic, partition, offset, timestamp, createTime, key, value, contentType } = this
    const headers = this.headers.map(header => ({ name: header.name, value: decoder.decode(header.value) }))
    return { topic, partition, offset, timestamp, createTime, key, value, headers, contentType }
  }

  #decode<V>(codec: Codec<V>, bytes: Uint8Array, what: string): V {
    try {
      return codec.decode(bytes)
    } catch (error) {
      const { topic, partition } = this.#origin
      throw new MillraceError(
        'UNDECODABLE',
        `${what} of ${topic}/${partition} offset ${this.offset}: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error, details: { topic, partition, offset: this.offset, contentType: this.contentType } },
      )
    }
  }
}

const decoder = new TextDecoder()
