/** Records as `tail` prints them. */

/** A record of the SDK, or anything like it. Bytes are views: they are written at once. */
export interface ShownRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly keyBytes: Uint8Array | null
  /** Null: a tombstone. */
  readonly valueBytes: Uint8Array | null
  readonly contentType: string
  readonly headers: readonly { readonly name: string; readonly value: Uint8Array }[]
}

const NEWLINE = Buffer.from('\n')
const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The value's own bytes and a line end. */
export function plainLine({ valueBytes }: ShownRecord): Uint8Array {
  return Buffer.concat([valueBytes ?? new Uint8Array(), NEWLINE])
}

/**
 * One line of JSON, as the HTTP routes give it. A value of a JSON content type is there as what it is, any other UTF-8
 * as a string, and bytes that are neither in base64 beside `"encoding":"base64"`.
 */
export function jsonLine(record: ShownRecord): string {
  const { topic, partition, offset, timestamp, keyBytes, valueBytes, contentType, headers } = record
  const place = { topic, partition, offset, timestamp }
  const parts = { ...place, ...keyMembers(keyBytes), ...valueMembers(valueBytes, contentType) }
  const shown = Object.fromEntries(headers.map(({ name, value }) => [name, textOf(value) ?? { base64: base64(value) }]))
  return `${JSON.stringify(headers.length === 0 ? parts : { ...parts, headers: shown })}\n`
}

function keyMembers(key: Uint8Array | null): object {
  if (key === null) return { key: null }
  const text = textOf(key)
  return text === undefined ? { key: base64(key), keyEncoding: 'base64' } : { key: text }
}

function valueMembers(value: Uint8Array | null, contentType: string): object {
  if (value === null) return { value: null, tombstone: true }
  const text = textOf(value)
  if (text === undefined) return { value: base64(value), encoding: 'base64' }
  return { value: isJson(contentType) ? parsedOr(text) : text }
}

function isJson(contentType: string): boolean {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  return type === 'application/json' || type.endsWith('+json')
}

/** Whoever wrote it called it JSON; where it is none, it is shown as the text that it is. */
function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return STRICT.decode(bytes)
  } catch {
    return undefined
  }
}
