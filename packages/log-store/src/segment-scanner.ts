/**
 * Reads a segment from front to back and believes nothing: record by record, frame by frame, up to the first place where
 * no complete round starts; then looks whether a valid record comes later. What that means is decided elsewhere
 * (recovery-table.ts); this module only finds.
 */
import {
  chainOf,
  decodeFrame,
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  type Frame,
  FrameKind,
  frameBytes,
} from '@millrace/record'
import type { DiskFile } from './disk.ts'
import { FileWindow } from './file-window.ts'
import { alignToSector, allZero, SECTOR_BYTES } from './format.ts'
import { positionAfter } from './frame-sequence.ts'
import type { LogPosition } from './log-store.ts'
import { decodeRoundRecord, lastIndexOf, ROUND_RECORD_BYTES, type RoundRecord, roundEnd } from './round-record.ts'
import { isRecordOf, type SegmentHeader } from './segment-header.ts'
import { SegmentIndex } from './segment-index.ts'

const CHUNK_BYTES = 1_048_576

/** Why a scan stopped at `position`. */
export type ScanStop =
  /** Nothing comes after, or only zeroes. */
  | { readonly kind: 'end'; readonly position: number }
  /** Something that is no complete round, and no valid record after it. */
  | { readonly kind: 'incomplete'; readonly position: number; readonly detail: string }
  /** Something that is no complete round, and a valid record at `nextRecord`. */
  | { readonly kind: 'damaged'; readonly position: number; readonly detail: string; readonly nextRecord: number }

export interface CompleteRound {
  readonly record: RoundRecord
  readonly frames: readonly Frame[]
  /** The end of the log before this round, and where the frame of that entry ends in this file (0: not in it). */
  readonly before: LogPosition
  readonly framesEndBefore: number
}

export interface SegmentScan {
  readonly stop: ScanStop
  /** Where the next round would start, after the last complete one. */
  readonly end: number
  readonly last: LogPosition
  /** Just after the last frame of the last complete round; 0 where there is none. */
  readonly framesEnd: number
  readonly lastRound: CompleteRound | null
  readonly index: SegmentIndex
  /** Configuration frames found, rising; copies. */
  readonly configurations: readonly Frame[]
}

/** A round in the middle of a segment that a scan may start at, and what is known of what comes before it. */
export interface ScanStart {
  /** A valid record of this segment. */
  readonly record: RoundRecord
  /** Just after the last frame before it. */
  readonly framesEnd: number
  /** Entries of the frames before it; taken over. */
  readonly index: SegmentIndex
  /** Configuration frames before it, rising. */
  readonly configurations: readonly Frame[]
}

/**
 * Scans a segment, from its header or from `start` on. Damage is skipped only where the record after it starts at or below `skipBelow` + 1: nothing before
 * that record is in the log any more.
 */
export async function scanSegment(
  file: DiskFile,
  header: SegmentHeader,
  skipBelow: number,
  start?: ScanStart,
): Promise<SegmentScan> {
  const scanner = new SegmentScanner(file, header, await file.size(), start)
  for (;;) {
    const fault = await scanner.nextRound()
    if (fault === null) continue
    const stop = await scanner.classify(fault)
    if (stop.kind !== 'damaged' || !(await scanner.resumeAt(stop.nextRecord, skipBelow))) return scanner.result(stop)
  }
}

class SegmentScanner {
  readonly #size: number
  readonly #header: SegmentHeader
  readonly #window: FileWindow
  readonly #index: SegmentIndex
  readonly #configurations: Frame[]
  #position: number
  #last: LogPosition
  #framesEnd: number
  #lastRound: CompleteRound | null = null
  /** The record at the position is whole and fits; its frames do not. */
  #recordFits = false

  constructor(file: DiskFile, header: SegmentHeader, size: number, start: ScanStart | undefined) {
    this.#size = size
    this.#header = header
    this.#window = new FileWindow(file, CHUNK_BYTES, size)
    this.#position = start?.record.position ?? header.length
    this.#last = start === undefined ? header.base : positionBefore(start.record)
    this.#framesEnd = start?.framesEnd ?? 0
    this.#index = start?.index ?? new SegmentIndex()
    this.#configurations = [...(start?.configurations ?? [])]
  }

