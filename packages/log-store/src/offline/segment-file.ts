/** Reading segment files that may be damaged anywhere: the header with the place of its fault, and where a scan stopped. */
import type { DiskFile } from '../disk.ts'
import type { LogPosition } from '../log-store.ts'
import { decodeRoundRecord, ROUND_RECORD_BYTES, type RoundRecord } from '../round-record.ts'
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_FIXED_BYTES,
  type SegmentHeader,
  type SegmentName,
  segmentHeaderLength,
} from '../segment-header.ts'
import type { ScanStop } from '../segment-scanner.ts'

export interface FileFault {
  readonly position: number
  readonly what: string
}

/** The header of a segment file, or what is wrong with it. `group` and `name` are what folder and file name say. */
export async function readSegmentHeader(
  file: DiskFile,
  group: number,
  name: SegmentName,
): Promise<SegmentHeader | FileFault> {
  const fixed = new Uint8Array(SEGMENT_HEADER_FIXED_BYTES)
  const length = segmentHeaderLength(fixed.subarray(0, await file.read(fixed, 0)))
  if (typeof length === 'string') return { position: 0, what: `segment header: ${length}` }
  const bytes = new Uint8Array(length)
  const header = decodeSegmentHeader(bytes.subarray(0, await file.read(bytes, 0)))
  if (typeof header === 'string') {
    return { position: SEGMENT_HEADER_FIXED_BYTES, what: `configurations of the segment header: ${header}` }
  }
  if (header.group !== group || header.generation !== name.generation || header.base.index !== name.base) {
    const whose = `group ${header.group}, base ${header.base.index}, generation ${header.generation}`
    return { position: 0, what: `the segment header is that of ${whose}` }
  }
  return header
}

/** The round record at `position`, which a scan has found valid. */
export async function readRecord(file: DiskFile, position: number): Promise<RoundRecord> {
  const bytes = new Uint8Array(ROUND_RECORD_BYTES)
  const record = decodeRoundRecord(bytes.subarray(0, await file.read(bytes, position)))
  if (typeof record === 'string') throw new RangeError(`the valid round record at ${position} is ${record} now`)
  return record
}

/** A header with which a scan starts at `record` and believes what it says of the log before it. */
export function headerFrom(header: SegmentHeader, record: RoundRecord): SegmentHeader {
  const base: LogPosition = {
    index: record.firstIndex - 1,
    term: record.previousTerm,
    chain: record.chainBefore,
    timestamp: record.previousTimestamp,
    nextOffset: record.nextOffset,
  }
  return { ...header, length: record.position, base }
}

/** Where exactly a scan met what stopped it: the frame, where it names one, else the start of the round. */
export function faultOf(stop: ScanStop): FileFault {
  if (stop.kind === 'end') return { position: stop.position, what: 'it ends there' }
  const frame = /^frame at (\d+): (.*)$/s.exec(stop.detail)
  if (frame === null) return { position: stop.position, what: stop.detail }
  return { position: Number(frame[1]), what: `frame: ${frame[2]}` }
}
