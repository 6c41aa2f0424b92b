/**
 * The terms of all entries of a log, as runs: logs have few terms, so (term → first index) answers `termAt` for
 * millions of entries out of memory. Holds nothing for entries outside (base, last].
 */
import type { TermRun } from '../config.ts'
import type { LogIndex, Term } from '../entry.ts'

export class TermIndex {
  /** Rising by `first`; `term` rises strictly. */
  readonly #runs: { first: LogIndex; term: Term }[]

  constructor(runs: readonly TermRun[]) {
    this.#runs = runs.map(run => ({ first: run.first, term: run.term }))
  }

  /** The runs, in order; for status and tests. */
  get runs(): readonly TermRun[] {
    return this.#runs
  }

  /** The term of the entry at `index`, which the caller knows to be covered. */
  termAt(index: LogIndex): Term | undefined {
    return this.#runs[this.#runOf(index)]?.term
  }

  /**
   * The highest covered index at or below `index` whose term is at or below `term`.
   *
   * @returns undefined when every covered entry up to `index` has a higher term
   */
  highestWithTermAtMost(index: LogIndex, term: Term): { index: LogIndex; term: Term } | undefined {
    let run = this.#runOf(index)
    let at = index
    while (run >= 0) {
      const { first, term: runTerm } = this.#runs[run]!
      if (runTerm <= term) return { index: at, term: runTerm }
      at = first - 1
      run--
    }
    return undefined
  }

  append(index: LogIndex, term: Term): void {
    const last = this.#runs[this.#runs.length - 1]
    if (last === undefined || last.term !== term) this.#runs.push({ first: index, term })
  }

  /**
   * Says the terms of the entries [first, last] anew. What was known of later ones are lower bounds where they are below the
   * last of these.
   */
  replace(first: LogIndex, last: LogIndex, runs: readonly TermRun[]): void {
    const after = this.#runs.filter(run => run.first > last)
    const term = this.termAt(last + 1)
    const isOwnRun = after[0]?.first === last + 1
    if (term !== undefined && !isOwnRun) after.unshift({ first: last + 1, term })
    this.truncateFrom(first)
    for (const run of runs) this.append(run.first, run.term)
    for (const run of after) {
      const newest = this.#runs[this.#runs.length - 1]?.term ?? 0
      if (run.term > newest) this.#runs.push({ first: run.first, term: run.term })
    }
  }

  /** Drops everything at or above `index`. */
  truncateFrom(index: LogIndex): void {
    while (this.#runs.length > 0 && this.#runs[this.#runs.length - 1]!.first >= index) this.#runs.pop()
  }

  /** Drops everything at or below `index`, which is not below the base; `last` is the end of the log. */
  dropTo(index: LogIndex, last: LogIndex): void {
    if (index >= last) {
      this.#runs.length = 0
      return
    }
    this.#runs.splice(0, this.#runOf(index + 1))
    this.#runs[0]!.first = Math.max(this.#runs[0]!.first, index + 1)
  }

  /** Position of the run that covers `index`; −1 when `index` is below the first run. */
  #runOf(index: LogIndex): number {
    const runs = this.#runs
    let low = 0
    let high = runs.length - 1
    // The newest term is asked for most.
    if (high >= 0 && runs[high]!.first <= index) return high
    while (low <= high) {
      const middle = (low + high) >>> 1
      if (runs[middle]!.first <= index) low = middle + 1
      else high = middle - 1
    }
    return high
  }
}
