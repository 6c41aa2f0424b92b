/**
 * The storage of one replica, in layers: what is durable, and what has been asked for and becomes durable later, in order.
 * A crash loses what is not durable; of the writes under way it leaves a prefix, and of the first one lost perhaps a part:
 * the vote file without the log, or a log cut for new entries that never came. A commit index by itself is never synced; it
 * becomes durable with the next entries.
 */
import type { AppendTask, LogIndex, ReplicaId, Term } from '@millrace/raft-core'
import type { EventQueue } from './event-queue.ts'
import { type LogBase, LogImage } from './log-image.ts'
import { type Payload, type StateImage, stateOf } from './payload.ts'
import type { DiskPlan } from './plan.ts'
import type { RandomStream } from './random-stream.ts'

export type SimAppendTask = AppendTask<Payload>

export type Write =
  | { readonly kind: 'append'; readonly task: SimAppendTask }
  /** Moves the base of the log up to `index`. */
  | { readonly kind: 'trim'; readonly index: LogIndex; readonly term: Term }

export interface DiskEvents {
  /** A write has been carried out; whether it is durable is what `mustSync` said. */
  carriedOut(write: Write): void
  /** A sync is over: what waited for these writes may go on. */
  completed(writes: readonly Write[]): void
}

/** How far a write came before the power went. */
const PARTS = ['nothing', 'vote', 'cut', 'all'] as const
type Part = (typeof PARTS)[number]

export class ReplicaDisk {
  term: Term
  vote: ReplicaId = 0
  commit: LogIndex
  /** The end of a log that was found shorter than it should be; absent while the log's end is certain. */
  uncertainUntil: { readonly index: LogIndex; readonly term: Term } | undefined
  readonly durable: LogImage
  /** The log as it will be once everything that was asked for is durable. */
  view: LogImage
  /** The newest image of the state machine that survives a crash. */
  checkpoint: StateImage
  /** Nothing is finished before this time. */
  stalledUntilUs = 0
  /** Multiplies the time of every write. */
  slowness = 1

  readonly #queue: EventQueue
  readonly #random: RandomStream
  readonly #plan: DiskPlan
  #events: DiskEvents | undefined
  /** Learned, and durable with the next entries. */
  #looseCommit: LogIndex
  /** Written without a sync. */
  #unsynced: Write[] = []
  #waiting: Write[] = []
  #underWay: Write[] = []
  #epoch = 0

  constructor(base: LogBase, checkpoint: StateImage, queue: EventQueue, random: RandomStream, plan: DiskPlan) {
    this.term = base.term
    this.commit = base.index
    this.#looseCommit = base.index
    this.durable = new LogImage(base)
    this.view = this.durable.copy()
    this.checkpoint = checkpoint
    this.#queue = queue
    this.#random = random
    this.#plan = plan
  }

  /** The process that uses this disk from now on. */
  open(events: DiskEvents): void {
    this.#events = events
  }

  get idle(): boolean {
    return this.#underWay.length === 0
  }

  /** A snapshot is on its way into the log. */
  get installing(): boolean {
    return [...this.#underWay, ...this.#waiting].some(
      write => write.kind === 'append' && write.task.snapshot !== undefined,
    )
  }

  /** Takes a write; it is carried out after those before it. */
  submit(write: Write): void {
    if (write.kind === 'trim') this.view.compactTo(write.index)
    else {
      if (write.task.snapshot !== undefined) this.view.restore(write.task.snapshot)
      this.view.append(write.task.entries)
    }
    this.#waiting.push(write)
    this.#start()
  }

