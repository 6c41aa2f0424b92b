/**
 * `MemoryLogStore`: the `LogStore` of unit tests and of brokers that need not outlive their process. It keeps frames by
 * reference and answers as late as a disk would: no `done` runs inside `write`.
 *
 * Invariant: what `reopen` shows is exactly what was acknowledged, so that a test of a restart means something.
 */
import { type Frame, nextOffsetAfter } from '@millrace/record'
import { assertJoined, fillsHole, firstWhere, positionAfter } from './frame-sequence.ts'
import {
  type BaseRecord,
  type Birth,
  type GroupLog,
  type Hole,
  LogDamaged,
  LogError,
  type LogPosition,
  type LogStore,
  type LogStoreStats,
  type LogWrite,
  type RecoveredLog,
  type WriteDone,
} from './log-store.ts'

import { holeAcross, holeAt, holesWithin, withHole } from './memory-holes.ts'
import { endOf, recoveredFrom, type StoredGroup } from './memory-state.ts'
import { extentsOfFrames, type SegmentExtent } from './segment-extents.ts'

export { MemorySnapshotStore, MemorySnapshotStores } from './memory-snapshots.ts'

export interface MemoryLogStoreOptions {
  /** Runs a task on a later turn of the event loop. Default `setImmediate`; a simulator gives its own. */
  readonly schedule?: (task: () => void) => void
  /** What {@link GroupLog.segments} shows as one segment, bytes of frames. Default 1 MiB. */
  readonly segmentBytesMax?: number
}

interface Operation {
  readonly bytes: number
  /** The state that this operation makes durable. */
  after: StoredGroup
  readonly done: WriteDone
}

export class MemoryLogStore implements LogStore {
  readonly acceptsAppends: boolean = true
  readonly #schedule: (task: () => void) => void
  readonly #segmentBytesMax: number
  readonly #groups = new Map<number, MemoryGroupLog>()
  readonly #deadReplicas = new Map<number, Set<number>>()
  #closed = false

  constructor(options: MemoryLogStoreOptions = {}) {
    this.#schedule = options.schedule ?? (task => void setImmediate(task))
    this.#segmentBytesMax = options.segmentBytesMax ?? 1_048_576
  }

