/**
 * Ranges of the log that storage holds and cannot read, until they are repaired or replaced. The log still is what it was:
 * its end is known, it votes and acknowledges. What is not known are terms inside a hole whose ends have different ones, and
 * what entries there say.
 *
 * Invariant: ranges rise and are apart. The last entry of a hole has a known term, and so has the one before its first.
 */
import type { LogIndex } from '../entry.ts'

/** Entries [first, last] that cannot be read. */
export interface HoleRange {
  readonly first: LogIndex
  readonly last: LogIndex
}

/** A hole as storage finds it at start. */
export interface InitialHole extends HoleRange {
  /** All of its entries have the term of the one before them; otherwise only the term of the last one is known. */
  readonly oneTerm: boolean
  /** One of them may be a configuration that the core is not told of by other means. */
  readonly mayHoldConfiguration: boolean
}

export class LogHoles {
  #ranges: readonly HoleRange[]
  /** Entries with terms that are not known. */
  #unknownTerms: readonly HoleRange[]
  /** Where a configuration may be that nobody here has read. */
  #unread: readonly HoleRange[]

  constructor(initial: readonly InitialHole[]) {
    this.#ranges = initial.map(({ first, last }) => ({ first, last }))
    this.#unknownTerms = initial
      .filter(hole => !hole.oneTerm && hole.first < hole.last)
      .map(({ first, last }) => ({ first, last: last - 1 }))
    this.#unread = initial.filter(hole => hole.mayHoldConfiguration)
  }

  get ranges(): readonly HoleRange[] {
    return this.#ranges
  }

  get none(): boolean {
    return this.#ranges.length === 0
  }

  /** The hole that has an entry and the one after it: what follows such an entry cannot be told apart from anything else. */
  across(index: LogIndex): HoleRange | undefined {
    return this.#ranges.find(({ first, last }) => first <= index && index < last) ?? this.hidingTerm(index)
  }

  /** The hole in which the term of an entry is not known. */
  hidingTerm(index: LogIndex): HoleRange | undefined {
    if (this.#unknownTerms.length === 0) return undefined
    const found = this.#unknownTerms.find(({ first, last }) => first <= index && index <= last)
    return found && { first: found.first, last: found.last + 1 }
  }

  /** An entry at or below `index` may be a configuration that nobody here has read. */
  hidesConfiguration(index: LogIndex): boolean {
    return this.#unread.some(({ first }) => first <= index)
  }

  /** The newest configuration at or below `index` is known by other means. */
  configurationKnownAt(index: LogIndex): void {
    if (this.#unread.length > 0) this.#unread = this.#unread.flatMap(range => without(range, 0, index))
  }

  /** One of the entries [first, last] cannot be read, or was not when something was to be learned from it. */
  concern(first: LogIndex, last: LogIndex): boolean {
    const all = [...this.#ranges, ...this.#unknownTerms, ...this.#unread]
    return all.some(range => range.first <= last && first <= range.last)
  }

  /** Storage tells what it cannot read now: terms and configurations of what was read before are known. */
  found(ranges: readonly HoleRange[]): void {
    this.#ranges = ranges.map(({ first, last }) => ({ first, last }))
  }

  /** Entries [first, last] can be read. */
  filled(first: LogIndex, last: LogIndex): void {
    this.#cut(range => without(range, first, last))
  }

  /** Entries from `index` on are gone. */
  truncateFrom(index: LogIndex): void {
    this.filled(index, Number.POSITIVE_INFINITY)
  }

  /** Entries up to `index` are gone. */
  dropTo(index: LogIndex): void {
    this.filled(0, index)
  }

  #cut(cut: (range: HoleRange) => readonly HoleRange[]): void {
    if (this.none && this.#unknownTerms.length === 0 && this.#unread.length === 0) return
    this.#ranges = this.#ranges.flatMap(cut)
    this.#unknownTerms = this.#unknownTerms.flatMap(cut)
    this.#unread = this.#unread.flatMap(cut)
  }
}

/** What is left of a range without [first, last]. */
function without(range: HoleRange, first: LogIndex, last: LogIndex): HoleRange[] {
  if (last < range.first || range.last < first) return [range]
  const left: HoleRange[] = []
  if (range.first < first) left.push({ first: range.first, last: first - 1 })
  if (last < range.last) left.push({ first: last + 1, last: range.last })
  return left
}
