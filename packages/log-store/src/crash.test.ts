/** Crashes at every operation of recorded workloads; `pnpm chaos:disk` does the same with many more seeds. */
import { describe, expect, test } from 'vitest'
import { CRASH_MODES, exploreCrashes } from './testing/crash-exploration.ts'
import { CrashModel, CrashViolation } from './testing/crash-model.ts'
import { WORKLOAD_NAMES } from './testing/crash-workloads.ts'

const STATES_MIN = 1_000
let states = 0

describe.each(WORKLOAD_NAMES)('stopped at every operation: %s', workload => {
  test.each(CRASH_MODES.map(mode => [mode.name, mode] as const))('%s', async (_name, mode) => {
    const seed = 1 + CRASH_MODES.indexOf(mode) * 2
    const visited = (await exploreCrashes(workload, mode, seed)) + (await exploreCrashes(workload, mode, seed + 1))
    expect(visited).toBeGreaterThan(40)
    states += visited
  })
})

test(`at least ${STATES_MIN} crash states were visited`, () => {
  process.stdout.write(`${states} crash states visited, 0 violations\n`)
  expect(states).toBeGreaterThanOrEqual(STATES_MIN)
})

test('a state that was not promised is a violation', () => {
  const model = new CrashModel()
  const acknowledge = model.submit({ exists: true, base: 1, frames: ['a'] }, { term: 2, vote: 1 })
  model.assertPromised({ exists: false, base: 0, frames: [] }, '0/0')
  acknowledge()
  expect(() => model.assertPromised({ exists: false, base: 0, frames: [] }, '2/1')).toThrow(CrashViolation)
  expect(() => model.assertPromised({ exists: true, base: 1, frames: ['b'] }, '2/1')).toThrow(CrashViolation)
  expect(() => model.assertPromised({ exists: true, base: 1, frames: ['a'] }, '0/0')).toThrow(CrashViolation)
  model.assertPromised({ exists: true, base: 1, frames: ['a'] }, '2/1')
})
