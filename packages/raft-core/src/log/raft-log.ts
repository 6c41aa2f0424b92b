/**
 * The log of a replica as the core sees it: positions and terms of everything after the base, references to the newest
 * entries, and how far each stage has come:
 *
 *     base < … applied ≤ applying ≤ commit … ≤ last        durable ≤ submitted ≤ last
 *
 * `submitted` entries are part of an append task; `durable` ones have been acknowledged by storage. Entries above
 * `durable` are always in memory. Commit may run ahead of durable: a quorum of others can commit what is not on this
 * disk yet; such entries are applied only once they are durable here.
 */
import type { TermRun } from '../config.ts'
import type { Entry, LogIndex, Term } from '../entry.ts'
import type { SnapshotMeta } from '../message.ts'
import { EntryWindow } from './entry-window.ts'
import { type InitialHole, LogHoles } from './log-holes.ts'
import { TermIndex } from './term-index.ts'

export interface EntryId {
  readonly index: LogIndex
  readonly term: Term
}

export interface LogStart<P> {
  readonly base: EntryId
  readonly lastIndex: LogIndex
  readonly terms: readonly TermRun[]
  readonly commit: LogIndex
  readonly entries: readonly Entry<P>[]
  readonly configIndexes: readonly LogIndex[]
  readonly cacheBytesMax: number
  readonly holes: readonly InitialHole[]
}

export class RaftLog<P> {
  base: EntryId
  commit: LogIndex
  durable: LogIndex
  submitted: LogIndex
  /** A snapshot on its way into storage; nothing is applied until it is there. */
  snapshot: { readonly meta: SnapshotMeta<P>; submitted: boolean } | undefined
  /** Indexes of configuration entries that may not be in force yet, rising. */
  configIndexes: LogIndex[]
  readonly window: EntryWindow<P>
  readonly terms: TermIndex
  readonly holes: LogHoles
  #last: LogIndex
  readonly #cacheBytesMax: number

