/**
 * A record as one line of JSON. Pure. The value is JSON where its content type says JSON, else a string where it is
 * UTF-8, else base64 beside `"encoding":"base64"`. Order of the members is fixed, so that lines can be compared.
 */
import type { RecordData } from '@millrace/record'

export interface PlacedRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Leader's time of the append, milliseconds since 1970. */
  readonly timestamp: number
  readonly record: RecordData
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The line, without a newline. */
export function renderRecord({ topic, partition, offset, timestamp, record }: PlacedRecord): string {
  const place = `"topic":${JSON.stringify(topic)},"partition":${partition},"offset":${offset},"timestamp":${timestamp}`
  return `{${place},${renderKey(record.key)},${renderValue(record)}${renderHeaders(record)}}`
}

function renderKey(key: Uint8Array | null): string {
  if (key === null) return '"key":null'
  const text = decodeText(key)
  return text === undefined
    ? `"key":"${Buffer.from(key).toString('base64')}","keyEncoding":"base64"`
    : `"key":${JSON.stringify(text)}`
}

function renderValue({ value, contentType }: RecordData): string {
  if (value === null) return '"value":null,"tombstone":true'
  const text = decodeText(value)
  if (text === undefined) return `"value":"${Buffer.from(value).toString('base64')}","encoding":"base64"`
  const json = isJson(contentType) ? asJson(text) : undefined
  return `"value":${json ?? JSON.stringify(text)}`
}

function renderHeaders({ headers }: RecordData): string {
  if (headers.length === 0) return ''
  const members = headers.map(({ name, value }) => {
    const text = decodeText(value)
    const shown = text === undefined ? { base64: Buffer.from(value).toString('base64') } : text
    return `${JSON.stringify(name)}:${JSON.stringify(shown)}`
  })
  return `,"headers":{${members.join(',')}}`
}

function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes)
  } catch {
    return undefined // Not UTF-8: shown as base64.
  }
}

function isJson(contentType: string): boolean {
  const type = contentType.split(';', 1)[0]!.trim().toLowerCase()
  return type === 'application/json' || type.endsWith('+json')
}

/** The text itself where it fits on a line, so that numbers beyond 2^53 stay what they are. */
function asJson(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return /[\n\r]/.test(text) ? JSON.stringify(value) : text
  } catch {
    return undefined // Says JSON and is not: shown as a string.
  }
}
