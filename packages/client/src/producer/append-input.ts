/** What a caller appends, and how it becomes a record. */
import { MillraceError, type RecordHeader, type RecordInput } from '@millrace/record'
import type { Codec } from '../codec.ts'
import { RECORD_OVERHEAD_BYTES } from './append-batch.ts'
import type { Expectation } from './append-link.ts'

/** Headers as pairs, or as an object where names do not repeat. Strings are stored as UTF-8. */
export type HeadersInput = readonly RecordHeader[] | Readonly<Record<string, string | Uint8Array>>

/** A record to be appended. */
export interface AppendInput<T, K = string> {
  /** Decides the partition, and the order: records of one key are in one partition. Absent or null: no key. */
  readonly key?: K | null | undefined
  /** `null`: a tombstone. */
  readonly value: T
  readonly headers?: HeadersInput | undefined
  /** Overrules the codec's. */
  readonly contentType?: string | undefined
  /** Milliseconds since 1970; now where absent. */
  readonly createTime?: number | undefined
  /** Overrules the partitioner. */
  readonly partition?: number | undefined
  /** Store it only if this holds; otherwise EXPECTATION_FAILED. Such a record is a batch of its own. */
  readonly expect?: Expectation | undefined
  /** Gives up: not stored where it was not sent yet, otherwise unknown. */
  readonly signal?: AbortSignal | undefined
}

/** Where a record was stored. */
export interface Appended {
  readonly partition: number
  readonly offset: number
  /** Leader's time of the append, milliseconds since 1970; the same for all records of a batch. */
  readonly timestamp: number
}

const utf8 = new TextEncoder()

/**
 * Encodes.
 *
 * @throws INVALID_ARGUMENT with the codec's error as its cause
 */
export function encodeInput<T, K>(input: AppendInput<T, K>, value: Codec<T>, key: Codec<K>): RecordInput {
  return {
    key: input.key == null ? null : toBytes(encode(key, input.key as K & {}, 'key')),
    value: input.value == null ? tombstone(input.value) : encode(value, input.value as T & {}, 'value'),
    headers: input.headers === undefined ? undefined : toHeaders(input.headers),
    contentType: input.contentType ?? value.contentType,
    createTime: input.createTime ?? Date.now(),
  }
}

function tombstone(value: unknown): null {
  if (value === null) return null
  throw new MillraceError('INVALID_ARGUMENT', 'value: undefined (a tombstone is null)')
}

function encode<T>(codec: Codec<T>, value: T & {}, what: string): Uint8Array | string {
  let encoded: unknown
  try {
    encoded = codec.encode(value)
  } catch (error) {
    if (error instanceof MillraceError) throw error
    throw new MillraceError('INVALID_ARGUMENT', `${what}: the codec cannot encode it: ${String(error)}`, {
      cause: error,
    })
  }
  if (typeof encoded === 'string' || encoded instanceof Uint8Array) return encoded
  throw new MillraceError('INVALID_ARGUMENT', `${what}: the codec takes no ${typeof value}`)
}

function toBytes(value: Uint8Array | string): Uint8Array {
  return typeof value === 'string' ? utf8.encode(value) : value
}

function toHeaders(headers: HeadersInput): readonly RecordHeader[] {
  if (isPairs(headers)) return headers
  return Object.entries(headers).map(([name, value]) => ({ name, value: toBytes(value) }))
}

function isPairs(headers: HeadersInput): headers is readonly RecordHeader[] {
  return Array.isArray(headers)
}

/** What a record takes of the buffer, before it is encoded: exact for bytes and ASCII. */
export function estimateBytes(record: RecordInput): number {
  let bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0) + RECORD_OVERHEAD_BYTES
  if (record.headers !== undefined) for (const { name, value } of record.headers) bytes += name.length + value.length
  return bytes
}
