/**
 * Cuts a stream of bytes into records at a delimiter. Holds at most one chunk and one unfinished record, whose size is
 * bounded, so that input of any length passes through. The last record needs no delimiter after it.
 */
import { LIMITS } from '@millrace/record'
import { CliError } from '../cli-error.ts'
import { EXIT } from '../exit-code.ts'

export const NEWLINE = 0x0a
export const NUL = 0x00

export interface SplitOptions {
  readonly delimiter: typeof NEWLINE | typeof NUL
  /** Bytes of one record. Default: what a broker takes. */
  readonly recordBytesMax?: number
}

/**
 * Yields the records that each chunk completes, never an empty list. Records may alias the chunk they came from.
 *
 * @throws CliError naming the number of a record that is too long, and the limit
 */
export async function* splitRecords(
  chunks: AsyncIterable<Uint8Array>,
  { delimiter, recordBytesMax = LIMITS.recordBytesMax }: SplitOptions,
): AsyncGenerator<Buffer[], void, undefined> {
  let pending: Buffer[] = []
  let pendingBytes = 0
  let count = 0
  const finish = (last: Buffer): Buffer => {
    count += 1
    const record = pending.length === 0 ? last : Buffer.concat([...pending, last])
    pending = []
    pendingBytes = 0
    return record
  }
  const check = (bytes: number): void => {
    if (bytes > recordBytesMax)
      throw new CliError(
        `record ${count + 1} of the input is larger than ${recordBytesMax} bytes, the limit of a record`,
        EXIT.usage,
      )
  }
  for await (const bytes of chunks) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const records: Buffer[] = []
    let start = 0
    for (let end = chunk.indexOf(delimiter); end !== -1; end = chunk.indexOf(delimiter, start)) {
      check(pendingBytes + end - start)
      records.push(finish(chunk.subarray(start, end)))
      start = end + 1
    }
    if (start < chunk.length) {
      pending.push(chunk.subarray(start))
      pendingBytes += chunk.length - start
      check(pendingBytes)
    }
    if (records.length > 0) yield records
  }
  if (pendingBytes > 0) yield [finish(Buffer.of())]
}
