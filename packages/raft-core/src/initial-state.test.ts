import { describe, expect, it } from 'vitest'
import type { InitialState } from './config.ts'
import { checkInitialState } from './initial-state.ts'
import { EMPTY_CONFIGURATION } from './membership/changer.ts'

const GOOD: InitialState<string> = {
  hardState: { term: 4, vote: 0, commit: 6 },
  base: { index: 5, term: 2 },
  lastIndex: 8,
  terms: [
    { first: 6, term: 2 },
    { first: 8, term: 4 },
  ],
  configuration: { ...EMPTY_CONFIGURATION, voters: [1] },
  configurationIndex: 5,
  applied: 5,
  entries: [{ index: 8, term: 4, kind: 'normal', size: 1, payload: 'x' }],
}

describe('checkInitialState', () => {
  it('takes the state of a log, and of an empty replica', () => {
    expect(() => checkInitialState(GOOD)).not.toThrow()
    expect(() =>
      checkInitialState({
        ...GOOD,
        hardState: { term: 0, vote: 0, commit: 0 },
        base: { index: 0, term: 0 },
        lastIndex: 0,
        terms: [],
        applied: 0,
        entries: [],
      }),
    ).not.toThrow()
  })

  it.each<[string, Partial<InitialState<string>>]>([
    ['it ends before it begins', { lastIndex: 4 }],
    ['commit 9 is outside', { hardState: { term: 4, vote: 0, commit: 9 } }],
    ['commit 4 is outside', { hardState: { term: 4, vote: 0, commit: 4 } }],
    ['applied 7 is above commit 6', { applied: 7 }],
    ['the entries given are not its newest ones', { entries: [{ ...GOOD.entries![0]!, index: 7 }] }],
    ['the terms do not begin after its base', { terms: [{ first: 7, term: 2 }] }],
    [
      'terms do not rise',
      {
        terms: [
          { first: 6, term: 4 },
          { first: 8, term: 4 },
        ],
      },
    ],
    ['it is empty but has terms', { hardState: { term: 4, vote: 0, commit: 5 }, lastIndex: 5, entries: [] }],
    [
      'term 4 begins after its end',
      {
        terms: [
          { first: 6, term: 2 },
          { first: 9, term: 4 },
        ],
      },
    ],
    ['its last term 4 is above the current term 3', { hardState: { term: 3, vote: 0, commit: 6 } }],
  ])('refuses: %s', (problem, state) => {
    expect(() => checkInitialState({ ...GOOD, ...state })).toThrow(problem)
  })
})
