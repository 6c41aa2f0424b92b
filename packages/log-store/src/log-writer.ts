/**
 * The durable side of one group's log: its segments, the file that is being written, rolls, truncation, trims.
 *
 * Called by one flush at a time. Every method returns false where it could not make its change durable; the store is
 * halted or closing then, and the state here no longer matters. Invariant: `end` is what a recovery would find, at least.
 */
import { type Frame, FrameKind } from '@millrace/record'
import { writeBaseFile } from './base-file.ts'
import type { DiskFile } from './disk.ts'
import { errnoOf } from './disk.ts'
import type { FlushTask } from './flush-scheduler.ts'
import type { Patch } from './log-pieces.ts'
import { LogRepair, type PatchFrames } from './log-repair.ts'
import type { Ballot, BaseRecord, LogPosition } from './log-store.ts'
import { placeSegment, takeSpare } from './new-segment.ts'
import { pageRest, zeroesBehind } from './prepared-space.ts'
import { buildRound, type Round, type RoundContent } from './round.ts'
import { SALT_BYTES } from './round-record.ts'
import { NO_GAPS, ownerOf, type Segment, segmentOf, segmentPath } from './segment.ts'
import { decodeSegmentHeader, encodeSegmentHeader, type SegmentPredecessor } from './segment-header.ts'
import { SegmentIndex } from './segment-index.ts'
import { discardSegment } from './segment-trash.ts'
import type { StoreContext } from './store-context.ts'
import type { FileHolder } from './write-files.ts'

/** Index entries are saved this many at a time: about once per MiB of log. */
const INDEX_SAVE_ENTRIES = 64
const NO_ZEROES: Uint8Array = new Uint8Array(0)

/** What recovery hands over. */
export interface LogState {
  readonly group: number
  readonly replicaId: number
  readonly folder: string
  readonly base: BaseRecord
  readonly segments: Segment[]
  readonly patches: readonly Patch[]
  readonly end: LogPosition
  /** Configuration frames above the base: the newest at or below `commit`, and all after it. */
  readonly configurations: readonly Frame[]
  /** Up to this index a hole may hold a configuration that is not among them; 0: none. */
  readonly unreadConfiguration: number
  readonly ballot: Ballot
  readonly commit: number
  /** The highest generation in use, void segments included. */
  readonly generation: number
  readonly roundNumber: number
  /** The newest segment must not be written on: the next round starts a new generation. */
  readonly closedByRecovery: boolean
}

export class LogWriter implements FileHolder {
  readonly #context: StoreContext
  readonly #task: FlushTask
  readonly #state: LogState
  readonly repair: LogRepair
  /** One that is older is followed by another one. */
  segmentAgeMaxMs: number
  #base: BaseRecord
  #segments: Segment[]
  #end: LogPosition
  #configurations: readonly Frame[]
  #unreadConfiguration: number
  #generation: number
  #roundNumber: number
  #closed: boolean
  /** The newest segment, once a round was appended to it: writes through, so that a round is durable when it is written. */
  #file: DiskFile | null = null
  /** Up to where that file has been written: beyond the log's end there is nothing of it. */
  #preparedEnd = 0
  #savingIndex: Promise<void> = Promise.resolve()

  constructor(context: StoreContext, task: FlushTask, state: LogState) {
    this.#context = context
    this.#task = task
    this.#state = state
    this.#base = state.base
    this.#segments = state.segments
    this.#end = state.end
    this.#configurations = state.configurations
    this.#unreadConfiguration = state.unreadConfiguration
    this.#generation = state.generation
    this.#roundNumber = state.roundNumber
    this.#closed = state.closedByRecovery
    this.segmentAgeMaxMs = context.limits.segmentAgeMaxMs
    this.repair = new LogRepair(context, state, this, state.patches)
  }

  get base(): BaseRecord {
    return this.#base
  }

  get end(): LogPosition {
    return this.#end
  }

  /** The same, for whoever reads what is durable. */
  get durable(): LogPosition {
    return this.#end
  }

