/**
 * Cold reads: frames of segments that are no longer in memory. Starts where the sparse index says and verifies every
 * frame and every round record on the way, so a wrong index costs a scan and never a wrong answer.
 */
import {
  chainOf,
  decodeFrame,
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  type Frame,
  frameBytes,
} from '@millrace/record'
import type { Disk, DiskFile } from './disk.ts'
import { FileWindow } from './file-window.ts'
import { alignToSector, viewOf } from './format.ts'
import { LogError } from './log-store.ts'
import type { OpenFiles } from './open-files.ts'
import { decodeRoundRecord, ROUND_RECORD_BYTES } from './round-record.ts'
import { ownerOf, type Segment } from './segment.ts'
import { isRecordOf } from './segment-header.ts'
import { type IndexEntry, SegmentIndex } from './segment-index.ts'
import { scanSegment } from './segment-scanner.ts'

const CHUNK_BYTES = 262_144
const INDEXES_MAX = 64
/** An index whose last entry is further from the end than any frame can be is cut off. */
const INDEX_GAP_BYTES_MAX = 4 * 1_048_576

/** Takes a frame and where it ends; false: enough. */
type Visit = (frame: Frame, end: number) => boolean

export class SegmentReader {
  readonly #disk: Disk
  readonly #files: OpenFiles
  /** Indexes of sealed segments, least recently used first. */
  readonly #indexes = new Map<string, Promise<LoadedIndex>>()

  constructor(disk: Disk, files: OpenFiles) {
    this.#disk = disk
    this.#files = files
  }

  /** Frames [from, to) of a segment up to about `bytesMax` bytes or one stretch of the disk, at least one. */
  async frames(segment: Segment, from: number, to: number, bytesMax: number): Promise<readonly Frame[]> {
    const found: Frame[] = []
    let bytes = 0
    await this.#walk(
      segment,
      entry => entry.index <= from,
      to - 1,
      frame => {
        if (frame.header.index < from) return true
        bytes += frame.bytes.length
        if (found.length > 0 && bytes > bytesMax) return false
        found.push(frame)
        return bytes < bytesMax
      },
    )
    return found
  }

  /** The frame at `index` and the position just after it. */
  async locate(segment: Segment, index: number): Promise<{ readonly frame: Frame; readonly end: number }> {
    let found: { frame: Frame; end: number } | undefined
    await this.#walk(
      segment,
      entry => entry.index <= index,
      index,
      (frame, end) => {
        if (frame.header.index === index) found = { frame, end }
        return found === undefined
      },
    )
    if (found === undefined) throw new LogError('DAMAGED', `${segment.path}: entry ${index} is not where it should be`)
    return found
  }

  /** First frame up to `limit` for which `reached` holds; `before` says the same of index entries, negated. */
  async find(
    segment: Segment,
    limit: number,
    before: (entry: IndexEntry) => boolean,
    reached: (frame: Frame) => boolean,
  ): Promise<Frame | undefined> {
    let found: Frame | undefined
    await this.#walk(segment, before, limit, frame => {
      if (reached(frame)) found = frame
      return found === undefined
    })
    return found
  }

  /** Forgets what is kept of a segment that is gone or has another limit now. */
  async forget(segment: Segment): Promise<void> {
    this.#indexes.delete(segment.path)
    await this.#files.forget(segment.path)
  }

  async #walk(segment: Segment, before: (entry: IndexEntry) => boolean, last: number, visit: Visit): Promise<void> {
    const stop = Math.min(last, segment.limit)
    const { index, fromFile } = await this.#indexOf(segment)
    const walk = new SegmentWalk(segment, index.lastWhere(before))
    try {
      await this.#files.read(segment.path, file => walk.run(file, stop, visit))
    } catch (error) {
      // Nothing verified from where the index file led to: the file may be the one that is wrong.
      if (!fromFile || walk.visited > 0 || !(error instanceof LogError)) throw error
      const scanned = this.#keep(segment, this.#scan(segment))
      const again = new SegmentWalk(segment, (await scanned).index.lastWhere(before))
      await this.#files.read(segment.path, file => again.run(file, stop, visit))
    }
  }

  async #indexOf(segment: Segment): Promise<LoadedIndex> {
    if (segment.index !== null) return { index: segment.index, fromFile: false }
    return this.#keep(segment, this.#indexes.get(segment.path) ?? this.#loadIndex(segment))
  }

  /** Makes an index the most recently used, and forgets the least recently used beyond the bound. */
  #keep(segment: Segment, index: Promise<LoadedIndex>): Promise<LoadedIndex> {
    const { path } = segment
    this.#indexes.delete(path)
    this.#indexes.set(path, index)
    for (const oldest of this.#indexes.keys()) {
      if (this.#indexes.size <= INDEXES_MAX) break
      this.#indexes.delete(oldest)
    }
    index.catch(() => this.#indexes.delete(path))
    return index
  }

  async #loadIndex(segment: Segment): Promise<LoadedIndex> {
    const index = await SegmentIndex.load(this.#disk, folderOf(segment), ownerOf(segment), segment.limit)
    const end = await this.#files.read(segment.path, file => file.size())
    const reach = index?.entries.at(-1)?.position
    if (index === null || reach === undefined || end - reach > INDEX_GAP_BYTES_MAX) return this.#scan(segment)
    return { index, fromFile: true }
  }

  async #scan(segment: Segment): Promise<LoadedIndex> {
    const { index } = await this.#files.read(segment.path, file => scanSegment(file, segment.header, 0))
    index.cutAbove(segment.limit)
    await index.save(this.#disk, folderOf(segment), ownerOf(segment))
    return { index, fromFile: false }
  }
}

