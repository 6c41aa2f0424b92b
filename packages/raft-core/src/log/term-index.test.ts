import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TermIndex } from './term-index.ts'

/** The plain way: one term per entry, from index 1 on. */
class NaiveTerms {
  first = 1
  terms: number[] = []

  get last(): number {
    return this.first + this.terms.length - 1
  }

  termAt(index: number): number | undefined {
    return this.terms[index - this.first]
  }
}

const operation = fc.oneof(
  fc.record({ kind: fc.constant('append' as const), step: fc.integer({ min: 0, max: 2 }) }),
  fc.record({ kind: fc.constant('truncate' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({ kind: fc.constant('drop' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
)

describe('TermIndex', () => {
  it('answers like a list of terms, whatever was appended, truncated and dropped', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), operations => {
        const index = new TermIndex([])
        const naive = new NaiveTerms()
        let term = 1
        for (const op of operations) {
          if (op.kind === 'append') {
            term += op.step
            index.append(naive.last + 1, term)
            naive.terms.push(term)
          } else {
            const at = naive.first + Math.floor(op.part * naive.terms.length)
            if (op.kind === 'truncate') {
              index.truncateFrom(at)
              naive.terms.length = at - naive.first
              term = naive.terms.at(-1) ?? term
            } else if (at <= naive.last) {
              index.dropTo(at, naive.last)
              naive.terms.splice(0, at + 1 - naive.first)
              naive.first = at + 1
            }
          }
          for (let i = naive.first; i <= naive.last; i++) expect(index.termAt(i)).toBe(naive.termAt(i))
          expect(index.termAt(naive.first - 1)).toBeUndefined()
        }
      }),
    )
  })

  it('finds the highest entry at or below an index with at most a term', () => {
    const index = new TermIndex([
      { first: 1, term: 1 },
      { first: 4, term: 3 },
      { first: 8, term: 6 },
    ])
    expect(index.highestWithTermAtMost(9, 6)).toEqual({ index: 9, term: 6 })
    expect(index.highestWithTermAtMost(9, 5)).toEqual({ index: 7, term: 3 })
    expect(index.highestWithTermAtMost(5, 5)).toEqual({ index: 5, term: 3 })
    expect(index.highestWithTermAtMost(9, 2)).toEqual({ index: 3, term: 1 })
    expect(index.highestWithTermAtMost(9, 0)).toBeUndefined()
  })

  it('keeps one run per term', () => {
    const index = new TermIndex([])
    for (let i = 1; i <= 1_000; i++) index.append(i, i <= 500 ? 1 : 2)
    expect(index.runs).toEqual([
      { first: 1, term: 1 },
      { first: 501, term: 2 },
    ])
  })
})