  /**
   * The power goes, or the process dies with its writes half done.
   *
   * @param torn whether a write may be left half done; else a prefix of whole writes stays
   */
  crash(torn: boolean): void {
    this.#epoch++
    const whole = this.#random.int(this.#underWay.length + 1)
    for (const write of this.#underWay.slice(0, whole)) this.#carryOut(write)
    const half = this.#underWay[whole]
    if (half !== undefined && torn) this.#carryOutPart(half, this.#random.pick(PARTS))
    const lucky = this.#random.int(this.#unsynced.length + 1)
    for (const write of this.#unsynced.slice(0, lucky)) this.#makeDurable(write, 'all')
    if (this.#random.chance(0.3)) this.commit = Math.max(this.commit, this.#looseCommit)
    this.#looseCommit = this.commit
    this.#unsynced = []
    this.#waiting = []
    this.#underWay = []
    this.view = this.durable.copy()
    this.#events = undefined
  }

  /** The newest `count` durable entries are gone, and what they were is known: the disk lied. Call after a crash. */
  loseTail(count: number): void {
    const { lastIndex, lastTerm } = this.durable
    this.durable.truncateFrom(Math.max(this.durable.base.index, lastIndex - count) + 1)
    if (this.durable.lastIndex === lastIndex) return
    if (this.uncertainUntil === undefined || isAfter(lastTerm, lastIndex, this.uncertainUntil)) {
      this.uncertainUntil = { index: lastIndex, term: lastTerm }
    }
    this.commit = Math.min(this.commit, this.durable.lastIndex)
    this.#looseCommit = this.commit
    this.view = this.durable.copy()
  }

  #start(): void {
    if (this.#underWay.length > 0 || this.#waiting.length === 0) return
    const syncs = this.#takeWaiting()
    const { writeLeastUs, writeMostUs } = this.#plan
    const durationUs = syncs === 0 ? 0 : this.#random.between(writeLeastUs, writeMostUs) * this.slowness
    const epoch = this.#epoch
    this.#queue.after(durationUs, () => this.#finish(epoch))
  }

  /**
   * Takes what the next sync covers. What only waits its turn costs nothing.
   *
   * @returns how many of the writes need the sync
   */
  #takeWaiting(): number {
    let syncs = 0
    let count = 0
    for (const write of this.#waiting) {
      if (needsSync(write) && ++syncs > this.#plan.writesPerSync) break
      count++
    }
    this.#underWay = this.#waiting.splice(0, count)
    return Math.min(syncs, this.#plan.writesPerSync)
  }

  #finish(epoch: number): void {
    if (epoch !== this.#epoch) return
    if (this.stalledUntilUs > this.#queue.nowUs) {
      this.#queue.at(this.stalledUntilUs, () => this.#finish(epoch))
      return
    }
    const writes = this.#underWay
    this.#underWay = []
    for (const write of writes) this.#carryOut(write)
    this.#events?.completed(writes)
    this.#start()
  }

  #carryOut(write: Write): void {
    if (!needsSync(write)) {
      this.#unsynced.push(write)
      if (write.kind === 'append') this.#learnCommit(write.task)
      this.#events?.carriedOut(write)
      return
    }
    for (const earlier of this.#unsynced) this.#makeDurable(earlier, 'all')
    this.#unsynced = []
    this.#makeDurable(write, 'all')
    this.#events?.carriedOut(write)
  }

  #carryOutPart(write: Write, part: Part): void {
    if (!needsSync(write)) return
    this.#makeDurable(write, part)
  }

  #learnCommit(task: SimAppendTask): void {
    if (task.hardState !== undefined) this.#looseCommit = Math.max(this.#looseCommit, task.hardState.commit)
  }

  #makeDurable(write: Write, part: Part): void {
    if (part === 'nothing') return
    if (write.kind === 'trim') {
      if (part === 'all') this.durable.compactTo(write.index)
      return
    }
    const { hardState, snapshot, entries } = write.task
    if (hardState !== undefined) {
      this.term = hardState.term
      this.vote = hardState.vote
    }
    if (part === 'vote') return
    // State first, then the log's base: in between the state is ahead of the log.
    if (snapshot !== undefined && stateOf(snapshot).index > this.checkpoint.index) this.checkpoint = stateOf(snapshot)
    const first = entries[0]
    if (part === 'cut') {
      if (first !== undefined && snapshot === undefined) this.durable.truncateFrom(first.index)
      return
    }
    if (snapshot !== undefined) this.durable.restore(snapshot)
    this.durable.append(entries)
    this.#learnCommit(write.task)
    if (snapshot !== undefined || first !== undefined) {
      this.commit = Math.max(this.commit, Math.min(this.#looseCommit, this.durable.lastIndex))
    }
  }
}

function needsSync(write: Write): boolean {
  return write.kind === 'trim' || write.task.mustSync
}

function isAfter(term: Term, index: LogIndex, other: { readonly index: LogIndex; readonly term: Term }): boolean {
  return term > other.term || (term === other.term && index > other.index)
}
