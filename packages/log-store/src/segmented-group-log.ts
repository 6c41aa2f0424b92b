/**
 * One group's log on files, as the host sees it: a queue of writes in front, the newest frames in memory, segments
 * behind. Everything queued when a flush slot comes free goes into one round.
 *
 * Invariant: operations become durable and are answered in the order of the calls; a ballot is in both copies of the
 * vote file before a frame of the same or a later write is written.
 */
import type { Frame } from '@millrace/record'
import type { FlushTask } from './flush-scheduler.ts'
import { assertJoined, positionAfter } from './frame-sequence.ts'
import { LogReader, type LogView } from './log-reader.ts'
import type { LogRepair } from './log-repair.ts'
import {
  type Ballot,
  type BaseRecord,
  type GroupLog,
  type Hole,
  LogDamaged,
  LogError,
  type LogPosition,
  type LogWrite,
  type RecoveredLog,
  type WriteDone,
} from './log-store.ts'
import { LogWriter } from './log-writer.ts'
import type { RecoveredGroup } from './recovery.ts'
import { extentsOfSegments, type SegmentExtent } from './segment-extents.ts'
import type { StoreContext } from './store-context.ts'
import type { GroupTail } from './tail-cache.ts'

interface QueuedWrite {
  readonly kind: 'write'
  readonly write: LogWrite
  readonly bytes: number
  readonly done: WriteDone
  /** False while its ballot is on the way. */
  ballotDurable: boolean
}

interface QueuedChange {
  readonly kind: 'change'
  /** Returns false where the change could not be made durable. */
  readonly run: () => Promise<boolean>
  readonly done: () => void
}

export class SegmentedGroupLog implements GroupLog, FlushTask, LogView {
  readonly group: number
  readonly recovered: RecoveredLog
  readonly #context: StoreContext
  readonly #writer: LogWriter
  readonly #reader: LogReader
  readonly tail: GroupTail
  readonly #queue: (QueuedWrite | QueuedChange)[] = []
  #base: BaseRecord
  #end: LogPosition
  /** Resets that are queued. */
  #resets = 0
  /** Of the newest write that is durable. */
  #ballot: Ballot
  #commit: number
  #pendingBytes = 0
  /** Counts replacements of what was readable: a read that began before one starts again. */
  #epoch = 0
  #closed = false
  /** Damage that a write ran into: nothing more is written or answered. */
  #failure: LogError | null = null

  constructor(context: StoreContext, group: RecoveredGroup) {
    const { state } = group
    this.group = state.group
    this.recovered = group.recovered
    this.#context = context
    this.#writer = new LogWriter(context, this, state)
    this.tail = context.tails.newTail()
    this.#base = state.base
    this.#end = state.end
    this.#ballot = state.ballot
    this.#commit = state.commit
    this.#reader = new LogReader(this, context.reader)
  }

  get base(): BaseRecord {
    // What a trim has made durable counts at once: segments go from then on, and what they held is not damaged.
    const { base } = this.#writer
    return base.index > this.#base.index ? base : this.#base
  }

  get end(): LogPosition {
    return this.#end
  }

  get durable(): LogPosition {
    return this.#writer.end
  }

  get repair(): LogRepair {
    return this.#writer.repair
  }

