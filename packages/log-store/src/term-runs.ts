/** The terms of a log, gathered from its segments and patches in any order: as runs above the base. */
import { extendTerms } from './frame-sequence.ts'
import type { Patch } from './log-pieces.ts'
import type { StoredTermRun } from './log-store.ts'
import type { SegmentGap } from './segment.ts'
import type { SegmentScan } from './segment-scanner.ts'

interface TermPoint {
  readonly index: number
  readonly term: number
}

export class TermRuns {
  readonly #points: TermPoint[] = []

  /** The entry at `index` has this term. */
  add(index: number, term: number): void {
    this.#points.push({ index, term })
  }

  /** What a scan found up to `limit`: the first entry of each term, and what is known of gaps. */
  addScan({ index, gaps }: Pick<SegmentScan, 'index' | 'gaps'>, limit: number): void {
    for (const entry of index.entries) if (entry.index <= limit) this.add(entry.index, entry.term)
    for (const gap of gaps) if (gap.last.index <= limit) this.addGap(gap)
  }

  /** Before what patches tell of it. */
  addGap({ before, last }: Pick<SegmentGap, 'before' | 'last'>): void {
    if (before.index === last.index) return
    this.add(before.index + 1, before.term)
    this.add(last.index, last.term)
  }

  addPatch({ source }: Patch): void {
    for (const entry of source.index?.entries ?? []) if (entry.index <= source.limit) this.add(entry.index, entry.term)
  }

  /** Runs of the entries in (baseIndex, lastIndex]; an entry that nothing is known of has the term of the one before it. */
  within(baseIndex: number, lastIndex: number): readonly StoredTermRun[] {
    const runs: StoredTermRun[] = []
    for (const { index, term } of this.#points.toSorted((a, b) => a.index - b.index)) {
      const first = Math.max(index, baseIndex + 1)
      if (first > lastIndex) break
      if (runs.at(-1)?.first === first) runs.pop()
      extendTerms(runs, first, term)
    }
    return runs
  }
}
