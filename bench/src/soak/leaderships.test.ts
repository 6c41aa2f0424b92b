import { expect, test } from 'vitest'
import { Leaderships } from './leaderships.ts'

const replica = (term: number, leaderNode: number) => ({ topic: 'a', partition: 0, term: BigInt(term), leaderNode })

test('a leader in a newer term is a change, also the same one; what is older or leads nobody is none', () => {
  const leaderships = new Leaderships()
  expect(leaderships.see([replica(2, 1)])).toEqual([])
  expect(leaderships.see([replica(2, 1), replica(1, 3), replica(3, 0)])).toEqual([])
  expect(leaderships.see([replica(3, 2)])).toEqual([
    { group: 'a/0', from: { term: 2n, leader: 1 }, to: { term: 3n, leader: 2 } },
  ])
  expect(leaderships.see([replica(4, 2)])).toHaveLength(1)
  expect(leaderships.leaderOf('a/0')).toBe(2)
})

test('groups are told apart', () => {
  const leaderships = new Leaderships()
  const catalogue = { topic: '', partition: 0, term: 9n, leaderNode: 3 }
  expect(leaderships.see([replica(2, 1), catalogue])).toEqual([])
  expect(leaderships.describe()).toBe('a/0: node 1 in term 2, the catalogue: node 3 in term 9')
})
