/**
 * Reads a segment from front to back and believes nothing: record by record, frame by frame. Where no complete round starts
 * it looks whether a valid record comes later; what is missing before that is a gap, and the scan goes on there. What ends
 * and gaps mean is decided elsewhere (recovery-table.ts); this module only finds.
 */
import { decodeFrame, decodeFrameHeader, FRAME_HEADER_BYTES, type Frame, FrameKind, frameBytes } from '@millrace/record'
import type { DiskFile } from './disk.ts'
import { FileWindow } from './file-window.ts'
import { alignToSector, allZero, SECTOR_BYTES } from './format.ts'
import { frameMisfit, positionAfter } from './frame-sequence.ts'
import type { LogPosition } from './log-store.ts'
import { decodeRoundRecord, lastIndexOf, ROUND_RECORD_BYTES, type RoundRecord, roundEnd } from './round-record.ts'
import type { SegmentGap } from './segment.ts'
import { isRecordOf, type SegmentHeader } from './segment-header.ts'
import { SegmentIndex } from './segment-index.ts'

const CHUNK_BYTES = 1_048_576

/** Why a scan stopped at `position`. */
export type ScanStop =
  /** Nothing comes after, or only zeroes, or what an older file left there. */
  | { readonly kind: 'end'; readonly position: number }
  /** Something that is no complete round, and no valid record after it. */
  | { readonly kind: 'incomplete'; readonly position: number; readonly detail: string }
  /** Something that is no complete round, and a valid record at `nextRecord` that does not go on from what was reached. */
  | { readonly kind: 'damaged'; readonly position: number; readonly detail: string; readonly nextRecord: number }

type DamagedStop = Extract<ScanStop, { readonly kind: 'damaged' }>

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
  /** After the last complete round, or the last gap where no complete round follows it. */
  readonly last: LogPosition
  /** Just after the last frame of the last complete round; after a gap where the next round is. 0 where there is neither. */
  readonly framesEnd: number
  /** Null where there is none, or none after the last gap. */
  readonly lastRound: CompleteRound | null
  readonly index: SegmentIndex
  /** Configuration frames found, rising; copies. */
  readonly configurations: readonly Frame[]
  /** What is missing before a later record, or before the entry that the segment must end in. Rising. */
  readonly gaps: readonly SegmentGap[]
  /** Where the log stood at the entry that the segment must reach; null where that is unknown or was not reached. */
  readonly atLimit: LogPosition | null
  /** Of the newest complete round, or the one after the last gap, where that is newer. */
  readonly newest: RoundRecord | null
  /** How many complete rounds there were, and how many frames. */
  readonly rounds: number
  readonly frames: number
  /** The highest index at which a configuration entry is or may be in a gap; 0: there is none. */
  readonly unreadConfiguration: number
}

export interface ScanOptions {
  /** Where to start. Default: at the first round. */
  readonly start?: ScanStart
  /** How much of the file counts, bytes. Default: all of it. */
  readonly size?: number
  /** Index of the last entry that counts. */
  readonly limit?: number
  /** The entry at `limit`, known from elsewhere: what is missing up to there is a gap. */
  readonly sealedBy?: LogPosition
  /** Ends the scan after the first gap; the stop says where it could go on. */
  readonly untilGap?: boolean
  /** How far records are looked for where a scan of a recycled segment stops. Default: to the end of the file. */
  readonly lookAhead?: LookAhead
}

/** Records are looked for up to `bytes` behind where a scan stops, and behind `durableEnd`, up to where rounds are known. */
export interface LookAhead {
  readonly bytes: number
  readonly durableEnd: number
  /** Nothing was written behind `durableEnd`: a scan that stops there need not look. */
  readonly isWhole: boolean
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

/** Scans a segment, from its header or from `start` on. */
export async function scanSegment(
  file: DiskFile,
  header: SegmentHeader,
  options: ScanOptions = {},
): Promise<SegmentScan> {
  const scanner = new SegmentScanner(file, header, options.size ?? (await file.size()), options)
  for (;;) {
    const fault = await scanner.nextRound()
    if (fault === null) continue
    const stop = await scanner.classify(fault)
    const goesOn = stop.kind === 'damaged' && (await scanner.pass(stop)) && options.untilGap !== true
    if (!goesOn) return scanner.result(stop)
  }
}

/** Frames of a round that were read before one that is not whole. */
interface BrokenRound {
  readonly record: RoundRecord
  readonly frames: readonly Frame[]
}

class SegmentScanner {
  readonly #size: number
  readonly #header: SegmentHeader
  readonly #options: ScanOptions
  readonly #window: FileWindow
  readonly #index: SegmentIndex
  readonly #configurations: Frame[]
  readonly #gaps: SegmentGap[] = []
  #position: number
  #last: LogPosition
  #framesEnd: number
  #lastRound: CompleteRound | null = null
  /** The record at the position is whole and fits; its frames do not. */
  #broken: BrokenRound | null = null
  #atLimit: LogPosition | null
  #newest: RoundRecord | null = null
  #unreadConfiguration = 0
  #rounds = 0
  #frames = 0
  /** Number of the newest round that is known of. */
  #number = 0

