import { expect, test } from 'vitest'
import { ConfigurationTrail, type DatedConfiguration } from './configuration-trail.ts'
import { configurationOf } from './testing/test-cluster.ts'

function dated(index: number): DatedConfiguration {
  return { index, configuration: configurationOf([index]) }
}

function at(trail: ConfigurationTrail, ...indexes: number[]): (number | undefined)[] {
  return indexes.map(index => trail.at(index)?.index)
}

test('one configuration from the base to now is in force everywhere', () => {
  const trail = new ConfigurationTrail({ baseIndex: 10, base: dated(3), newest: dated(3), applied: 50 })
  expect(at(trail, 10, 11, 50)).toEqual([3, 3, 3])
  trail.applied(dated(60))
  expect(at(trail, 59, 60, 70)).toEqual([3, 60, 60])
})

test('what was applied before the start is not guessed: between the base and the newest there may have been others', () => {
  const trail = new ConfigurationTrail({ baseIndex: 10, base: dated(3), newest: dated(40), applied: 50 })
  expect(at(trail, 9, 10, 11, 39, 40, 50)).toEqual([undefined, 3, undefined, undefined, 40, 40])
})

test('where everything since the base is applied again nothing is missing', () => {
  const trail = new ConfigurationTrail({ baseIndex: 10, base: dated(3), newest: dated(40), applied: 10 })
  trail.applied(dated(20))
  trail.applied(dated(40))
  expect(at(trail, 10, 19, 20, 39, 40)).toEqual([3, 3, 20, 20, 40])
})

test('after a trim, or a snapshot, it begins there', () => {
  const trail = new ConfigurationTrail({ baseIndex: 10, base: dated(3), newest: dated(3), applied: 10 })
  for (const index of [20, 30]) trail.applied(dated(index))
  trail.restart(25, dated(20))
  expect(at(trail, 25, 29, 30)).toEqual([20, 20, 30])
  trail.restart(90, dated(70))
  expect(at(trail, 90, 95)).toEqual([70, 70])
})