  /** Live segments, rising. */
  get segments(): readonly Segment[] {
    return this.#segments
  }

  /** Writes one round; frames at or below the end replace everything from there on. */
  async append(frames: readonly Frame[], ballot: Ballot, commit: number): Promise<boolean> {
    const first = frames[0]!.header.index
    const truncates = first <= this.#end.index
    const before = truncates ? await this.repair.positionOf(first - 1) : this.#end
    const configurations = this.#configurationsWith(frames, before.index, commit)
    const unread = this.#unreadConfiguration > before.index ? 0 : this.#unreadConfiguration
    const configurationIndex = Math.max(configurations.at(-1)?.header.index ?? this.#base.configurationIndex, unread)
    const content: RoundContent = { frames, before, configurationIndex, ballot, commit }
    const written = this.#needsSegment(truncates)
      ? await this.#appendInNewSegment(content, truncates || this.#closed)
      : await this.#appendInPlace(content)
    if (!written) return false
    this.#configurations = configurations
    this.#unreadConfiguration = unread
    this.#noteMark()
    return true
  }

  /** Writes the frames of a hole. @returns true: durable; false: they fill none; null: the store is halted or closing */
  async patch({ frames, upTo }: PatchFrames, ballot: Ballot, commit: number): Promise<boolean | null> {
    const generation = Math.max(1, this.#generation)
    const configurations = frames.filter(frame => frame.header.kind === FrameKind.configuration)
    const configurationIndex = configurations.at(-1)?.header.index ?? 0
    const patched = await this.repair.patch(
      this.#task,
      { frames, upTo },
      { ballot, commit, configurationIndex, generation },
    )
    if (patched !== true) return patched
    const known = this.#configurations.filter(
      ({ header }) => !configurations.some(c => c.header.index === header.index),
    )
    this.#configurations = [...known, ...configurations].sort((a, b) => a.header.index - b.header.index)
    const isInHole = this.repair.holes.some(
      ({ before, last }) => before.index < this.#unreadConfiguration && this.#unreadConfiguration <= last.index,
    )
    if (!isInHole) this.#unreadConfiguration = 0
    return true
  }

  /** Makes `base` the log's base and puts segments that are wholly below it into the trash. */
  async trim(base: BaseRecord): Promise<boolean> {
    const moved = { ...base, voidBelow: this.#base.voidBelow }
    if (!(await this.#writeBase(moved))) return false
    this.#configurations = this.#configurations.filter(frame => frame.header.index > base.index)
    const last = this.#segments.at(-1)
    const below = this.#segments.filter(segment => segment !== last && segment.limit <= base.index)
    this.#segments = this.#segments.filter(segment => !below.includes(segment))
    await this.repair.dropBelow(base.index)
    return this.#discard(below)
  }

  /** Discards the log and starts it anew at `base`. */
  async reset(base: BaseRecord): Promise<boolean> {
    const voidBelow = this.#generation + 1
    if (!(await this.#writeBase({ ...base, voidBelow }))) return false
    const all = this.#segments
    await this.#closeFile()
    this.#segments = []
    this.#configurations = []
    this.#unreadConfiguration = 0
    await this.repair.voidAbove(0)
    this.#generation = voidBelow
    this.#end = this.#base
    this.#closed = false
    this.#noteMark()
    return this.#discard(all)
  }

  async close(): Promise<void> {
    await this.#closeFile()
  }

  async closeResting(): Promise<void> {
    const file = this.#file
    this.#file = null
    await file?.close()
  }

  #needsSegment(truncates: boolean): boolean {
    const last = this.#segments.at(-1)
    if (last === undefined || truncates || this.#closed || this.#isFull()) return true
    return this.#context.clock.wallMs() - last.header.createdMs >= this.segmentAgeMaxMs
  }

  /** The newest segment has grown to its size: the next one will too, so it may as well begin with that. */
  #isFull(): boolean {
    const last = this.#segments.at(-1)
    return last !== undefined && last.end >= this.#context.limits.segmentBytesMax
  }

  async #appendInPlace(content: RoundContent): Promise<boolean> {
    const { faults, limits, writeFiles } = this.#context
    const segment = this.#segments.at(-1)!
    writeFiles.take(this)
    const file = this.#file ?? (await this.#openFile(segment))
    const { generation, salt, group } = segment.header
    const place = { generation, salt, group, number: ++this.#roundNumber, position: segment.end }
    const round = buildRound({ ...place, previousPosition: segment.lastRound }, content)
    const { segmentBytesMax } = limits
    const { recycledBytes } = segment.header
    const preparedEnd = this.#preparedEnd
    const extent = { start: segment.end, end: round.end, segmentBytesMax, recycledBytes, preparedEnd }
    let zeroes = faults.hasReserve ? zeroesBehind(extent) : NO_ZEROES
    const write = async (): Promise<void> => {
      if (zeroes.length > 0) {
        try {
          await file.writev([...round.buffers, zeroes], segment.end)
          this.#preparedEnd = Math.max(preparedEnd, round.end + zeroes.length)
          return
        } catch (error) {
          // No space for both: the round alone is written again, at once.
          if (errnoOf(error) !== 'ENOSPC') throw error
          zeroes = NO_ZEROES
        }
      }
      await file.writev(round.buffers, segment.end)
    }
    if (!(await faults.writeThrough(this.#task, segment.path, write))) return false
    writeFiles.rest(this)
    this.#took(segment, segment.end, round, content)
    return true
  }

  async #openFile(segment: Segment): Promise<DiskFile> {
    const file = await this.#context.disk.open(segment.path, 'writeThrough')
    this.#file = file
    // What a file that may be written on has behind its end means nothing: it is prepared space.
    this.#preparedEnd = await file.size()
    return file
  }

  /** Header and round go aside, become durable, and then take their name: all of it is there after a crash or nothing. */
  async #appendInNewSegment(content: RoundContent, nextGeneration: boolean): Promise<boolean> {
    const { clock, random } = this.#context
    const { group, folder } = this.#state
    const { before } = content
    const generation = Math.max(1, this.#generation + (nextGeneration ? 1 : 0))
    const salt = new Uint8Array(SALT_BYTES)
    random(salt)
    const predecessor = await this.#predecessorOf(before.index)
    const configurations = this.#configurations.filter(frame => frame.header.index <= before.index)
    const createdMs = clock.wallMs()
    const path = segmentPath(folder, before.index, generation)
    const recycledBytes = this.#isFull() ? await takeSpare(this.#context, path) : 0
    const chained = { generation, salt, group, base: before, predecessor }
    const head = encodeSegmentHeader({ ...chained, createdMs, recycledBytes, configurations })
    const place = { generation, salt, group, number: ++this.#roundNumber, position: head.length, previousPosition: 0 }
    const round = buildRound(place, content)
    const buffers = [head, ...round.buffers]
    if (recycledBytes > 0) buffers.push(pageRest(round.end))
    if (!(await placeSegment(this.#context, this.#task, { folder, path, buffers, recycledBytes }))) return false
    await this.#closeFile()
    this.#generation = generation
    this.#closed = false
    const header = decodeSegmentHeader(head)
    if (typeof header === 'string') throw new RangeError(`a segment header of our own does not read back: ${header}`)
    return this.#follow(
      { header, path, limit: 0, end: 0, lastRound: 0, framesEnd: 0, index: new SegmentIndex(), gaps: NO_GAPS },
      round,
      content,
    )
  }

  /** Puts a new segment behind those that it leaves alive, and removes those that it voids. */
  async #follow(segment: Segment, round: Round, content: RoundContent): Promise<boolean> {
    const base = content.before.index
    const previous = this.#segments.at(-1)
    if (previous !== undefined) {
      previous.index?.cutAbove(base)
      await this.#saveIndex(previous)
      previous.index = null
    }
    for (const old of this.#segments) {
      if (old.limit <= base) continue
      old.limit = base
      await this.#context.reader.forget(old)
    }
    await this.repair.voidAbove(base)
    const isLive = (old: Segment): boolean => old.header.base.index < old.limit && old.limit > this.#base.index
    const dead = this.#segments.filter(old => !isLive(old))
    this.#segments = [...this.#segments.filter(isLive), segment]
    this.#took(segment, segment.header.length, round, content)
    return this.#discard(dead)
  }

  /** Counts a durable round. */
  #took(segment: Segment, position: number, round: Round, content: RoundContent): void {
    let chain = content.before.chain
    let at = round.framesEnd - content.frames.reduce((sum, frame) => sum + frame.bytes.length, 0)
    for (const frame of content.frames) {
      segment.index!.offer(frame, at, chain, position)
      chain = frame.header.chain
      at += frame.bytes.length
    }
    segment.lastRound = position
    segment.end = round.end
    segment.framesEnd = round.framesEnd
    segment.limit = round.after.index
    this.#end = round.after
    this.#context.counters.bytesWritten += round.end - position
    if (segment.index!.unsaved >= INDEX_SAVE_ENTRIES) void this.#saveIndex(segment)
  }

  async #predecessorOf(index: number): Promise<SegmentPredecessor | null> {
    if (index === this.#base.index) return null
    const segment = segmentOf(this.#segments, index)
    if (segment === undefined) throw new RangeError(`group ${this.#state.group} has no segment with entry ${index}`)
    const { base, generation } = segment.header
    const isLast = segment === this.#segments.at(-1) && index === segment.limit
    const end = isLast ? segment.framesEnd : await this.repair.endOf(segment, index)
    return { base: base.index, generation, end }
  }

  /** The configuration frames to remember once `frames` follow `keptUpTo`. */
  #configurationsWith(frames: readonly Frame[], keptUpTo: number, commit: number): readonly Frame[] {
    const fresh = frames.filter(frame => frame.header.kind === FrameKind.configuration)
    const kept = this.#configurations.filter(frame => frame.header.index <= keptUpTo)
    if (fresh.length === 0 && kept.length === this.#configurations.length) return this.#configurations
    const all = [...kept, ...fresh]
    const inForce = all.findLastIndex(frame => frame.header.index <= commit)
    return inForce > 0 ? all.slice(inForce) : all
  }

  async #writeBase(base: BaseRecord): Promise<boolean> {
    const { faults, disk } = this.#context
    const { group, replicaId, folder } = this.#state
    const file = { group, replicaId, base }
    const write = (): Promise<void> => writeBaseFile(disk, folder, file)
    if (!(await faults.untilThereIsSpace(this.#task, `${folder}/base`, write))) return false
    this.#base = base
    return true
  }

  /**
   * Moves segments to the trash, oldest first, so that what is left is always a log. One that cannot be moved is void or
   * below the base all the same; the next start tries again.
   */
  async #discard(segments: readonly Segment[]): Promise<boolean> {
    for (const segment of segments) {
      await this.#context.reader.forget(segment)
      await discardSegment(this.#context, this.#state.group, segment.path)
    }
    return !this.#context.faults.halted
  }

  #noteMark(): void {
    const last = this.#segments.at(-1)
    this.#context.mark.note(this.#state.group, {
      generation: this.#generation,
      position: last?.end ?? 0,
      lastIndex: this.#end.index,
      lastTerm: this.#end.term,
    })
  }

  /** Saves index entries one batch after the other; an index that cannot be saved is scanned for later. */
  #saveIndex(segment: Segment): Promise<void> {
    const { index } = segment
    if (index === null || index.unsaved === 0) return this.#savingIndex
    const { disk, onProblem } = this.#context
    this.#savingIndex = this.#savingIndex
      .then(() => index.save(disk, this.#state.folder, ownerOf(segment)))
      .catch((error: Error) => onProblem(error))
    return this.#savingIndex
  }

  async #closeFile(): Promise<void> {
    const last = this.#segments.at(-1)
    if (last !== undefined) await this.#saveIndex(last)
    this.#context.writeFiles.take(this)
    await this.closeResting()
  }
}