interface LoadedIndex {
  readonly index: SegmentIndex
  readonly fromFile: boolean
}

function folderOf(segment: Segment): string {
  return segment.path.slice(0, segment.path.lastIndexOf('/'))
}

/** One walk along the frames of a segment, verifying each against the one before. */
class SegmentWalk {
  /** Frames that were verified and handed to the visitor. */
  visited = 0
  readonly #segment: Segment
  #position: number
  #nextIndex: number
  #chain: number

  constructor(segment: Segment, entry: IndexEntry | undefined) {
    this.#segment = segment
    this.#position = entry?.position ?? segment.header.length
    this.#nextIndex = entry?.index ?? segment.header.base.index + 1
    this.#chain = entry?.chainBefore ?? segment.header.base.chain
  }

  async run(file: DiskFile, last: number, visit: Visit): Promise<void> {
    const window = new FileWindow(file, CHUNK_BYTES, this.#segment.end)
    while (this.#nextIndex <= last) {
      const frame = await this.#next(window)
      this.visited++
      if (!visit(frame, this.#position)) return
    }
  }

  async #next(window: FileWindow): Promise<Frame> {
    let head = await window.load(this.#position, FRAME_HEADER_BYTES)
    if (!startsFrame(head)) {
      await this.#passRecord(window)
      head = await window.load(this.#position, FRAME_HEADER_BYTES)
    }
    const header = decodeFrameHeader(head)
    if (typeof header === 'string') throw this.#damaged(header)
    const frame = decodeFrame(await window.load(this.#position, frameBytes(header.payloadLength)))
    if (typeof frame === 'string') throw this.#damaged(frame)
    if (header.group !== this.#segment.header.group) throw this.#damaged(`frame of group ${header.group}`)
    if (header.index !== this.#nextIndex) throw this.#damaged(`frame ${header.index}, expected ${this.#nextIndex}`)
    if (chainOf(frame.bytes, this.#chain) !== header.chain) throw this.#damaged('frame of another chain')
    this.#nextIndex++
    this.#chain = header.chain
    this.#position += frame.bytes.length
    return frame
  }

  /** The frames of a round are over: the next round must start at the next sector and join. */
  async #passRecord(window: FileWindow): Promise<void> {
    this.#position = alignToSector(this.#position)
    const record = decodeRoundRecord(await window.load(this.#position, ROUND_RECORD_BYTES))
    if (typeof record === 'string') throw this.#damaged(`round record: ${record}`)
    if (!isRecordOf(this.#segment.header, record, this.#position) || record.firstIndex !== this.#nextIndex) {
      throw this.#damaged('round record of another place')
    }
    if (record.chainBefore !== this.#chain) throw this.#damaged('round of another chain')
    this.#position += ROUND_RECORD_BYTES
  }

  #damaged(detail: string): LogError {
    return new LogError(
      'DAMAGED',
      `${this.#segment.path} is damaged at byte ${this.#position}, entry ${this.#nextIndex} (${detail}). The entry is intact on other replicas: replace this one`,
    )
  }
}

function startsFrame(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && viewOf(bytes).getUint32(0, true) === FRAME_MAGIC
}
