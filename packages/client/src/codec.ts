/**
 * Codecs: how values and keys become bytes and back, and what content type says so. `null` never reaches a codec: as a
 * value it is a tombstone, as a key it is no key.
 */
import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { MillraceError } from '@millrace/record'

/** Turns values of type `T` into bytes and back. */
export interface Codec<T> {
  /** Media type that is stored with each value; empty: none. */
  readonly contentType: string
  /** A string is stored as UTF-8. Bytes are copied: the caller may use its array again. */
  encode(value: T & {}): Uint8Array | string
  /** @param bytes a view; a codec that keeps it keeps the whole batch in memory */
  decode(bytes: Uint8Array): T
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * JSON. A type with `null` (`json<Order | null>()`) is one whose topic has tombstones.
 *
 * @example client.topic('orders', { value: json<Order>() })
 */
export function json<T>(): Codec<T> {
  return {
    contentType: 'application/json',
    encode(value) {
      const text = JSON.stringify(value)
      if (text !== undefined) return text
      throw new MillraceError('INVALID_ARGUMENT', `value: ${typeof value} has no JSON form`)
    },
    decode: bytes => JSON.parse(strict.decode(bytes)) as T,
  }
}

/** UTF-8 text, strictly. */
export const text: Codec<string> = {
  contentType: 'text/plain; charset=utf-8',
  encode: value => value,
  decode: bytes => strict.decode(bytes),
}

/** Bytes as they are. What is read is a view on its batch: copy what is kept. */
export const bytes: Codec<Uint8Array> = {
  contentType: 'application/octet-stream',
  encode: value => value,
  decode: value => value,
}

/** Messages of a protobuf-es schema, in binary. */
export function protobuf<Desc extends DescMessage>(schema: Desc): Codec<MessageShape<Desc>> {
  return {
    contentType: `application/protobuf; messageType="${schema.typeName}"`,
    encode: value => toBinary(schema, value),
    decode: value => fromBinary(schema, value),
  }
}

/** The same codec for a topic with tombstones: values may be `null`. */
export function nullable<T>(codec: Codec<T>): Codec<T | null> {
  return codec as Codec<T | null>
}
