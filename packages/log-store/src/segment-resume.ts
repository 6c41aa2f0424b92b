/**
 * Scans a segment from a round in its middle on: one that the index file leads to, that is intact, and that joins the
 * round before it. A valid record proves that everything before it was durable, so only what comes after it can have
 * been torn by a crash; what comes before is verified whenever it is read.
 *
 * Nothing is taken from the index file unseen: where terms change and where configurations are, the frames are read. Any
 * doubt gives up; the caller scans from the header then.
 */
import { chainOf, decodeFrame, decodeFrameHeader, FRAME_HEADER_BYTES, FrameKind, frameBytes } from '@millrace/record'
import type { Disk, DiskFile } from './disk.ts'
import { FileWindow } from './file-window.ts'
import { decodeRoundRecord, lastIndexOf, ROUND_RECORD_BYTES, type RoundRecord, roundEnd } from './round-record.ts'
import { ownerOf, type Segment } from './segment.ts'
import { isRecordOf } from './segment-header.ts'
import { type IndexEntry, SegmentIndex } from './segment-index.ts'
import { copyOf, type ScanOptions, type ScanStart, type SegmentScan, scanSegment } from './segment-scanner.ts'

const CHUNK_BYTES = 4_096

/**
 * Scans from the last round on that starts before `position` and is in the index file.
 *
 * @returns null where the index file does not lead to such a round, or the scan finds none complete
 */
export async function resumeScan(
  disk: Disk,
  file: DiskFile,
  segment: Segment,
  position: number,
  options: Pick<ScanOptions, 'limit' | 'sealedBy' | 'lookAhead'>,
): Promise<SegmentScan | null> {
  const { path, header, limit } = segment
  const folder = path.slice(0, path.lastIndexOf('/'))
  const index = await SegmentIndex.load(disk, folder, ownerOf(segment), limit)
  const anchor = index?.entries.findLast(entry => entry.roundPosition < position)?.roundPosition
  if (index === null || anchor === undefined || anchor <= header.length) return null
  index.cutFrom(anchor)
  const start = await new ResumePoint(file, segment).verify(anchor, index)
  if (start === null) return null
  const scan = await scanSegment(file, header, { ...options, start })
  return scan.lastRound === null ? null : scan
}

class ResumePoint {
  readonly #window: FileWindow
  readonly #segment: Segment

  constructor(file: DiskFile, segment: Segment) {
    this.#window = new FileWindow(file, CHUNK_BYTES, segment.end)
    this.#segment = segment
  }

  /** What is known at the round at `anchor`, which the entries of `index` come before; null where anything is off. */
  async verify(anchor: number, index: SegmentIndex): Promise<ScanStart | null> {
    const record = await this.#recordAt(anchor)
    const previous = record === null ? null : await this.#recordAt(record.previousPosition)
    if (record === null || previous === null || !follows(record, previous)) return null
    const configurations = []
    let term = this.#segment.header.base.term
    for (const entry of index.entries) {
      const isConfiguration = entry.kind === FrameKind.configuration
      if (entry.term === term && !isConfiguration) continue
      const bytes = await this.#frameAt(entry, isConfiguration)
      if (bytes === null || (entry.term !== term && (await this.#termBefore(entry)) !== term)) return null
      const frame = isConfiguration ? decodeFrame(bytes) : null
      if (typeof frame === 'string') return null
      if (frame !== null) configurations.push(copyOf(frame))
      term = entry.term
    }
    if (term !== record.previousTerm) return null
    const framesEnd = previous.position + ROUND_RECORD_BYTES + previous.framesLength
    return { record, framesEnd, index, configurations }
  }

  /** Term of the frame before that of an entry: from the record of its round, or the frames between. */
  async #termBefore(entry: IndexEntry): Promise<number | null> {
    const record = await this.#recordAt(entry.roundPosition)
    if (record === null) return null
    let term = record.previousTerm
    let position = record.position + ROUND_RECORD_BYTES
    while (position < entry.position) {
      const header = decodeFrameHeader(await this.#window.load(position, FRAME_HEADER_BYTES))
      if (typeof header === 'string') return null
      term = header.term
      position += frameBytes(header.payloadLength)
    }
    return position === entry.position ? term : null
  }

  async #recordAt(position: number): Promise<RoundRecord | null> {
    const record = decodeRoundRecord(await this.#window.load(position, ROUND_RECORD_BYTES))
    return typeof record !== 'string' && isRecordOf(this.#segment.header, record, position) ? record : null
  }

  /** The header of the frame that an entry speaks of, or the whole frame; null where it is another one. */
  async #frameAt(entry: IndexEntry, isWhole: boolean): Promise<Uint8Array | null> {
    const head = await this.#window.load(entry.position, FRAME_HEADER_BYTES)
    const header = decodeFrameHeader(head)
    if (typeof header === 'string' || chainOf(head, entry.chainBefore) !== header.chain) return null
    const { group } = this.#segment.header
    const isIt =
      header.group === group &&
      header.index === entry.index &&
      header.term === entry.term &&
      header.kind === entry.kind &&
      header.baseOffset === entry.offset
    if (!isIt) return null
    return isWhole ? this.#window.load(entry.position, frameBytes(header.payloadLength)) : head
  }
}

function follows(record: RoundRecord, previous: RoundRecord): boolean {
  return (
    record.number === previous.number + 1 &&
    record.position === roundEnd(previous) &&
    record.firstIndex === lastIndexOf(previous) + 1 &&
    record.chainBefore === previous.chainAfter
  )
}
