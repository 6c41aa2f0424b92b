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
  if (typeof input !== 'object' || input === null) {
    throw new MillraceError('INVALID_ARGUMENT', `append takes an object such as { key, value }, not ${String(input)}`)
  }
  if (input.expect !== undefined) checkExpectation(input.expect)
  return {
    key: input.key == null ? null : toBytes(encode(key, input.key as K & {}, 'key')),
    value: input.value == null ? tombstone(input.value) : encode(value, input.value as T & {}, 'value'),
    headers: input.headers === undefined ? undefined : toHeaders(input.headers),
    contentType: input.contentType ?? value.contentType,
    createTime: input.createTime ?? Date.now(),
  }
}

/** What cannot be written on the wire has to be refused before it is part of a batch. */
function checkExpectation(expect: Expectation): void {
  const [name, ...others] = Object.keys(expect)
  const offset: unknown = Object.values(expect)[0]
  const whole = Number.isSafeInteger(offset) && Number(offset) >= 0
  const known = name === 'partitionOffset' ? whole : name === 'keyOffset' && (whole || offset === 'none')
  if (known && others.length === 0) return
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `expect: ${JSON.stringify(expect)} is neither { partitionOffset: n } nor { keyOffset: n } nor { keyOffset: 'none' }`,
  )
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
  const pairs = isPairs(headers)
    ? headers
    : Object.entries(headers).map(([name, value]) => ({ name, value: toBytes(value) }))
  for (const { name, value } of pairs) {
    if (typeof name === 'string' && value instanceof Uint8Array) continue
    throw new MillraceError('INVALID_ARGUMENT', `headers: the value of ${String(name)} is neither text nor bytes`)
  }
  return pairs
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
