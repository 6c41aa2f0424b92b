/**
 * Reads of one group's log: from memory where the frames are there, else from the segment that holds them. A read that
 * began before what it reads was replaced starts again, so it never mixes two histories.
 */
import { type Frame, nextOffsetAfter } from '@millrace/record'
import type { LogRepair, ReadablePiece } from './log-repair.ts'
import { type BaseRecord, LogError, type LogPosition } from './log-store.ts'
import type { SegmentReader } from './segment-reader.ts'
import type { GroupTail } from './tail-cache.ts'

/** What a reader sees of the log; the values change while it waits. */
export interface LogView {
  readonly group: number
  readonly base: BaseRecord
  readonly end: LogPosition
  /** Counts replacements of what was readable. */
  readonly epoch: number
  readonly repair: LogRepair
  readonly tail: GroupTail
  /** @throws LogError where the log can no longer be read */
  assertOpen(): void
}

interface Search {
  readonly asked: string
  readonly isCompacted: () => boolean
  /** False, then true, along the log: the first frame for which it holds is looked for. */
  readonly reached: (frame: Frame) => boolean
  /** Whether the frame looked for comes after this position. */
  readonly isBefore: (position: LogPosition) => boolean
  readonly entryIsBefore: (entry: { readonly offset: number; readonly timestamp: number }) => boolean
}

export class LogReader {
  readonly #view: LogView
  readonly #segments: SegmentReader

  constructor(view: LogView, segments: SegmentReader) {
    this.#view = view
    this.#segments = segments
  }

  async read(from: number, to: number, bytesMax: number): Promise<readonly Frame[]> {
    for (;;) {
      this.#view.assertOpen()
      if (from <= this.#view.base.index) throw this.#compacted(`index ${from}`, `index ${this.#view.base.index + 1}`)
      if (from > this.#view.end.index || to <= from) {
        throw new LogError(
          'OUT_OF_RANGE',
          `group ${this.#view.group} ends at index ${this.#view.end.index}; asked for [${from}, ${to})`,
        )
      }
      const cached = this.#view.tail.slice(from, to, bytesMax)
      if (cached !== null) return cached
      const epoch = this.#view.epoch
      const found = await this.#cold(this.#view.repair.readablePieceAt(from), ({ source, last }) =>
        this.#segments.frames(source, from, Math.min(to, this.#view.tail.first, last.index + 1), bytesMax),
      )
      if (found !== null && epoch === this.#view.epoch) return found.value
    }
  }

  async indexOfOffset(offset: number): Promise<number> {
    const frame = await this.#search({
      asked: `offset ${offset}`,
      isCompacted: () => offset < this.#view.base.nextOffset,
      reached: frame => nextOffsetAfter(frame.header) > offset,
      isBefore: position => position.nextOffset <= offset,
      entryIsBefore: entry => entry.offset <= offset,
    })
    return frame?.header.index ?? this.#view.end.index + 1
  }

  async offsetAtTime(timestamp: number): Promise<number> {
    const frame = await this.#search({
      asked: `time ${timestamp}`,
      isCompacted: () => false,
      reached: frame => frame.header.timestamp >= timestamp && frame.header.index > this.#view.base.index,
      isBefore: position => position.timestamp < timestamp,
      entryIsBefore: entry => entry.timestamp < timestamp,
    })
    return frame?.header.baseOffset ?? this.#view.end.nextOffset
  }

  /** From memory where that is certain, else from the segment that has it. */
  async #search(search: Search): Promise<Frame | undefined> {
    const { reached, isBefore } = search
    for (;;) {
      this.#view.assertOpen()
      if (search.isCompacted()) throw this.#compacted(search.asked, `offset ${this.#view.base.nextOffset}`)
      const oldest = this.#view.tail.at(this.#view.tail.first)
      const inTail = this.#view.tail.firstWhere(reached)
      const nothingOlder =
        this.#view.tail.first <= this.#view.base.index + 1 || (oldest !== undefined && !reached(oldest))
      if (nothingOlder || this.#view.end.index === this.#view.base.index) return inTail
      const { index: endIndex } = this.#view.end
      const epoch = this.#view.epoch
      const limit = this.#view.tail.first - 1
      const piece = this.#view.repair.pieces
        .filter(({ before }) => before.index < limit)
        .findLast(({ before }, at) => at === 0 || isBefore(before))
      const isInHole = piece?.source === null && !isBefore(piece.last)
      const found =
        piece?.source === null && !isInHole
          ? { value: undefined }
          : await this.#cold(piece && this.#view.repair.readable(piece), ({ source, before, last }) =>
              this.#segments.find(source, before.index + 1, Math.min(limit, last.index), search.entryIsBefore, reached),
            )
      const frame = found?.value ?? inTail
      const isCurrent = epoch === this.#view.epoch && (frame !== undefined || endIndex === this.#view.end.index)
      if (found !== null && isCurrent) return frame
    }
  }

  /** Reads a piece; null where it was replaced, trimmed, or found to be damaged meanwhile: ask again. */
  async #cold<T>(
    piece: ReadablePiece | undefined,
    use: (piece: ReadablePiece) => Promise<T>,
  ): Promise<{ readonly value: T } | null> {
    if (piece === undefined)
      throw new LogError('DAMAGED', `group ${this.#view.group}: no segment holds what was asked for`)
    const { source } = piece
    const { gaps } = source
    try {
      return { value: await use(piece) }
    } catch (error) {
      const { repair } = this.#view
      if (!repair.isLive(source) || (await repair.explains(source, gaps, error))) return null
      if (error instanceof LogError) throw error
      throw new LogError(
        'IO',
        `reading ${source.path} failed: ${error instanceof Error ? error.message : String(error)}`,
        error,
      )
    }
  }

  #compacted(asked: string, first: string): LogError {
    return new LogError('COMPACTED', `group ${this.#view.group} no longer holds ${asked}; its log starts at ${first}`)
  }
}
