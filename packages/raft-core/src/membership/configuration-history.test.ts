import { describe, expect, it } from 'vitest'
import type { InitialState } from '../config.ts'
import type { Configuration } from '../configuration.ts'
import { EMPTY_CONFIGURATION } from './changer.ts'
import { ConfigurationHistory } from './configuration-history.ts'

function voters(...ids: number[]): Configuration {
  return { ...EMPTY_CONFIGURATION, voters: ids }
}

function history(state: Partial<InitialState<unknown>>): ConfigurationHistory {
  return new ConfigurationHistory({
    hardState: { term: 1, vote: 0, commit: 20 },
    base: { index: 5, term: 1 },
    lastIndex: 20,
    terms: [{ first: 6, term: 1 }],
    configuration: voters(1, 2, 3),
    configurationIndex: 12,
    applied: 5,
    ...state,
  })
}

describe('ConfigurationHistory', () => {
  it('knows the base when it is told, and everything that is applied after it', () => {
    const subject = history({ baseConfiguration: voters(1), baseConfigurationIndex: 3 })
    subject.record({ index: 8, configuration: voters(1, 2) })
    expect(subject.at(5)).toMatchObject({ index: 3, configuration: voters(1) })
    expect(subject.at(7)).toMatchObject({ index: 3 })
    expect(subject.at(9)).toMatchObject({ index: 8 })
    expect(subject.at(12)).toMatchObject({ index: 12 })
    expect(subject.newestIndex).toBe(12)
  })

  it('does not guess across changes that will not be applied again', () => {
    const subject = history({ baseConfiguration: voters(1), applied: 15 })
    expect(subject.at(5)).toMatchObject({ configuration: voters(1) })
    expect(subject.at(9)).toBeUndefined()
    subject.record({ index: 8, configuration: voters(1, 2) }, 9)
    expect(subject.at(9)).toMatchObject({ index: 8 })
    expect(subject.at(10)).toBeUndefined()
  })

  it('learns that what is in force at the base stays so for longer', () => {
    const subject = history({ baseConfiguration: voters(1), baseConfigurationIndex: 3, applied: 15 })
    expect(subject.at(9)).toBeUndefined()
    subject.record({ index: 3, configuration: voters(1) }, 9)
    expect(subject.at(9)).toMatchObject({ index: 3, configuration: voters(1) })
    expect(subject.at(10)).toBeUndefined()
    expect(subject.at(12)).toMatchObject({ index: 12 })
    // To hear less than is known makes nothing unknown.
    subject.record({ index: 3, configuration: voters(1) }, 6)
    expect(subject.at(9)).toMatchObject({ index: 3 })
  })

  it('without the configuration of the base knows nothing below the newest one', () => {
    expect(history({}).at(11)).toBeUndefined()
    expect(history({}).at(12)).toBeDefined()
  })

  it('forgets what the base has left behind, but not what is in force there', () => {
    const subject = history({ baseConfiguration: voters(1) })
    subject.record({ index: 8, configuration: voters(1, 2) })
    subject.dropBelow(10)
    expect(subject.at(10)).toMatchObject({ index: 8 })
    expect(subject.at(6)).toBeUndefined()
  })
})