  get holes(): readonly Hole[] {
    if (this.#resets > 0) return []
    const { holes } = this.repair
    return holes.length === 0 ? holes : holes.filter(({ before }) => before.index < this.#keptTo())
  }

  segments(): readonly SegmentExtent[] {
    return this.#resets > 0 ? [] : extentsOfSegments(this.#writer.segments, this.#writer.base, this.#writer.end)
  }

  limitSegmentAge(ageMs: number): void {
    this.#writer.segmentAgeMaxMs = Math.min(ageMs, this.#context.limits.segmentAgeMaxMs)
  }

  get epoch(): number {
    return this.#epoch
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  get dirty(): boolean {
    const [head] = this.#queue
    return (
      head !== undefined && isReady(head) && !this.#closed && this.#failure === null && !this.#context.faults.halted
    )
  }

  /** Writes the last round again, before the log is handed out. @returns false after a fatal error */
  async rewrite(frames: readonly Frame[]): Promise<boolean> {
    if (!(await this.#writer.append(frames, this.#ballot, this.#commit))) return false
    this.#end = this.#writer.end
    return true
  }

  write(write: LogWrite, done: WriteDone): void {
    this.assertOpen()
    const bytes = this.#take(write.frames)
    const queued: QueuedWrite = { kind: 'write', write, bytes, done, ballotDurable: true }
    this.#pendingBytes += bytes
    const { ballot, clearsUncertain } = write
    if (ballot !== undefined || clearsUncertain === true) {
      queued.ballotDurable = false
      const certain = clearsUncertain === true ? { uncertainIndex: 0, uncertainTerm: 0 } : {}
      this.#context.votes.change(this.group, { ...ballot, ...certain }, () => {
        queued.ballotDurable = true
        if (this.dirty) this.#context.scheduler.request(this)
      })
    }
    this.#enqueue(queued)
  }

  read(from: number, to: number, bytesMax: number): Promise<readonly Frame[]> {
    return this.#reader.read(from, to, bytesMax)
  }

  readCached(from: number, to: number, bytesMax: number): readonly Frame[] | null {
    return from <= this.base.index ? null : this.tail.slice(from, to, bytesMax)
  }

  indexOfOffset(offset: number): Promise<number> {
    return this.#reader.indexOfOffset(offset)
  }

  offsetAtTime(timestamp: number): Promise<number> {
    return this.#reader.offsetAtTime(timestamp)
  }

  trimPrefix(base: BaseRecord): Promise<void> {
    this.assertOpen()
    if (base.index > this.#end.index) {
      return Promise.reject(new RangeError(`cannot trim to ${base.index}, the log ends at ${this.#end.index}`))
    }
    return this.#change(async () => {
      if (base.index <= this.#writer.base.index) return true
      const { chain } = await this.repair.positionOf(base.index)
      if (chain !== base.chain)
        throw new RangeError(`the base record at ${base.index} is not of this log: another chain`)
      if (!(await this.#writer.trim(base))) return false
      if (this.#base.index < base.index) this.#base = this.#writer.base
      return true
    })
  }

  reset(base: BaseRecord): Promise<void> {
    this.assertOpen()
    this.#base = base
    this.#end = base
    this.#epoch++
    this.#resets++
    this.tail.clear()
    return this.#change(async () => {
      if (!(await this.#writer.reset(base))) return false
      this.#resets--
      this.#commit = base.index
      if (this.#base.index === base.index) this.#base = this.#writer.base
      return true
    })
  }

  patch(frames: readonly Frame[], upTo?: LogPosition): Promise<boolean> {
    this.assertOpen()
    let isTaken = false
    const patched = this.#change(async () => {
      const written = await this.#writer.patch({ frames, upTo }, this.#ballot, this.#commit)
      isTaken = written === true
      return written !== null
    })
    return patched.then(() => isTaken)
  }

  async flush(): Promise<void> {
    try {
      await this.#flush()
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error))
      if (cause instanceof LogError && cause.code === 'DAMAGED') {
        // Only this group is affected: it stops as if its disk were stuck, the others go on.
        this.#failure = cause
        this.#context.refuse(this.group, cause)
        return
      }
      const what = `group ${this.group}: a write could not be finished (${cause.message}); nothing is acknowledged any more`
      this.#context.faults.raise(cause instanceof LogError ? cause : new LogError('IO', what, cause))
    }
  }

  /** Resolves when everything queued is durable, or never will be. */
  async idle(): Promise<void> {
    if (this.#queue.length === 0 || this.#failure !== null || this.#context.faults.halted) return
    await this.#change(async () => true)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.tail.clear()
    await this.#writer.close()
    // Another replica of the group may come, and its files will have the same names.
    const sources = [...this.repair.segments, ...this.repair.patches.map(({ source }) => source)]
    for (const source of sources) await this.#context.reader.forget(source)
  }

  async #flush(): Promise<void> {
    const [head] = this.#queue
    if (head?.kind === 'change') {
      if (!(await head.run())) return
      this.#queue.shift()
      head.done()
      return
    }
    const batch = this.#gather()
    const frames = batch.length === 1 ? batch[0]!.write.frames : batch.flatMap(queued => queued.write.frames)
    let ballot = this.#ballot
    let commit = this.#commit
    for (const { write } of batch) {
      ballot = write.ballot ?? ballot
      commit = Math.max(commit, write.commit)
    }
    if (frames.length === 0) await new Promise<void>(resolve => this.#context.clock.later(resolve))
    else if (!(await this.#writer.append(frames, ballot, commit))) return
    this.#ballot = ballot
    this.#commit = commit
    this.#queue.splice(0, batch.length)
    const bytes = batch.reduce((sum, queued) => sum + queued.bytes, 0)
    this.#unpin(frames, bytes)
    // Writes without frames that have waited for this round need no round of their own.
    const answered = [...batch, ...this.#takeReadyWithoutFrames()]
    for (const queued of answered) {
      this.#pendingBytes -= queued.bytes
      if (!this.#context.faults.halted) queued.done()
    }
  }

  /** The writes at the head of the queue that fit into one round. */
  #gather(): QueuedWrite[] {
    const batch: QueuedWrite[] = []
    let next: number | undefined
    let bytes = 0
    for (const queued of this.#queue) {
      if (queued.kind !== 'write' || !queued.ballotDurable) break
      const first = queued.write.frames[0]?.header.index
      if (first !== undefined) {
        bytes += queued.bytes
        if (next !== undefined && (first !== next || bytes > this.#context.limits.roundBytesMax)) break
        next = first + queued.write.frames.length
      }
      batch.push(queued)
    }
    return batch
  }

  #takeReadyWithoutFrames(): QueuedWrite[] {
    const taken: QueuedWrite[] = []
    for (const queued of this.#queue) {
      if (queued.kind !== 'write' || !queued.ballotDurable || queued.write.frames.length > 0) break
      this.#ballot = queued.write.ballot ?? this.#ballot
      this.#commit = Math.max(this.#commit, queued.write.commit)
      taken.push(queued)
    }
    this.#queue.splice(0, taken.length)
    return taken
  }

  /** Takes frames into memory; the end moves at once. @returns their bytes */
  #take(frames: readonly Frame[]): number {
    const [first] = frames
    if (first === undefined) return 0
    const { index } = first.header
    if (index <= this.#base.index || index > this.#end.index + 1) {
      throw new RangeError(`frame ${index} does not join a log of (${this.#base.index}, ${this.#end.index}]`)
    }
    const hole = this.holes.find(({ before, last }) => before.index < index - 1 && index - 1 < last.index)
    if (hole !== undefined) throw new LogDamaged(this.group, hole)
    assertJoined(this.group, frames, this.#knownPosition(index - 1))
    if (index <= this.#end.index) this.#epoch++
    this.tail.append(frames)
    this.tail.pinFrom(Math.min(index, this.tail.pinnedFrom))
    this.#end = positionAfter(frames.at(-1)!)
    return frames.reduce((sum, frame) => sum + frame.bytes.length, 0)
  }

  /** No entry above this is left once what is queued is durable, but those that are queued. */
  #keptTo(): number {
    let keptTo = Number.POSITIVE_INFINITY
    for (const queued of this.#queue) {
      const first = queued.kind === 'write' ? queued.write.frames[0] : undefined
      if (first !== undefined) keptTo = Math.min(keptTo, first.header.index - 1)
    }
    return keptTo
  }

  /** Where the log stood at `index`, where memory knows. */
  #knownPosition(index: number): LogPosition | undefined {
    if (index === this.#end.index) return this.#end
    if (index === this.#base.index) return this.#base
    const frame = this.tail.at(index)
    return frame === undefined ? undefined : positionAfter(frame)
  }

  /** `frames` are durable: memory may forget all but what is still queued. */
  #unpin(frames: readonly Frame[], bytes: number): void {
    let pinnedFrom = Number.POSITIVE_INFINITY
    for (const queued of this.#queue) {
      const first = queued.kind === 'write' ? queued.write.frames[0] : undefined
      if (first !== undefined) pinnedFrom = Math.min(pinnedFrom, first.header.index)
    }
    this.tail.pinFrom(pinnedFrom)
    if (frames.length > 0) this.#context.tails.release(this.tail, frames.at(-1)!.header.index, bytes)
  }

  #change(run: () => Promise<boolean>): Promise<void> {
    return new Promise((resolve, reject) => {
      const guarded = async (): Promise<boolean> => {
        try {
          return await run()
        } catch (error) {
          // A base that does not belong, or that nobody here can check: nothing was changed.
          if (!(error instanceof RangeError) && !(error instanceof LogDamaged)) throw error
          reject(error)
          return true
        }
      }
      this.#enqueue({ kind: 'change', run: guarded, done: resolve })
    })
  }

  #enqueue(operation: QueuedWrite | QueuedChange): void {
    this.#queue.push(operation)
    if (this.dirty) this.#context.scheduler.request(this)
  }

  assertOpen(): void {
    if (this.#failure !== null) throw this.#failure
    if (this.#closed) throw new LogError('CLOSED', `the log of group ${this.group} is closed`)
  }
}

function isReady(operation: QueuedWrite | QueuedChange): boolean {
  return operation.kind === 'change' || operation.ballotDurable
}
