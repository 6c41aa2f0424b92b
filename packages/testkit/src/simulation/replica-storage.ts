/**
 * What one replica asks of the log store: seals what its leader made, writes, installs snapshots, trims, fetches. Notes
 * everything in the record that the invariants go by, before it is asked and when it is answered.
 */
import { type GroupLog, LogError, type LogWrite } from '@millrace/log-store'
import type { FetchRequest, LogIndex } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import { invariant, Violation } from './invariants/violation.ts'
import { baseOf, type LogBase, recordOf } from './log-image.ts'
import { frameOf, imageOf, type SimSnapshot, type StateImage, seal } from './payload.ts'
import type { Replica } from './replica.ts'
import type { SimAppendTask, StorageRecord, StorageRequest } from './storage-record.ts'
import type { World } from './world.ts'

const BASES_KEPT = 4
/** Looking at the disk costs as much as a write. */
const ANSWERS_PER_CHECK = 4

type WriteRequest = Extract<StorageRequest, { kind: 'write' }>

export class ReplicaStorage {
  readonly #world: World
  readonly #replica: Replica
  readonly #log: GroupLog
  readonly #record: StorageRecord
  /** Bases that the log has had in this process, by index: the core may still speak of the one before. */
  readonly #bases: Map<LogIndex, LogBase> = new Map()
  /** Term, vote and commit as the core last gave them out. */
  #term: number
  #vote: number
  #commit: LogIndex
  #answers = 0

  constructor(world: World, replica: Replica, log: GroupLog) {
    this.#world = world
    this.#replica = replica
    this.#log = log
    this.#record = replica.disk
    this.#term = replica.disk.term
    this.#vote = replica.disk.vote
    this.#commit = replica.disk.commit
    this.#noteBase(this.#record.view.base)
  }

  /** Entries that the core made itself get their content here, before they are written or sent. */
  seal({ entries, snapshot }: SimAppendTask): void {
    const first = entries[0]
    if (first === undefined) return
    const { view } = this.#record
    let before = snapshot === undefined ? view.position(first.index - 1) : imageOf(snapshot).base
    for (const entry of entries) {
      invariant(
        before !== undefined,
        'writes join the log',
        () => `${this.#replica.name} writes entry ${entry.index} after ${view.lastIndex}`,
      )
      seal(entry, this.#replica.group.id, before, this.#replica.node.wallMs)
      const { header } = frameOf(entry)
      before = { ...header, nextOffset: header.baseOffset + header.recordCount }
    }
  }

  /** Carries out a task: hard state, then snapshot, then entries; its responses leave when all of it is durable. */
  store(task: SimAppendTask): void {
    const { hardState, snapshot, entries } = task
    const voted = hardState !== undefined && (hardState.term !== this.#term || hardState.vote !== this.#vote)
    if (hardState !== undefined) {
      this.#term = hardState.term
      this.#vote = hardState.vote
      this.#commit = hardState.commit
    }
    let ballot = voted ? { term: this.#term, vote: this.#vote } : undefined
    if (snapshot !== undefined) {
      if (ballot !== undefined) this.#write({ kind: 'write', entries: [], ballot, commit: this.#commit }, () => {})
      ballot = undefined
      this.#install(snapshot)
    }
    if (snapshot === undefined && entries.length === 0 && ballot === undefined && this.#record.idle) {
      this.#replica.written(task)
      return
    }
    const request: WriteRequest = { kind: 'write', entries, commit: this.#commit, ...(ballot && { ballot }) }
    this.#write(request, () => this.#replica.written(task))
  }

  /** The end of the log has matched a leader's. */
  clearUncertain(): void {
    this.#write({ kind: 'write', entries: [], commit: this.#commit, clearsUncertain: true }, () => {})
  }

  trim(base: LogBase): void {
    this.#noteBase(base)
    const request: StorageRequest = { kind: 'trim', base }
    this.#record.ask(request)
    this.#log.trimPrefix(recordOf(base)).then(
      () => {
        this.#record.answered(request)
        this.#guarded(() => this.#replica.trimmed(base.index, base.term))
      },
      error => this.#refused(error),
    )
  }

  /** A snapshot of the log's base with a state. */
  snapshotAt(base: LogBase, state: StateImage): SimSnapshot {
    const { index, term, configuration, configurationIndex } = base
    return { index, term, configuration, configurationIndex, payload: { state, base: recordOf(base) } }
  }

  /** The core made up a snapshot of its log's base: what goes with it is found here. */
  fill(snapshot: SimSnapshot, state: StateImage): void {
    if (snapshot.payload !== null) return
    const base = this.#bases.get(snapshot.index)
    if (base === undefined) throw new Error(`${this.#replica.name} sends a snapshot of ${snapshot.index}, no base`)
    snapshot.payload = { state, base: recordOf(base) }
  }

  fetch(
    { from, to, bytesMax }: FetchRequest,
    fetched: (frames: readonly Frame[]) => void,
    failed: (reason: 'io' | 'damaged' | 'compacted') => void,
  ): void {
    const bytes = Math.max(1, bytesMax)
    const cached = this.#log.readCached(from, to, bytes)
    if (cached !== null) {
      fetched(cached)
      return
    }
    this.#log.read(from, to, bytes).then(fetched, (error: unknown) => {
      if (!(error instanceof LogError)) this.#world.fail(error)
      else failed(error.code === 'COMPACTED' ? 'compacted' : error.code === 'DAMAGED' ? 'damaged' : 'io')
    })
  }

  #install(snapshot: SimSnapshot): void {
    const { state, base: record } = imageOf(snapshot)
    const base = baseOf(record)
    this.#noteBase(base)
    // State first, then the log's base: in between the state is ahead of the log.
    if (state.index > this.#record.checkpoint.index) this.#record.checkpoint = state
    this.#record.ask({ kind: 'reset', base })
    this.#log.reset(record).catch((error: unknown) => this.#refused(error))
  }

  #write(request: WriteRequest, done: () => void): void {
    const { entries, ballot, commit, clearsUncertain } = request
    this.#record.ask(request)
    const write: LogWrite = {
      frames: entries.map(frameOf),
      commit,
      ...(ballot && { ballot }),
      ...(clearsUncertain && { clearsUncertain }),
    }
    try {
      this.#log.write(write, () => {
        this.#record.answered(request)
        this.#guarded(() => {
          if (entries.length > 0 && ++this.#answers % ANSWERS_PER_CHECK === 0) this.#checkSynced()
          done()
        })
      })
    } catch (error) {
      this.#refused(error)
    }
  }

  /** What the store calls durable is, whatever happens next. */
  #checkSynced(): void {
    const { group, node } = this.#replica
    invariant(
      node.disk.isNewestSegmentDurable(`log/groups/${group.id}`),
      'nothing counts as durable before its sync',
      () => `${this.#replica.name} is told that ${this.#record.durable.lastIndex} is durable`,
    )
  }

  /** A group whose log turned out to be damaged is taken out by its node; nothing else may be refused. */
  #refused(error: unknown): void {
    if (error instanceof LogError && error.code === 'DAMAGED') return
    this.#world.fail(new Violation('the store takes what joins', `${this.#replica.name}: ${String(error)}`))
  }

  #noteBase(base: LogBase): void {
    this.#bases.set(base.index, base)
    for (const index of this.#bases.keys()) if (this.#bases.size > BASES_KEPT) this.#bases.delete(index)
  }

  /** Runs what the store calls back: a violation is the simulation's, and must not look to the store like a failed write. */
  #guarded(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#world.fail(error)
    }
  }
}