  constructor(file: DiskFile, header: SegmentHeader, size: number, options: ScanOptions) {
    const { start } = options
    this.#size = size
    this.#header = header
    this.#options = options
    this.#window = new FileWindow(file, CHUNK_BYTES, size)
    this.#position = start?.record.position ?? header.length
    this.#last = start === undefined ? header.base : positionBefore(start.record)
    this.#framesEnd = start?.framesEnd ?? 0
    this.#index = start?.index ?? new SegmentIndex()
    this.#configurations = [...(start?.configurations ?? [])]
    this.#atLimit = this.#last.index === options.limit ? this.#last : null
  }

  /** Takes one complete round, or says why there is none. */
  async nextRound(): Promise<string | null> {
    this.#broken = null
    const record = decodeRoundRecord(await this.#window.load(this.#position, ROUND_RECORD_BYTES))
    if (typeof record === 'string') return `round record: ${record}`
    const misfit = this.#misfit(record)
    if (misfit !== null) return `round record: ${misfit}`
    this.#number = record.number
    const frames: Frame[] = []
    const fault = await this.#readFrames(record, frames)
    if (fault === null) this.#take(record, frames)
    else this.#broken = { record, frames }
    return fault
  }

  async classify(detail: string): Promise<ScanStop> {
    const position = this.#position
    let zero = true
    for (let at = position; at < this.#searchEnd(); at += SECTOR_BYTES) {
      const sector = await this.#window.load(at, SECTOR_BYTES)
      if (sector.length === 0) break
      if (zero && !allZero(sector)) zero = false
      if (this.#isRecordAt(sector, at) && !(at === position && this.#broken !== null)) {
        return { kind: 'damaged', position, detail, nextRecord: at }
      }
    }
    const isStale = position < this.#header.recycledBytes
    return zero || isStale ? { kind: 'end', position } : { kind: 'incomplete', position, detail }
  }

  /** Up to where a record may be that says that this is not the end. */
  #searchEnd(): number {
    const { lookAhead, sealedBy } = this.#options
    if (this.#position >= this.#header.recycledBytes) return this.#size
    if (sealedBy !== undefined && this.#last.index >= sealedBy.index) return this.#position
    if (lookAhead === undefined) return this.#size
    const { bytes, durableEnd, isWhole } = lookAhead
    if (isWhole && this.#position === durableEnd) return this.#position
    return Math.min(this.#size, Math.max(this.#position, durableEnd) + bytes)
  }

  /** Goes on at a later record, where that fits what was reached; what is missing between is a gap. */
  async pass({ position, detail, nextRecord }: DamagedStop): Promise<boolean> {
    const record = decodeRoundRecord(await this.#window.load(nextRecord, ROUND_RECORD_BYTES))
    if (typeof record === 'string' || nextRecord === position || !this.#mayFollow(record)) return false
    const last = positionBefore(record)
    this.#takeBroken(last)
    if (!leadsTo(this.#last, last)) return false
    const mayMissOne = this.#last.index < Math.min(record.configurationIndex, last.index)
    if (mayMissOne) this.#unreadConfiguration = Math.min(record.configurationIndex, last.index)
    this.#gap(last, { position, detail, resumeAt: nextRecord })
    this.#newest = record
    this.#position = nextRecord
    this.#framesEnd = nextRecord
    this.#lastRound = null
    this.#number = record.number - 1
    return true
  }

  result(stop: ScanStop): SegmentScan {
    if (stop.kind !== 'damaged') this.#seal(stop)
    return {
      stop,
      end: this.#position,
      last: this.#last,
      framesEnd: this.#framesEnd,
      lastRound: this.#lastRound,
      index: this.#index,
      configurations: this.#configurations,
      gaps: this.#gaps,
      atLimit: this.#atLimit,
      newest: this.#newest,
      unreadConfiguration: this.#unreadConfiguration,
      rounds: this.#rounds,
      frames: this.#frames,
    }
  }

  /** What is missing before the entry that the segment must end in is a gap too. */
  #seal(stop: Exclude<ScanStop, DamagedStop>): void {
    const { sealedBy } = this.#options
    if (sealedBy === undefined || this.#last.index >= sealedBy.index) return
    this.#takeBroken(sealedBy)
    if (this.#last.index >= sealedBy.index) return
    const detail = stop.kind === 'end' ? 'it ends there' : stop.detail
    this.#gap(sealedBy, { position: stop.position, detail, resumeAt: null })
  }

  #gap(last: LogPosition, found: Pick<SegmentGap, 'position' | 'detail' | 'resumeAt'>): void {
    this.#gaps.push({ before: this.#last, last, ...found })
    this.#reach(last)
  }

  /** Takes the frames of a round that is not whole, where they lead to `last`, which proves them. */
  #takeBroken(last: LogPosition): void {
    if (this.#broken === null) return
    const { record, frames } = this.#broken
    const kept = frames.filter(frame => frame.header.index <= last.index)
    const end = kept.at(-1)
    if (end !== undefined && leadsTo(positionAfter(end), last)) this.#framesEnd = this.#takeFrames(record, kept)
  }

  /** Whether a later record may be of the same file as what was reached. */
  #mayFollow(record: RoundRecord): boolean {
    if (record.number <= this.#number) return false
    if (this.#broken === null) return true
    const broken = this.#broken.record
    const missing = record.firstIndex - lastIndexOf(broken) - 1
    if (record.number > broken.number + 1) return missing > 0
    return missing === 0 && record.previousPosition === broken.position && record.chainBefore === broken.chainAfter
  }

  #reach(position: LogPosition): void {
    this.#last = position
    if (position.index === this.#options.limit) this.#atLimit = position
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

  /** Reads the frames of a round into `frames`, up to the first that is not whole. @returns what is wrong with the round */
  async #readFrames(record: RoundRecord, frames: Frame[]): Promise<string | null> {
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
    return rest.length === padding && allZero(rest) ? null : 'padding of the round'
  }

  async #frameAt(position: number): Promise<Frame | string> {
    const header = decodeFrameHeader(await this.#window.load(position, FRAME_HEADER_BYTES))
    if (typeof header === 'string') return header
    return decodeFrame(await this.#window.load(position, frameBytes(header.payloadLength)))
  }

  #take(record: RoundRecord, frames: readonly Frame[]): void {
    const before = this.#last
    const framesEndBefore = this.#framesEnd
    this.#framesEnd = this.#takeFrames(record, frames)
    this.#lastRound = { record, frames, before, framesEndBefore }
    this.#newest = record
    this.#position = roundEnd(record)
    this.#rounds++
    if (lastIndexOf(record) !== this.#last.index) throw new RangeError(`round at ${record.position} counted wrongly`)
  }

  /** @returns where they end */
  #takeFrames(record: RoundRecord, frames: readonly Frame[]): number {
    let position = record.position + ROUND_RECORD_BYTES
    this.#frames += frames.length
    for (const frame of frames) {
      this.#index.offer(frame, position, this.#last.chain, record.position)
      if (frame.header.kind === FrameKind.configuration) this.#configurations.push(copyOf(frame))
      this.#reach(positionAfter(frame))
      position += frame.bytes.length
    }
    return position
  }
}

/** Whether a log that stood at `from` may have come to stand at `to` later, or is there. */
function leadsTo(from: LogPosition, to: LogPosition): boolean {
  if (from.index === to.index) return from.chain === to.chain
  const rises = from.term <= to.term && from.timestamp <= to.timestamp && from.nextOffset <= to.nextOffset
  return from.index < to.index && rises
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
  const copy = decodeFrame(new Uint8Array(frame.bytes))
  if (typeof copy === 'string') throw new RangeError(`a verified frame is ${copy} in its copy`)
  return copy
}
