/**
 * From what a Read stream sends to runs of records, in both formats: frames, verified and opened here, or records that
 * the broker has decoded (where this runtime cannot). Offsets must go on without a gap from what was asked for.
 */
import type { ReadRecord } from '@millrace/proto'
import {
  decodeFrame,
  FrameKind,
  framePayload,
  MillraceError,
  type RecordHeader,
  RecordSetReader,
} from '@millrace/record'
import type { RecordColumns } from './received-record.ts'
import type { RecordRun } from './record-list.ts'

/** The records of one message from an offset on. */
export interface OpenedMessage {
  readonly runs: readonly RecordRun[]
  /** Offset of the first record. */
  readonly baseOffset: number
  readonly nextOffset: number
  readonly byteLength: number
}

/**
 * Opens a run of frames.
 *
 * @param next offset to go on from; what is before it is left out
 * @param where for messages: `orders/2`
 * @throws CORRUPT_BATCH where a checksum is wrong; OFFSET_OUT_OF_RANGE where records are missing
 */
export function openFrames(frames: Uint8Array, next: number, where: string): OpenedMessage {
  const runs: RecordRun[] = []
  let nextOffset = next
  for (let at = 0; at < frames.length; ) {
    const frame = decodeFrame(frames, at)
    if (typeof frame === 'string') throw badFrame(frame, nextOffset, where)
    at += frame.bytes.length
    const { kind, baseOffset, recordCount, timestamp } = frame.header
    if (kind !== FrameKind.records || baseOffset + recordCount <= nextOffset) continue
    checkNoGap(nextOffset, baseOffset, where)
    const columns = new RecordSetReader(framePayload(frame))
    if (columns.count !== recordCount) throw badFrame('record count', nextOffset, where)
    runs.push({ columns, first: nextOffset - baseOffset, baseOffset, timestamp })
    nextOffset = baseOffset + recordCount
  }
  return { runs, baseOffset: next, nextOffset, byteLength: frames.length }
}

/** The same for decoded records. */
export function openRecords(records: readonly ReadRecord[], next: number, where: string): OpenedMessage {
  const runs: RecordRun[] = []
  let nextOffset = next
  let byteLength = 0
  for (let i = 0; i < records.length; ) {
    const baseOffset = Number(records[i]!.offset)
    const { timestamp } = records[i]!
    let end = i + 1
    while (end < records.length && records[end]!.timestamp === timestamp) end++
    const columns = new DecodedColumns(records.slice(i, end))
    i = end
    byteLength += columns.byteLength
    if (baseOffset + columns.count <= nextOffset) continue
    checkNoGap(nextOffset, baseOffset, where)
    runs.push({ columns, first: nextOffset - baseOffset, baseOffset, timestamp: Number(timestamp) })
    nextOffset = baseOffset + columns.count
  }
  return { runs, baseOffset: next, nextOffset, byteLength }
}

/** Nothing is ever passed over in silence. */
function checkNoGap(next: number, baseOffset: number, where: string): void {
  if (baseOffset <= next) return
  throw new MillraceError(
    'OFFSET_OUT_OF_RANGE',
    `${where}: records ${next} to ${baseOffset - 1} are not there any more; the next one is ${baseOffset}`,
    { details: { offset: next, nextOffset: baseOffset } },
  )
}

function badFrame(fault: string, offset: number, where: string): MillraceError {
  return new MillraceError('CORRUPT_BATCH', `${where} at offset ${offset}: a frame is damaged (${fault})`, {
    details: { offset, fault },
  })
}

/** Records that the broker has decoded. */
class DecodedColumns implements RecordColumns {
  readonly count: number
  readonly #records: readonly ReadRecord[]

  constructor(records: readonly ReadRecord[]) {
    this.#records = records
    this.count = records.length
  }

  get byteLength(): number {
    return this.#records.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0) + 32, 0)
  }

  key(i: number): Uint8Array | null {
    return this.#records[i]!.key ?? null
  }

  value(i: number): Uint8Array | null {
    return this.#records[i]!.value ?? null
  }

  headers(i: number): readonly RecordHeader[] {
    return Object.entries(this.#records[i]!.headers).map(([name, value]) => ({ name, value }))
  }

  contentType(i: number): string {
    return this.#records[i]!.contentType
  }

  createTime(i: number): number {
    return Number(this.#records[i]!.createTime)
  }
}
