/** Records as `tail` prints them. */

/** A record of the SDK, or anything like it. Bytes are views: they are written at once. */
export interface ShownRecord {
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
const STRICT = new TextDecoder('utf-8', { fatal: true })

/** The value's own bytes and a line end. */
export function plainLine({ valueBytes }: ShownRecord): Uint8Array {
  return Buffer.concat([valueBytes ?? new Uint8Array(), NEWLINE])
}

/**
 * One line of JSON. A value of a JSON content type is there as what it is, any other UTF-8 as a string, and bytes that
 * are neither as `valueBase64`.
 */
export function jsonLine(record: ShownRecord): string {
  const { partition, offset, timestamp, keyBytes: key, valueBytes: value, contentType, headers } = record
  return `${JSON.stringify({
    partition,
    offset,
    timestamp: new Date(timestamp).toISOString(),
    ...(key === null ? {} : textField('key', key)),
    ...(value === null ? { value: null } : valueField(value, contentType)),
    ...(contentType === '' ? {} : { contentType }),
    ...(headers.length === 0
      ? {}
      : { headers: headers.map(({ name, value: at }) => ({ name, ...textField('value', at) })) }),
  })}\n`
}

function valueField(value: Uint8Array, contentType: string): object {
  const text = textOf(value)
  if (text !== undefined && /^application\/(json|[^;]+\+json)/.test(contentType)) {
    try {
      return { value: JSON.parse(text) as unknown }
    } catch {
      // Whoever wrote it called it JSON; it is still shown, as the text that it is.
      return { value: text }
    }
  }
  return textField('value', value)
}

function textField(name: string, bytes: Uint8Array): object {
  const text = textOf(bytes)
  return text === undefined ? { [`${name}Base64`]: Buffer.from(bytes).toString('base64') } : { [name]: text }
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return STRICT.decode(bytes)
  } catch {
    return undefined
  }
}
