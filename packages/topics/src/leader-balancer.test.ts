/** Leadership goes to the preferred replica, a few at a time, and only where that replica keeps up. */
import { MillraceError } from '@millrace/record'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { LeaderBalancer } from './leader-balancer.ts'
import type { PartitionReplica } from './partition-replica.ts'
import type { ReplicaPlan } from './replica-opener.ts'
import type { FakeGroup } from './testing/fake-group.ts'
import { PartitionFixture } from './testing/partition-fixture.ts'

interface Led {
  readonly plan: ReplicaPlan
  readonly replica: PartitionReplica
  readonly group: FakeGroup
}

let now: number
let connected: boolean
let led: Led[]
let balancer: LeaderBalancer
const timers: { atMs: number; run: () => void }[] = []

async function leading(group: number, preferred: number, follower = {}): Promise<Led> {
  const { replica, group: fake } = await PartitionFixture.create()
  fake.lead()
  const upToDate = { match: fake.log.end.index, state: 'replicate', recentlyActive: true } as const
  fake.followers = [{ node: 2, replica: 2, learner: false, ...upToDate, ...follower }]
  const places = [preferred, 3 - preferred].map((node, i) => ({ replica: i + 1, node }))
  const at = { founding: places, createIndex: 2, createTimestamp: 0 }
  const plan = { topic: 't', partition: group, group, replica: 1, places, ...at }
  return { plan, replica, group: fake }
}

function pass(ms: number): void {
  now += ms
  for (const timer of timers.splice(0)) {
    if (timer.atMs <= now) timer.run()
    else timers.push(timer)
  }
  balancer.balance()
}

beforeEach(() => {
  now = 0
  connected = true
  led = []
  timers.length = 0
  const clock = {
    monotonicMs: () => now,
    setTimer: (delayMs: number, run: () => void) => {
      const timer = { atMs: now + delayMs, run }
      timers.push(timer)
      return { cancel: () => void timers.splice(timers.indexOf(timer), 1) }
    },
  }
  balancer = new LeaderBalancer({ nodeId: 1, isConnected: () => connected }, clock, () => led, {
    leaderSettleMs: 1_000,
  })
})

const transfers = (): number[] => led.map(l => l.group.transfers.length)

test('hands over to the preferred node once leadership has settled', async () => {
  led = [await leading(1, 2), await leading(2, 1)]
  pass(0)
  pass(900)
  expect(transfers()).toEqual([0, 0])
  pass(200)
  expect(led[0]!.group.transfers).toEqual([2])
  expect(transfers()).toEqual([1, 0])
})

test('moves at most two at a time, and goes on when they are gone', async () => {
  led = await Promise.all([1, 2, 3, 4, 5].map(group => leading(group, 2)))
  pass(0)
  pass(1_100)
  expect(transfers()).toEqual([1, 1, 0, 0, 0])
  pass(500)
  expect(transfers()).toEqual([1, 1, 0, 0, 0])
  led[0]!.group.stepDown('unknown')
  pass(500)
  expect(transfers()).toEqual([1, 1, 1, 0, 0])
})

test('leaves a group alone for a while that did not move', async () => {
  led = [await leading(1, 2)]
  pass(0)
  pass(1_100)
  pass(3_100)
  pass(5_000)
  expect(transfers()).toEqual([1])
  pass(6_000)
  expect(transfers()).toEqual([2])
})

describe('does not hand over', () => {
  test.each([
    ['that does not answer', { recentlyActive: false }],
    ['that is being probed', { state: 'probe' }],
    ['that lags', { match: -5_000 }],
    ['that is no follower', { node: 3 }],
  ])('to a replica %s', async (_name, follower) => {
    led = [await leading(1, 2, follower)]
    pass(0)
    pass(5_000)
    expect(transfers()).toEqual([0])
  })

  test('to a node that is not connected', async () => {
    led = [await leading(1, 2)]
    connected = false
    pass(0)
    pass(5_000)
    expect(transfers()).toEqual([0])
  })
})

test('leaves a group alone for a while that refuses the move', async () => {
  led = [await leading(1, 2)]
  const transfer = vi.spyOn(led[0]!.group, 'transferLeadership').mockImplementation(() => {
    throw new MillraceError('NOT_LEADER', 'just stepped down')
  })
  pass(0)
  pass(1_100)
  pass(5_000)
  expect(transfer).toHaveBeenCalledTimes(1)
})

test('stops', () => {
  const balance = vi.spyOn(balancer, 'balance')
  balancer.start()
  pass(600)
  expect(balance).toHaveBeenCalledTimes(2)
  balancer.stop()
  expect(timers).toEqual([])
})

test('a leader that somebody chose keeps the group for its term', async () => {
  led = [await leading(1, 2)]
  const { group } = led[0]!
  pass(0)
  balancer.hold(1, group.term)
  pass(60_000)
  expect(transfers()).toEqual([0])
  group.term++
  pass(0)
  pass(1_100)
  expect(transfers()).toEqual([1])
})

test('a choice is over when another node leads', async () => {
  led = [await leading(1, 2)]
  const { group } = led[0]!
  balancer.hold(1, group.term)
  group.leading = false
  pass(0)
  group.leading = true
  pass(0)
  pass(1_100)
  expect(transfers()).toEqual([1])
})
