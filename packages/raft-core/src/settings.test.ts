import { describe, expect, it } from 'vitest'
import { DEFAULTS, resolveConfig } from './settings.ts'

describe('resolveConfig', () => {
  it('fills in the defaults and keeps what is given', () => {
    expect(resolveConfig({ id: 3, electionTicks: 20 })).toEqual({
      ...DEFAULTS,
      id: 3,
      electionTicks: 20,
      trace: undefined,
    })
  })

  it.each([
    ['id is 0', { id: 0 }],
    ['electionTicks 1 must be above heartbeatTicks 1', { id: 1, electionTicks: 1 }],
    ['heartbeatTicks is 0', { id: 1, heartbeatTicks: 0 }],
    ['inflightMessagesMax is 0', { id: 1, inflightMessagesMax: 0 }],
    ['messageBytesMax is NaN', { id: 1, messageBytesMax: Number.NaN }],
    ['readMode lease needs checkQuorum', { id: 1, readMode: 'lease' as const, checkQuorum: false }],
  ])('refuses a setting out of range: %s', (message, config) => {
    expect(() => resolveConfig(config)).toThrow(message)
  })
})