  constructor(start: LogStart<P>) {
    this.base = start.base
    this.#last = start.lastIndex
    this.commit = start.commit
    this.durable = start.lastIndex
    this.submitted = start.lastIndex
    this.terms = new TermIndex(start.terms)
    this.holes = new LogHoles(start.holes)
    this.window = new EntryWindow<P>(start.lastIndex + 1 - start.entries.length)
    this.window.append(start.entries)
    this.configIndexes = [...start.configIndexes]
    this.#cacheBytesMax = start.cacheBytesMax
    this.window.evict(this.durable, this.#cacheBytesMax)
  }

  get lastIndex(): LogIndex {
    return this.#last
  }

  get lastTerm(): Term {
    return this.term(this.#last)!
  }

  /** Term of the entry at `index`; undefined below the base, above the end, and in a hole where nobody here knows it. */
  term(index: LogIndex): Term | undefined {
    if (index < this.base.index || index > this.#last || this.holes.hidingTerm(index)) return undefined
    return index === this.base.index ? this.base.term : this.terms.termAt(index)
  }

  matches(id: EntryId): boolean {
    return this.term(id.index) === id.term
  }

  /** Raft paper, section 5.4.1: the later last term wins, then the longer log. */
  isUpToDate(candidate: EntryId): boolean {
    const lastTerm = this.lastTerm
    return candidate.term > lastTerm || (candidate.term === lastTerm && candidate.index >= this.#last)
  }

  /**
   * Where this log may agree with one that has `term` at or after `index`: the highest entry at or below `index` with a
   * term at or below `term`. Term 0 says that the term at the answered index is not known here.
   */
  agreementHint(index: LogIndex, term: Term): EntryId {
    if (index > this.#last || index < this.base.index) return { index, term: 0 }
    const found = index === this.base.index ? undefined : this.terms.highestWithTermAtMost(index, term)
    if (found !== undefined) return this.#outsideHole(found)
    if (this.base.term <= term) return this.base
    return { index: Math.max(0, this.base.index - 1), term: 0 }
  }

  /** The terms inside a hole are not below that of the entry before it: that entry is the last one that is known to agree. */
  #outsideHole(hint: EntryId): EntryId {
    const hole = this.holes.hidingTerm(hint.index)
    return hole === undefined ? hint : { index: hole.first - 1, term: this.term(hole.first - 1)! }
  }

  /**
   * Index of the first of `entries` that is not in the log with the same term; 0 when none is known to differ. In a hole an
   * entry differs for certain where its term is above that of the hole's last one.
   */
  firstConflict(entries: readonly Entry<P>[]): LogIndex {
    for (const { index, term } of entries) {
      const here = this.term(index)
      if (here === term) continue
      const hole = this.holes.hidingTerm(index)
      if (hole === undefined || term > this.term(hole.last)!) return index
    }
    return 0
  }

  /** Terms of entries that storage can read again. They may be the first ones of a hole that goes on. */
  filled(first: LogIndex, last: LogIndex, runs: readonly TermRun[]): void {
    this.terms.replace(first, last, runs)
    this.holes.filled(first, last)
  }

  /** A configuration entry that may not be in force yet. */
  rememberConfig(index: LogIndex): void {
    if (this.configIndexes.includes(index)) return
    this.configIndexes = [...this.configIndexes, index].sort((a, b) => a - b)
  }

  /** Appends entries from position `from` of the array on, at least one; whatever the log held from there on is replaced. */
  append(entries: readonly Entry<P>[], from = 0): void {
    const first = entries[from]!.index
    if (first <= this.#last) this.#truncateFrom(first)
    this.window.append(entries, from)
    for (let i = from; i < entries.length; i++) {
      const entry = entries[i]!
      this.terms.append(entry.index, entry.term)
      if (entry.kind === 'config') this.configIndexes.push(entry.index)
    }
    this.#last = entries[entries.length - 1]!.index
  }

  #truncateFrom(index: LogIndex): void {
    this.window.truncateFrom(index)
    this.terms.truncateFrom(index)
    this.holes.truncateFrom(index)
    this.configIndexes = this.configIndexes.filter(at => at < index)
    this.#last = index - 1
    // What replaces a durable or submitted entry has to be written again.
    this.durable = Math.min(this.durable, index - 1)
    this.submitted = Math.min(this.submitted, index - 1)
  }

  /** Entries that no append task has held yet. */
  unsubmitted(): Entry<P>[] {
    return this.submitted === this.#last
      ? []
      : this.window.slice(this.submitted + 1, this.#last + 1, Number.POSITIVE_INFINITY)
  }

  /** Marks entries and snapshot as handed out. */
  submit(): void {
    this.submitted = this.#last
    if (this.snapshot !== undefined) this.snapshot.submitted = true
  }

  /**
   * Storage holds everything up to `id`. Ignored where the log has another entry there by now: then the write that
   * replaced it is still on its way.
   */
  durableTo(id: EntryId): void {
    if (id.index <= this.durable || !this.matches(id)) return
    this.durable = id.index
    this.submitted = Math.max(this.submitted, id.index)
    this.window.evict(this.durable, this.#cacheBytesMax)
  }

  commitTo(index: LogIndex): boolean {
    if (index <= this.commit) return false
    if (index > this.#last) {
      throw new Error(`commit index ${index} is beyond the end of the log at ${this.#last}: entries were lost`)
    }
    this.commit = index
    return true
  }

  /** The highest entry that may be applied: committed and durable here. */
  appliable(): LogIndex {
    return this.snapshot === undefined ? Math.min(this.commit, this.durable) : 0
  }

  /** Replaces the whole log by a snapshot. */
  restore(meta: SnapshotMeta<P>): void {
    this.base = { index: meta.index, term: meta.term }
    this.#last = meta.index
    this.commit = meta.index
    this.durable = meta.index
    this.submitted = meta.index
    this.terms.truncateFrom(0)
    this.holes.truncateFrom(0)
    this.window.restart(meta.index + 1)
    this.configIndexes = []
    this.snapshot = { meta, submitted: false }
  }

  snapshotInstalled(index: LogIndex): void {
    if (this.snapshot?.meta.index === index) this.snapshot = undefined
  }

  /** The stored log now starts after `id`. */
  compactTo(id: EntryId): void {
    if (id.index <= this.base.index) return
    if (id.index > this.durable) {
      throw new Error(`log compacted to ${id.index}, above what is durable (${this.durable})`)
    }
    this.terms.dropTo(id.index, this.#last)
    this.holes.dropTo(id.index)
    this.window.dropTo(id.index)
    this.base = id
  }

  /** A configuration entry in (after, to]? */
  hasConfigEntry(after: LogIndex, to: LogIndex): boolean {
    return this.configIndexes.some(index => index > after && index <= to)
  }

  /** Configuration entries at or below `index` are in force and need not be remembered. */
  configsAppliedTo(index: LogIndex): void {
    if (this.configIndexes.length > 0 && this.configIndexes[0]! <= index) {
      this.configIndexes = this.configIndexes.filter(at => at > index)
    }
  }
}