  /** Takes one complete round, or says why there is none. */
  async nextRound(): Promise<string | null> {
    this.#recordFits = false
    const record = decodeRoundRecord(await this.#window.load(this.#position, ROUND_RECORD_BYTES))
    if (typeof record === 'string') return `round record: ${record}`
    const misfit = this.#misfit(record)
    if (misfit !== null) return `round record: ${misfit}`
    this.#recordFits = true
    const frames = await this.#framesOf(record)
    if (typeof frames === 'string') return frames
    this.#take(record, frames)
    return null
  }

  async classify(detail: string): Promise<ScanStop> {
    const position = this.#position
    let zero = true
    for (let at = position; at < this.#size; at += SECTOR_BYTES) {
      const sector = await this.#window.load(at, SECTOR_BYTES)
      if (sector.length === 0) break
      if (zero && !allZero(sector)) zero = false
      if (this.#isRecordAt(sector, at) && !(at === position && this.#recordFits)) {
        return { kind: 'damaged', position, detail, nextRecord: at }
      }
    }
    return zero ? { kind: 'end', position } : { kind: 'incomplete', position, detail }
  }

  /** Goes on at a later record when everything before it is below the log's base. */
  async resumeAt(position: number, skipBelow: number): Promise<boolean> {
    const record = decodeRoundRecord(await this.#window.load(position, ROUND_RECORD_BYTES))
    if (typeof record === 'string' || record.firstIndex > skipBelow + 1 || position === this.#position) return false
    this.#position = position
    this.#lastRound = null
    this.#framesEnd = 0
    this.#last = positionBefore(record)
    return true
  }

  result(stop: ScanStop): SegmentScan {
    return {
      stop,
      end: this.#position,
      last: this.#last,
      framesEnd: this.#framesEnd,
      lastRound: this.#lastRound,
      index: this.#index,
      configurations: this.#configurations,
    }
  }

  #isRecordAt(sector: Uint8Array, position: number): boolean {
    const record = decodeRoundRecord(sector)
    return typeof record !== 'string' && isRecordOf(this.#header, record, position)
  }

  #misfit(record: RoundRecord): string | null {
    const last = this.#last
    const previous = this.#lastRound?.record
    if (!isRecordOf(this.#header, record, this.#position)) return 'of another segment or position'
    if (previous !== undefined && record.number !== previous.number + 1) return 'round number'
    if (previous !== undefined && record.previousPosition !== previous.position) return 'position of the round before'
    if (record.firstIndex !== last.index + 1) return 'first index'
    if (record.chainBefore !== last.chain) return 'chain'
    if (record.previousTerm !== last.term || record.previousTimestamp !== last.timestamp) return 'entry before'
    return record.nextOffset === last.nextOffset && record.frameCount > 0 ? null : 'next offset'
  }

  async #framesOf(record: RoundRecord): Promise<readonly Frame[] | string> {
    const frames: Frame[] = []
    let position = record.position + ROUND_RECORD_BYTES
    const end = position + record.framesLength
    let previous = this.#last
    while (position < end) {
      const frame = await this.#frameAt(position)
      if (typeof frame === 'string') return `frame at ${position}: ${frame}`
      const misfit = frameMisfit(frame, previous, record.group)
      if (misfit !== null) return `frame at ${position}: ${misfit}`
      frames.push(frame)
      previous = positionAfter(frame)
      position += frame.bytes.length
    }
    if (position !== end || frames.length !== record.frameCount) return 'frames end elsewhere than their record says'
    if (previous.chain !== record.chainAfter) return 'frames end in another chain than their record says'
    const padding = alignToSector(end) - end
    const rest = await this.#window.load(end, padding)
    return rest.length === padding && allZero(rest) ? frames : 'padding of the round'
  }

  async #frameAt(position: number): Promise<Frame | string> {
    const header = decodeFrameHeader(await this.#window.load(position, FRAME_HEADER_BYTES))
    if (typeof header === 'string') return header
    return decodeFrame(await this.#window.load(position, frameBytes(header.payloadLength)))
  }

  #take(record: RoundRecord, frames: readonly Frame[]): void {
    const before = this.#last
    const framesEndBefore = this.#framesEnd
    let position = record.position + ROUND_RECORD_BYTES
    for (const frame of frames) {
      this.#index.offer(frame, position, this.#last.chain, record.position)
      if (frame.header.kind === FrameKind.configuration) this.#configurations.push(copyOf(frame))
      this.#last = positionAfter(frame)
      position += frame.bytes.length
    }
    this.#framesEnd = position
    this.#lastRound = { record, frames, before, framesEndBefore }
    this.#position = roundEnd(record)
    if (lastIndexOf(record) !== this.#last.index) throw new RangeError(`round at ${record.position} counted wrongly`)
  }
}

/** Why `frame` is not the one after `previous`, or null. */
export function frameMisfit(frame: Frame, previous: LogPosition, group: number): string | null {
  const { header } = frame
  if (header.group !== group) return `of group ${header.group}`
  if (header.index !== previous.index + 1) return `of index ${header.index}, expected ${previous.index + 1}`
  if (chainOf(frame.bytes, previous.chain) !== header.chain) return 'chain'
  if (header.term < previous.term || header.timestamp < previous.timestamp) return 'term or time goes back'
  return header.baseOffset === previous.nextOffset ? null : 'offset'
}

/** Where the log stands before the frames of a round. */
function positionBefore(record: RoundRecord): LogPosition {
  return {
    index: record.firstIndex - 1,
    term: record.previousTerm,
    chain: record.chainBefore,
    timestamp: record.previousTimestamp,
    nextOffset: record.nextOffset,
  }
}

/** A frame with bytes of its own: a configuration outlives the megabyte around it. */
export function copyOf(frame: Frame): Frame {
  const copy = decodeFrame(frame.bytes.slice())
  if (typeof copy === 'string') throw new RangeError(`a verified frame is ${copy} in its copy`)
  return copy
}