  /** A new store that holds what is durable here, as after a crash. This one must not be used any more. */
  reopen(options: MemoryLogStoreOptions = {}): MemoryLogStore {
    const store = new MemoryLogStore({ schedule: this.#schedule, segmentBytesMax: this.#segmentBytesMax, ...options })
    for (const [group, log] of this.#groups) {
      log.stop()
      store.#groups.set(group, new MemoryGroupLog(group, log.stored, store.#schedule, store.#segmentBytesMax))
    }
    for (const [group, dead] of this.#deadReplicas) store.#deadReplicas.set(group, new Set(dead))
    this.#closed = true
    return store
  }

  /** For tests: from now on the entries [first, last] of a group cannot be read, as after damage on a disk. */
  damage(group: number, first: number, last: number): void {
    const log = this.#groups.get(group)
    if (log === undefined) throw new RangeError(`there is no group ${group}`)
    log.damage(first, last)
  }

  groups(): readonly GroupLog[] {
    return [...this.#groups.values()]
  }

  refused(): readonly { readonly group: number; readonly reason: LogError }[] {
    return []
  }

  async create(group: number, birth: Birth): Promise<GroupLog> {
    this.#assertOpen()
    if (this.#groups.has(group)) throw new LogError('EXISTS', `group ${group} already has a replica on this node`)
    if (this.#deadReplicas.get(group)?.has(birth.replicaId)) {
      throw new LogError(
        'REPLICA_LOST',
        `replica ${birth.replicaId} of group ${group} was dropped; use a new replica id`,
      )
    }
    const { base } = birth
    const stored = {
      replicaId: birth.replicaId,
      base,
      ballot: { term: 0, vote: 0 },
      commit: base.index,
      frames: [],
      count: 0,
      holes: [],
    }
    const log = new MemoryGroupLog(group, stored, this.#schedule, this.#segmentBytesMax)
    this.#groups.set(group, log)
    await this.#turn()
    return log
  }

  async drop(group: number): Promise<void> {
    this.#assertOpen()
    const log = this.#groups.get(group)
    if (log === undefined) return
    log.stop()
    this.#groups.delete(group)
    const dead = this.#deadReplicas.get(group) ?? new Set()
    this.#deadReplicas.set(group, dead.add(log.stored.replicaId))
    await this.#turn()
  }

  stats(): LogStoreStats {
    return { fsyncs: 0, fsyncMsTotal: 0, bytesWritten: 0, stuckMs: 0, diskFreeBytes: Number.MAX_SAFE_INTEGER }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#groups.values()].map(log => log.idle()))
    for (const log of this.#groups.values()) log.stop()
    this.#closed = true
  }

  #turn(): Promise<void> {
    return new Promise(resolve => this.#schedule(resolve))
  }

  #assertOpen(): void {
    if (this.#closed) throw new LogError('CLOSED', 'the log store is closed')
  }
}

class MemoryGroupLog implements GroupLog {
  readonly group: number
  readonly recovered: RecoveredLog
  readonly #schedule: (task: () => void) => void
  readonly #segmentBytesMax: number
  #segmentAgeMaxMs = Number.POSITIVE_INFINITY
  readonly #queue: Operation[] = []
  #stored: StoredGroup
  /** The state with everything that is queued. */
  #next: StoredGroup
  #pendingBytes = 0
  #scheduled = false
  #stopped = false

  constructor(group: number, stored: StoredGroup, schedule: (task: () => void) => void, segmentBytesMax: number) {
    this.group = group
    this.#segmentBytesMax = segmentBytesMax
    this.#stored = stored
    this.#next = stored
    this.#schedule = schedule
    this.recovered = recoveredFrom(stored)
  }

  get stored(): StoredGroup {
    return this.#stored
  }

  get base(): BaseRecord {
    return this.#next.base
  }

  get end(): LogPosition {
    return endOf(this.#next)
  }

  get durable(): LogPosition {
    return endOf(this.#stored)
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  get holes(): readonly Hole[] {
    return this.#next.holes
  }

  segments(): readonly SegmentExtent[] {
    const { frames, count } = this.#stored
    const limits = { bytesMax: this.#segmentBytesMax, ageMaxMs: this.#segmentAgeMaxMs }
    return extentsOfFrames(frames.slice(0, count), limits)
  }

  limitSegmentAge(ageMs: number): void {
    this.#segmentAgeMaxMs = ageMs
  }

  damage(first: number, last: number): void {
    this.#stored = withHole(this.#stored, first, last)
    this.#next = withHole(this.#next, first, last)
    for (const operation of this.#queue) operation.after = withHole(operation.after, first, last)
  }

  write(write: LogWrite, done: WriteDone): void {
    this.#assertOpen()
    const before = this.#next
    let after: StoredGroup = {
      ...before,
      commit: Math.max(before.commit, write.commit),
      ballot: write.ballot ?? before.ballot,
    }
    let bytes = 0
    const [first] = write.frames
    if (first !== undefined) {
      const at = first.header.index - before.base.index - 1
      if (at < 0 || at > before.count) {
        throw new RangeError(
          `frame ${first.header.index} does not join a log of (${before.base.index}, ${this.end.index}]`,
        )
      }
      const hole = holeAcross(before.holes, first.header.index - 1)
      if (hole !== undefined) throw new LogDamaged(this.group, hole)
      assertJoined(this.group, write.frames, at === 0 ? before.base : positionAfter(before.frames[at - 1]!))
      const kept = at === before.frames.length ? before.frames : before.frames.slice(0, at)
      for (const frame of write.frames) {
        kept.push(frame)
        bytes += frame.bytes.length
      }
      const holes = holesWithin(before.holes, before.base.index, first.header.index - 1)
      after = { ...after, frames: kept, count: kept.length, holes }
    }
    this.#enqueue({ bytes, after, done })
  }

  async read(from: number, to: number, bytesMax: number): Promise<readonly Frame[]> {
    this.#assertOpen()
    if (from <= this.base.index) throw compacted(this.group, `index ${from}`, `index ${this.base.index + 1}`)
    const hole = holeAt(this.holes, from)
    if (hole !== undefined) throw new LogDamaged(this.group, hole)
    const frames = this.readCached(from, to, bytesMax)
    if (frames === null) {
      throw new LogError(
        'OUT_OF_RANGE',
        `group ${this.group} ends at index ${this.end.index}; asked for [${from}, ${to})`,
      )
    }
    return frames
  }

  readCached(from: number, to: number, bytesMax: number): readonly Frame[] | null {
    const { base, frames, count, holes } = this.#next
    if (holeAt(holes, from) !== undefined) return null
    const nextHole = holes.find(({ before }) => before.index >= from)?.before.index ?? Number.POSITIVE_INFINITY
    const first = from - base.index - 1
    const stop = Math.min(to - base.index - 1, count, nextHole - base.index)
    if (first < 0 || first >= stop) return null
    let end = first
    for (let bytes = 0; end < stop; end++) {
      bytes += frames[end]!.bytes.length
      if (bytes > bytesMax && end > first) break
    }
    return frames.slice(first, end)
  }

  async indexOfOffset(offset: number): Promise<number> {
    this.#assertOpen()
    const { base, frames, count } = this.#next
    if (offset < base.nextOffset) throw compacted(this.group, `offset ${offset}`, `offset ${base.nextOffset}`)
    return this.#outsideHoles(base.index + 1 + firstWhere(0, count, at => nextOffsetAfter(frames[at]!.header) > offset))
  }

  async offsetAtTime(timestamp: number): Promise<number> {
    this.#assertOpen()
    const { base, frames, count } = this.#next
    const at = firstWhere(0, count, i => frames[i]!.header.timestamp >= timestamp)
    this.#outsideHoles(base.index + 1 + at)
    return at < count ? frames[at]!.header.baseOffset : this.end.nextOffset
  }

  /** @throws LogDamaged */
  #outsideHoles(index: number): number {
    const hole = holeAt(this.holes, index)
    if (hole !== undefined) throw new LogDamaged(this.group, hole)
    return index
  }

  trimPrefix(base: BaseRecord): Promise<void> {
    this.#assertOpen()
    const before = this.#next
    const hole = holeAcross(before.holes, base.index)
    if (hole !== undefined) return Promise.reject(new LogDamaged(this.group, hole))
    if (base.index <= before.base.index) return this.idle()
    const at = base.index - before.base.index
    if (at > before.count) throw new RangeError(`cannot trim to ${base.index}, the log ends at ${this.end.index}`)
    if (before.frames[at - 1]!.header.chain !== base.chain) {
      throw new RangeError(`the base record at ${base.index} is not of this log: another chain`)
    }
    const frames = before.frames.slice(at, before.count)
    const moved = { ...base, voidBelow: before.base.voidBelow }
    const commit = Math.max(before.commit, base.index)
    const holes = holesWithin(before.holes, base.index, Number.POSITIVE_INFINITY)
    const after = { ...before, base: moved, commit, frames, count: frames.length, holes }
    return new Promise(resolve => this.#enqueue({ bytes: 0, after, done: resolve }))
  }

  reset(base: BaseRecord): Promise<void> {
    this.#assertOpen()
    const after = { ...this.#next, base, commit: base.index, frames: [], count: 0, holes: [] }
    return new Promise(resolve => this.#enqueue({ bytes: 0, after, done: resolve }))
  }

  async patch(frames: readonly Frame[], upTo?: LogPosition): Promise<boolean> {
    this.#assertOpen()
    await this.idle()
    const before = this.#next
    const first = frames[0]?.header.index
    const hole = before.holes.find(each => each.before.index + 1 === first)
    if (hole === undefined || !fillsHole(this.group, hole, frames, upTo)) return false
    const patched = before.frames.slice(0, before.count)
    for (const frame of frames) patched[frame.header.index - before.base.index - 1] = frame
    const rest = upTo === undefined || upTo.index === hole.last.index ? [] : [{ before: upTo, last: hole.last }]
    const holes = before.holes.flatMap(each => (each === hole ? rest : [each]))
    return new Promise(resolve =>
      this.#enqueue({ bytes: 0, after: { ...before, frames: patched, holes }, done: () => resolve(true) }),
    )
  }

  /** Resolves when everything queued so far is durable. */
  idle(): Promise<void> {
    return new Promise(resolve => this.#enqueue({ bytes: 0, after: this.#next, done: resolve }))
  }

  /** Forgets what is queued; its callbacks are never called. */
  stop(): void {
    this.#stopped = true
    this.#queue.length = 0
  }

  #enqueue(operation: Operation): void {
    this.#next = operation.after
    this.#pendingBytes += operation.bytes
    this.#queue.push(operation)
    if (this.#scheduled) return
    this.#scheduled = true
    this.#schedule(() => this.#flush())
  }

  #flush(): void {
    this.#scheduled = false
    for (const operation of this.#queue.splice(0)) {
      if (this.#stopped) return
      this.#stored = operation.after
      this.#pendingBytes -= operation.bytes
      operation.done()
    }
  }

  #assertOpen(): void {
    if (this.#stopped) throw new LogError('CLOSED', `the log of group ${this.group} is closed`)
  }
}

function compacted(group: number, asked: string, first: string): LogError {
  return new LogError('COMPACTED', `group ${group} no longer holds ${asked}; its log starts at ${first}`)
}
