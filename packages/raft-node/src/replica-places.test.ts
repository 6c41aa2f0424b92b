import { expect, test } from 'vitest'
import type { GroupConfiguration } from './group-handle.ts'
import { ReplicaPlaces } from './replica-places.ts'

const THREE: GroupConfiguration = {
  ...{ voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
  places: [1, 2, 3].map(replica => ({ replica, node: replica * 10 })),
}

test('a new configuration says again where the members live, and what else the former one said', () => {
  const reached: string[] = []
  const places = new ReplicaPlaces((node, address) => reached.push(`${node} at ${address}`))
  places.learn({ ...THREE, leaseReads: true })
  places.add({ replica: 7, node: 70, address: 'g:7080' })
  expect(reached).toEqual(['70 at g:7080'])
  const { places: _, ...members } = THREE
  const next = places.describe({ ...members, voters: [1, 2], learners: [7] })
  expect(next).toEqual({
    ...{ voters: [1, 2], votersOutgoing: [], learners: [7], learnersNext: [], autoLeave: false, leaseReads: true },
    places: [...THREE.places.slice(0, 2), { replica: 7, node: 70, address: 'g:7080' }],
  })
})

test('the highest replica id is remembered once its replica is gone, and only if it was ever a member', () => {
  const places = new ReplicaPlaces()
  places.learn({ ...THREE, voters: [1, 2], learners: [8], places: [...THREE.places, { replica: 8, node: 80 }] })
  places.add({ replica: 9, node: 90 })
  expect(places.describe(THREE).lastReplica).toBe(8)
  const elsewhere = new ReplicaPlaces()
  elsewhere.learn(places.describe(THREE))
  expect(elsewhere.describe(THREE).lastReplica).toBe(8)
})

test('a replica that no configuration has named speaks from where it spoke first', () => {
  const places = new ReplicaPlaces()
  places.learn(THREE)
  expect(places.admits(1, 10)).toBe(true)
  expect(places.admits(1, 20)).toBe(false)
  expect(places.admits(5, 50)).toBe(true)
  expect(places.admits(5, 10)).toBe(false)
  expect(places.nodeOf(6)).toBe(0)
  expect(places.replicasOn(50)).toEqual([5])
})
