/**
 * What the body of a POST means: one record, or one per line. Pure.
 *
 *     application/json                  one record, checked to be JSON
 *     application/x-ndjson, jsonl       one record per line, each checked to be JSON; blank lines are skipped
 *     text/plain                        one record per line
 *     everything else                   one record, the bytes as they are
 */
import { MillraceError, type RecordInput } from '@millrace/record'

export interface RequestRecords {
  readonly records: readonly RecordInput[]
  /** Whether the answer is a list: it depends on the content type alone, not on how many lines there were. */
  readonly many: boolean
}

/** @throws MillraceError INVALID_ARGUMENT naming the line that is not JSON */
export function requestRecords(
  contentType: string | undefined,
  body: Uint8Array,
  key: Uint8Array | null,
  createTime: number,
): RequestRecords {
  const type = (contentType ?? '').split(';', 1)[0]!.trim().toLowerCase()
  const record = (value: Uint8Array, stored: string): RecordInput => ({ key, value, contentType: stored, createTime })
  switch (type) {
    case 'application/json':
      checkJson(body, 'body')
      return { records: [record(body, 'application/json')], many: false }
    case 'application/x-ndjson':
    case 'application/ndjson':
    case 'application/jsonl': {
      const records = lines(body).flatMap((line, i) => (isBlank(line) ? [] : [jsonLine(line, i, record)]))
      return { records: atLeastOne(records, type), many: true }
    }
    case 'text/plain':
      return {
        records: atLeastOne(
          lines(body).map(line => record(line, 'text/plain')),
          type,
        ),
        many: true,
      }
    case 'multipart/form-data':
      throw new MillraceError('INVALID_ARGUMENT', 'content-type multipart/form-data: send the bytes themselves')
    // What curl and browsers say when nobody told them what the bytes are.
    case '':
    case 'application/octet-stream':
    case 'application/x-www-form-urlencoded':
      return { records: [record(body, '')], many: false }
    default:
      return { records: [record(body, type)], many: false }
  }
}

function jsonLine(line: Uint8Array, i: number, record: (value: Uint8Array, type: string) => RecordInput): RecordInput {
  checkJson(line, `line ${i + 1}`)
  return record(line, 'application/json')
}

function atLeastOne(records: readonly RecordInput[], type: string): readonly RecordInput[] {
  if (records.length > 0) return records
  throw new MillraceError('INVALID_ARGUMENT', `the ${type} body has no line`)
}

/** Lines without their ends (LF or CRLF). What follows the last line end is a line only if it is not empty. */
function lines(body: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = []
  let start = 0
  while (start < body.length) {
    const newline = body.indexOf(0x0a, start)
    const end = newline < 0 ? body.length : newline
    found.push(body.subarray(start, end > start && newline >= 0 && body[end - 1] === 0x0d ? end - 1 : end))
    start = end + 1
  }
  return found
}

function isBlank(line: Uint8Array): boolean {
  return line.every(byte => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

function checkJson(bytes: Uint8Array, what: string): void {
  try {
    JSON.parse(strictUtf8.decode(bytes))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new MillraceError('INVALID_ARGUMENT', `${what}: is not JSON: ${reason}`, { cause: error })
  }
}
