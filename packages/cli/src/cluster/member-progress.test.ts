import { create } from '@bufbuild/protobuf'
import { DescribeMembersResponseSchema, NodeStatusResponseSchema } from '@millrace/proto'
import { expect, test } from 'vitest'
import { memberProgress } from './member-progress.ts'

const members = (admits: boolean, replicas: readonly (readonly [number, number])[]) =>
  create(DescribeMembersResponseSchema, {
    nodes: [{ node: 2, admits }],
    groups: [{ group: 7n, topic: 'a', replicas: replicas.map(([replica, node]) => ({ replica, node })) }],
  })

function leader(
  node: number,
  replica: number,
  followers: readonly { node: number; replica: number; learner?: boolean }[],
) {
  const status = { group: 7n, role: 'leader', term: 3n, replica, followers: followers.map(follower => follower) }
  return create(NodeStatusResponseSchema, { node, replicas: [status] })
}

const REPLACED = members(false, [
  [1, 1],
  [4, 2],
])

test.each([
  ['the lost replica is still there', [{ node: 2, replica: 2 }], 0],
  [
    'the new one catches up',
    [
      { node: 2, replica: 2 },
      { node: 2, replica: 4, learner: true },
    ],
    0,
  ],
  ['the new one is the only one, without a vote', [{ node: 2, replica: 4, learner: true }], 0],
  ['the new one votes', [{ node: 2, replica: 4 }], 1],
])('a replacement: %s', (_, followers, settled) => {
  expect(memberProgress(REPLACED, [leader(1, 1, followers)], 2)).toEqual({ admits: false, groups: 1, settled })
})

test('a further replica of the catalogue takes part without a vote, once it has everything', () => {
  const catalogue = create(DescribeMembersResponseSchema, {
    groups: [{ group: 0n, replicas: [1, 2, 3, 4, 5, 6].map(replica => ({ replica, node: replica })) }],
  })
  const settledWith = (voters: number, lag: bigint, group = 0n): number => {
    const followers = [2, 3, 4, 5, 6].map(replica => ({ replica, node: replica, learner: replica > voters, lag }))
    const status = { group, role: 'leader', term: 3n, replica: 1, followers }
    const report = create(NodeStatusResponseSchema, { node: 1, replicas: [status] })
    return memberProgress(catalogue, [report], 6).settled
  }
  expect(settledWith(5, 0n)).toBe(1)
  expect(settledWith(5, 9n)).toBe(0)
  expect(settledWith(4, 0n)).toBe(0)
})

test('the new replica may lead', () => {
  expect(memberProgress(REPLACED, [leader(2, 4, [{ node: 1, replica: 1 }])], 2).settled).toBe(1)
})

test('a group whose leader does not answer is not settled', () => {
  expect(memberProgress(members(true, [[1, 1]]), [], 2)).toEqual({ admits: true, groups: 1, settled: 0 })
})

test('a removal is over when no group has a replica there', () => {
  const wish = members(false, [[1, 1]])
  expect(memberProgress(wish, [leader(1, 1, [{ node: 2, replica: 2 }])], 2)).toMatchObject({ groups: 1, settled: 0 })
  expect(memberProgress(wish, [leader(1, 1, [])], 2)).toMatchObject({ groups: 0, settled: 0 })
})
