/**
 * A replica's log as plain data: a base and the entries after it, with the configuration in force at the base. One image
 * is what the disk holds, another what it will hold once every write that was asked for is done.
 */
import type { Configuration, LogIndex, Term, TermRun } from '@millrace/raft-core'
import type { SimEntry, SimSnapshot } from './payload.ts'

export interface LogBase {
  readonly index: LogIndex
  readonly term: Term
  readonly configuration: Configuration
  /** Index of the entry that brought `configuration`. */
  readonly configurationIndex: LogIndex
}

export class LogImage {
  base: LogBase
  /** (base.index, lastIndex] */
  entries: SimEntry[]

  constructor(base: LogBase, entries: readonly SimEntry[] = []) {
    this.base = base
    this.entries = [...entries]
  }

  get lastIndex(): LogIndex {
    return this.base.index + this.entries.length
  }

  get lastTerm(): Term {
    return this.entries[this.entries.length - 1]?.term ?? this.base.term
  }

  /** Undefined at or below the base and above the end. */
  entry(index: LogIndex): SimEntry | undefined {
    return this.entries[index - this.base.index - 1]
  }

  /** Undefined below the base and above the end. */
  term(index: LogIndex): Term | undefined {
    return index === this.base.index ? this.base.term : this.entry(index)?.term
  }

  /** Removes everything from `index` on. */
  truncateFrom(index: LogIndex): void {
    if (index <= this.lastIndex) this.entries.length = Math.max(0, index - this.base.index - 1)
  }

  /** Appends; what the log holds at or after the first of them is replaced. */
  append(entries: readonly SimEntry[]): void {
    const first = entries[0]
    if (first === undefined) return
    if (first.index <= this.base.index || first.index > this.lastIndex + 1) {
      throw new Error(`entry ${first.index} does not join a log of (${this.base.index}, ${this.lastIndex}]`)
    }
    this.truncateFrom(first.index)
    for (const entry of entries) this.entries.push(entry)
  }

  /** Replaces the log by the base that a snapshot stands for. */
  restore(snapshot: SimSnapshot): void {
    const { index, term, configuration } = snapshot
    this.base = { index, term, configuration, configurationIndex: snapshot.configurationIndex ?? index }
    this.entries = []
  }

  /** Drops everything up to and including `index`. */
  compactTo(index: LogIndex): void {
    if (index <= this.base.index) return
    const term = this.term(index)
    if (term === undefined) throw new Error(`a log that ends at ${this.lastIndex} is to be compacted to ${index}`)
    const { configuration, configurationIndex } = this.configurationAt(index)
    const kept = this.entries.slice(index - this.base.index)
    this.base = { index, term, configuration, configurationIndex }
    this.entries = kept
  }

  /** The newest configuration at or below `index`. */
  configurationAt(index: LogIndex): { readonly configuration: Configuration; readonly configurationIndex: LogIndex } {
    for (let at = Math.min(index, this.lastIndex); at > this.base.index; at--) {
      const config = this.entry(at)?.config
      if (config !== undefined) return { configuration: config.result, configurationIndex: at }
    }
    return this.base
  }

  /** Indexes of configuration entries above `index`, rising. */
  configurationsAbove(index: LogIndex): LogIndex[] {
    return this.entries.filter(entry => entry.index > index && entry.kind === 'config').map(entry => entry.index)
  }

  /** The terms of the entries as runs. */
  termRuns(): TermRun[] {
    const runs: TermRun[] = []
    for (const entry of this.entries) {
      if (runs[runs.length - 1]?.term !== entry.term) runs.push({ first: entry.index, term: entry.term })
    }
    return runs
  }

  copy(): LogImage {
    return new LogImage(this.base, this.entries)
  }
}
