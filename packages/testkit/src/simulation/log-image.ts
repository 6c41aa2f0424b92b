/**
 * A replica's log as plain data: a base and the entries after it, with the configuration in force at the base. One image
 * is what the store has said to be durable, another what its log will be once every write that was asked for is done.
 */
import type { BaseRecord, LogPosition } from '@millrace/log-store'
import type { Configuration, LogIndex, Term, TermRun } from '@millrace/raft-core'
import { chainOf, decodedConfiguration, encodedConfiguration, positionAfter, type SimEntry } from './payload.ts'

export interface LogBase extends LogPosition {
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

  /** Where the log stands after `index`; undefined below the base and above the end. */
  position(index: LogIndex): LogPosition | undefined {
    if (index === this.base.index) return this.base
    const entry = this.entry(index)
    return entry === undefined ? undefined : positionAfter(entry)
  }

  /** The chain at the end: everything that the log says, as a number. */
  get chain(): number {
    const last = this.entries[this.entries.length - 1]
    return last === undefined ? this.base.chain : chainOf(last)
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

  /** Replaces the log by a base. */
  restore(base: LogBase): void {
    this.base = base
    this.entries = []
  }

  /** Drops everything up to and including the new base. */
  compactTo(base: LogBase): void {
    if (base.index <= this.base.index) return
    this.entries = this.entries.slice(base.index - this.base.index)
    this.base = base
  }

  /** What the base is once everything up to and including `index` is dropped; undefined where the log has no such entry. */
  baseAt(index: LogIndex): LogBase | undefined {
    const position = this.position(index)
    return position === undefined ? undefined : { ...position, ...this.configurationAt(index) }
  }

  /** The newest configuration at or below `index`. */
  configurationAt(index: LogIndex): { readonly configuration: Configuration; readonly configurationIndex: LogIndex } {
    for (let at = Math.min(index, this.lastIndex); at > this.base.index; at--) {
      const config = this.entry(at)?.config
      if (config !== undefined) return { configuration: config.result, configurationIndex: at }
    }
    const { configuration, configurationIndex } = this.base
    return { configuration, configurationIndex }
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

/** A base as the log store takes it. */
export function recordOf({ configuration, ...base }: LogBase): BaseRecord {
  return { ...base, configuration: encodedConfiguration(configuration), voidBelow: 0 }
}

/** A base as the log store gives it. */
export function baseOf(record: BaseRecord): LogBase {
  const { index, term, chain, timestamp, nextOffset, configurationIndex } = record
  const configuration = decodedConfiguration(record.configuration)
  return { index, term, chain, timestamp, nextOffset, configuration, configurationIndex }
}
