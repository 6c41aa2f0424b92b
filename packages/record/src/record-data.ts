/**
 * One record as an encoder takes it and a decoder gives it, and the limits on its parts. Limits are checked here, once,
 * so that client, broker and HTTP edge refuse the same records with the same words.
 */
import { MillraceError } from './errors.ts'
import { LIMITS } from './limits.ts'

/** A header: a name (1 to `headerNameBytesMax` bytes; may repeat) and any bytes. */
export interface RecordHeader {
  readonly name: string
  readonly value: Uint8Array
}

/** A record as decoded. Byte fields are views on the record set they came from. */
export interface RecordData {
  readonly key: Uint8Array | null
  /** `null` is a tombstone: it says that the key's older records are obsolete. */
  readonly value: Uint8Array | null
  readonly headers: readonly RecordHeader[]
  /** Media type of the value; empty: unknown. */
  readonly contentType: string
  /** Producer's time of the record, milliseconds since 1970. */
  readonly createTime: number
}

/** A record as encoders take it. Bytes are copied on the way in: the caller may use its arrays again at once. */
export interface RecordInput {
  readonly key?: Uint8Array | null | undefined
  /** A string is encoded as UTF-8, straight into the batch. */
  readonly value: Uint8Array | string | null
  readonly headers?: readonly RecordHeader[] | undefined
  readonly contentType?: string | undefined
  readonly createTime: number
}

export const NO_HEADERS: readonly RecordHeader[] = []

/** The end of time for `Date`, in milliseconds since 1970. */
export const CREATE_TIME_MAX = 8.64e15

const utf8 = new TextEncoder()

/** Names the limit that a record part is above; for records alone and for whole sets. */
export function tooLarge(what: string, size: number, limit: keyof typeof LIMITS): MillraceError {
  return new MillraceError('RECORD_TOO_LARGE', `${what}: ${size} is above the limit of ${LIMITS[limit]} (${limit})`, {
    details: { limit, size, max: LIMITS[limit] },
  })
}

/**
 * Checks key, headers, content type and time against {@link LIMITS}.
 *
 * @returns bytes of the headers' names and values together
 * @throws RECORD_TOO_LARGE or INVALID_ARGUMENT, naming the part
 */
export function checkRecordParts(record: RecordInput): number {
  const { key, headers, contentType, createTime } = record
  if (key != null && key.length > LIMITS.keyBytesMax) throw tooLarge('key bytes', key.length, 'keyBytesMax')
  if (!Number.isInteger(createTime) || createTime < 0 || createTime > CREATE_TIME_MAX) {
    throw new MillraceError('INVALID_ARGUMENT', `createTime: ${createTime} is no whole number of ms since 1970`)
  }
  if (contentType !== undefined && contentType !== lastContentType) checkContentType(contentType)
  if (headers === undefined || headers.length === 0) return 0
  return checkHeaders(headers)
}

/** The last one found valid: producers send one content type over and over. */
let lastContentType = ''

function checkContentType(contentType: string): void {
  if (contentType.length > LIMITS.contentTypeBytesMax) {
    throw tooLarge('content type bytes', contentType.length, 'contentTypeBytesMax')
  }
  if (!/^[\x20-\x7e]*$/.test(contentType)) {
    throw new MillraceError('INVALID_ARGUMENT', `content type ${JSON.stringify(contentType)}: not printable ASCII`)
  }
  lastContentType = contentType
}

function checkHeaders(headers: readonly RecordHeader[]): number {
  if (headers.length > LIMITS.headersPerRecordMax) throw tooLarge('headers', headers.length, 'headersPerRecordMax')
  let bytes = 0
  for (const { name, value } of headers) {
    const nameBytes = utf8.encode(name).length
    if (nameBytes === 0) throw new MillraceError('INVALID_ARGUMENT', 'headers: a name is empty')
    if (nameBytes > LIMITS.headerNameBytesMax) throw tooLarge('header name bytes', nameBytes, 'headerNameBytesMax')
    bytes += nameBytes + value.length
  }
  return bytes
}

/**
 * Checks the size of a whole record: key + value + header names and values.
 *
 * @throws RECORD_TOO_LARGE naming `recordBytesMax`
 */
export function checkRecordBytes(bytes: number): void {
  if (bytes > LIMITS.recordBytesMax) throw tooLarge('record bytes', bytes, 'recordBytesMax')
}
