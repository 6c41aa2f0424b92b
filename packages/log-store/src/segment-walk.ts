/**
 * One walk along the frames of a segment: every frame and every round record on the way is verified against the one
 * before. A walk may rest between two reads and go on where it stopped, as long as its segment lives.
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
import type { DiskFile } from './disk.ts'
import { FileWindow, type ReadAhead } from './file-window.ts'
import { alignToSector } from './format.ts'
import { LogError } from './log-store.ts'
import { decodeRoundRecord, ROUND_RECORD_BYTES } from './round-record.ts'
import type { Segment } from './segment.ts'
import { isRecordOf } from './segment-header.ts'
import type { IndexEntry } from './segment-index.ts'

const CHUNK_BYTES = 262_144

/** What becomes of a frame, which ends at `end`: go on after it, stop after it, or stop before it. */
export type Visit = (frame: Frame, end: number) => 'next' | 'last' | 'notThis'

/** A frame, or the record of its round, and what comes before it. */
export type WalkStart = Pick<IndexEntry, 'index' | 'position' | 'chainBefore'>

export class SegmentWalk {
  /** Frames that were verified. */
  verified = 0
  readonly segment: Segment
  readonly #readAhead: ReadAhead
  #window: FileWindow | null = null
  #position: number
  #nextIndex: number
  #chain: number

  constructor(segment: Segment, entry: WalkStart | undefined, readAhead: ReadAhead) {
    this.segment = segment
    this.#readAhead = readAhead
    this.#position = entry?.position ?? segment.header.length
    this.#nextIndex = entry?.index ?? segment.header.base.index + 1
    this.#chain = entry?.chainBefore ?? segment.header.base.chain
  }

  /** Index of the frame that comes next. */
  get nextIndex(): number {
    return this.#nextIndex
  }

  /** Memory that the walk takes. */
  get heldBytes(): number {
    return this.#window?.heldBytes ?? 0
  }

  /** Visits frames up to `last`. @throws LogError `DAMAGED` at the first that is not what it must be */
  async run(file: DiskFile, last: number, visit: Visit): Promise<void> {
    const { end } = this.segment
    const window = this.#window ?? new FileWindow(file, CHUNK_BYTES, end, this.#readAhead)
    this.#window = window
    window.reopen(file, end)
    while (this.#nextIndex <= last) {
      const frame = this.#take(window)
      if (typeof frame === 'number') {
        const there = await window.load(this.#position, frame)
        if (there.length < frame) throw this.#damaged('short')
        continue
      }
      this.verified++
      const frameEnd = this.#position + frame.bytes.length
      const wish = visit(frame, frameEnd)
      if (wish === 'notThis') return
      this.#nextIndex++
      this.#chain = frame.header.chain
      this.#position = frameEnd
      if (wish === 'last') return
    }
  }

  /** The frame at the position, verified, or how many bytes from there on must be in the window to tell. */
  #take(window: FileWindow): Frame | number {
    let at = window.placeOf(this.#position, FRAME_HEADER_BYTES)
    if (at < 0) return FRAME_HEADER_BYTES
    if (!startsFrame(window.bytes, at)) {
      const needed = this.#passRecord(window)
      if (needed > 0) return needed
      at = window.placeOf(this.#position, FRAME_HEADER_BYTES)
      if (at < 0) return FRAME_HEADER_BYTES
    }
    const frame = decodeFrame(window.bytes, at)
    if (frame === 'short') return this.#bytesOfFrame(window, at)
    if (typeof frame === 'string') throw this.#damaged(frame)
    const { header } = frame
    if (header.group !== this.segment.header.group) throw this.#damaged(`frame of group ${header.group}`)
    if (header.index !== this.#nextIndex) throw this.#damaged(`frame ${header.index}, expected ${this.#nextIndex}`)
    if (chainOf(frame.bytes, this.#chain) !== header.chain) throw this.#damaged('frame of another chain')
    return frame
  }

  #bytesOfFrame(window: FileWindow, at: number): number {
    const header = decodeFrameHeader(window.bytes, at)
    if (typeof header === 'string') throw this.#damaged(header)
    return frameBytes(header.payloadLength)
  }

  /**
   * The frames of a round are over: the next round must start at the next sector and join.
   *
   * @returns 0, or how many bytes must be in the window first
   */
  #passRecord(window: FileWindow): number {
    const start = alignToSector(this.#position)
    const at = window.placeOf(start, ROUND_RECORD_BYTES)
    if (at < 0) return start + ROUND_RECORD_BYTES - this.#position
    const record = decodeRoundRecord(window.bytes.subarray(at, at + ROUND_RECORD_BYTES))
    this.#position = start
    if (typeof record === 'string') throw this.#damaged(`round record: ${record}`)
    if (!isRecordOf(this.segment.header, record, start) || record.firstIndex !== this.#nextIndex) {
      throw this.#damaged('round record of another place')
    }
    if (record.chainBefore !== this.#chain) throw this.#damaged('round of another chain')
    this.#position += ROUND_RECORD_BYTES
    return 0
  }

  #damaged(detail: string): LogError {
    return new LogError(
      'DAMAGED',
      `${this.segment.path} is damaged at byte ${this.#position}, entry ${this.#nextIndex} (${detail}). The entry is intact on other replicas: replace this one`,
    )
  }
}

function startsFrame(bytes: Uint8Array, at: number): boolean {
  const magic = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
  return magic === FRAME_MAGIC
}
