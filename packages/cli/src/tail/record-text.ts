/** Records as `tail` prints them. */

export interface ShownRecord {
  readonly partition: number
  readonly offset: number
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly key: Uint8Array | undefined
  /** Undefined: a tombstone. */
  readonly value: Uint8Array | undefined
  readonly contentType: string
  readonly headers: ReadonlyMap<string, Uint8Array>
}

const NEWLINE = Buffer.from('\n')
const STRICT = new TextDecoder('utf-8', { fatal: true })

/** The value's own bytes and a line end. */
export function plainLine({ value }: ShownRecord): Uint8Array {
  return Buffer.concat([value ?? new Uint8Array(), NEWLINE])
}

/**
 * One line of JSON. A value of a JSON content type is there as what it is, any other UTF-8 as a string, and bytes that
 * are neither as `valueBase64`.
 */
export function jsonLine(record: ShownRecord): string {
  const { partition, offset, timestamp, key, value, contentType, headers } = record
  return `${JSON.stringify({
    partition,
    offset,
    timestamp: new Date(timestamp).toISOString(),
    ...(key === undefined ? {} : textField('key', key)),
    ...(value === undefined ? { value: null } : valueField(value, contentType)),
    ...(contentType === '' ? {} : { contentType }),
    ...(headers.size === 0
      ? {}
      : { headers: Object.fromEntries([...headers].map(([name, at]) => [name, textOf(at) ?? ''])) }),
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
