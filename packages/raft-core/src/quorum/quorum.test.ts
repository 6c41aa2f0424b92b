import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jointCommitted, jointVote } from './joint.ts'
import { majorityCommitted, majorityVote } from './majority.ts'

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 7 })
const indexes = fc.dictionary(fc.integer({ min: 1, max: 9 }).map(String), fc.integer({ min: 0, max: 20 }))
const votes = fc.dictionary(fc.integer({ min: 1, max: 9 }).map(String), fc.boolean())

/** By counting for every index that occurs. */
function byCounting(voters: readonly number[], of: (id: number) => number | undefined): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY
  const all = voters.map(id => of(id) ?? 0)
  return Math.max(0, ...all.filter(index => all.filter(other => other >= index).length * 2 > voters.length))
}

/** By intersecting all majorities: the highest index that some majority has reached as a whole. */
function bySubsets(voters: readonly number[], of: (id: number) => number | undefined): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY
  let best = 0
  for (let mask = 0; mask < 1 << voters.length; mask++) {
    const chosen = voters.filter((_, i) => mask & (1 << i))
    if (chosen.length * 2 > voters.length) best = Math.max(best, Math.min(...chosen.map(id => of(id) ?? 0)))
  }
  return best
}

describe('committed index', () => {
  it('is the same by three independent computations', () => {
    fc.assert(
      fc.property(ids, indexes, (voters, known) => {
        const of = (id: number): number | undefined => known[id]
        const index = majorityCommitted(voters, of)
        expect(index).toBe(byCounting(voters, of))
        expect(index).toBe(bySubsets(voters, of))
      }),
    )
  })

  it('of a joint configuration is the lower of both halves, whichever comes first', () => {
    fc.assert(
      fc.property(ids, ids, indexes, (voters, votersOutgoing, known) => {
        const of = (id: number): number | undefined => known[id]
        const joint = jointCommitted({ voters, votersOutgoing }, of)
        expect(joint).toBe(Math.min(byCounting(voters, of), byCounting(votersOutgoing, of)))
        expect(joint).toBe(jointCommitted({ voters: votersOutgoing, votersOutgoing: voters }, of))
      }),
    )
  })

  it('never falls when an acknowledgement rises', () => {
    fc.assert(
      fc.property(ids, ids, indexes, fc.integer({ min: 1, max: 9 }), (voters, votersOutgoing, known, riser) => {
        const sets = { voters, votersOutgoing }
        const before = jointCommitted(sets, id => known[id])
        const after = jointCommitted(sets, id => (known[id] ?? 0) + (id === riser ? 3 : 0))
        expect(after).toBeGreaterThanOrEqual(before)
      }),
    )
  })

  it('of nobody is everything', () => {
    expect(majorityCommitted([], () => 0)).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('vote', () => {
  it('is won or lost exactly when no missing answer could change it', () => {
    fc.assert(
      fc.property(ids, ids, votes, (voters, votersOutgoing, cast) => {
        const sets = { voters, votersOutgoing }
        const result = jointVote(sets, id => cast[id])
        const best = jointVote(sets, id => cast[id] ?? true)
        const worst = jointVote(sets, id => cast[id] ?? false)
        const expected = best === worst ? best : 'pending'
        expect(result).toBe(expected)
      }),
    )
  })

  it('of a joint configuration is won in both halves, and lost in either', () => {
    const by = (voters: readonly number[], of: (id: number) => boolean | undefined): [yes: boolean, no: boolean] => {
      const counted = (wanted: boolean): number => voters.filter(id => of(id) === wanted).length
      return [
        voters.length === 0 || counted(true) * 2 > voters.length,
        counted(false) * 2 >= Math.max(1, voters.length),
      ]
    }
    fc.assert(
      fc.property(ids, ids, votes, (voters, votersOutgoing, cast) => {
        const halves = [voters, votersOutgoing].map(half => by(half, id => cast[id]))
        const isWon = halves.every(([yes]) => yes)
        const isLost = halves.some(([, no]) => no)
        expect(jointVote({ voters, votersOutgoing }, id => cast[id])).toBe(isWon ? 'won' : isLost ? 'lost' : 'pending')
      }),
    )
  })

  it('of an even set needs more than half', () => {
    expect(majorityVote([1, 2], id => (id === 1 ? true : undefined))).toBe('pending')
    expect(majorityVote([1, 2], id => id === 1)).toBe('lost')
  })
})
