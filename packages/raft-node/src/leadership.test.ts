import { expect, test } from 'vitest'
import { Leadership } from './leadership.ts'
import type { LeadershipEvent } from './state-machine.ts'

test('proposals are taken once an entry of its own term is applied, and until the leadership or the term ends', () => {
  const events: LeadershipEvent[] = []
  const leadership = new Leadership(4, event => events.push(event))
  leadership.update({ role: 'leader', leader: 1 }, 5, 0)
  expect([leadership.role, leadership.leading]).toEqual(['leader', false])
  // Entries of earlier leaders are applied first, perhaps in batches of their own.
  expect(leadership.appliedTerm(3, 70)).toBe(false)
  expect(leadership.appliedTerm(4, 80)).toBe(false)
  expect([leadership.leading, events]).toEqual([false, []])
  expect(leadership.appliedTerm(5, 90)).toBe(true)
  expect([leadership.leading, events]).toEqual([true, [{ type: 'started', term: 5, nextOffset: 90 }]])
  const quiet = { applied: () => undefined, failed: () => undefined }
  expect([3, 2].map(count => leadership.accepted(9, 5, count, quiet))).toEqual([90, 93])
  leadership.update({ role: 'leader', leader: 1 }, 7, 0)
  expect([leadership.leading, events.at(-1)]).toEqual([false, { type: 'stopped' }])
  expect(leadership.appliedTerm(5, 95)).toBe(false)
  expect(leadership.appliedTerm(7, 95)).toBe(true)
  leadership.update({ role: 'follower', leader: 2 }, 8, 0)
  expect([leadership.leading, events.at(-1)]).toEqual([false, { type: 'stopped' }])
  expect(leadership.appliedTerm(8, 99)).toBe(false)
})
