import type { Message, RaftGroup } from '@millrace/raft-core'
import { expect, test } from 'vitest'
import { Quietness } from './quietness.ts'
import { FAST, TestCluster } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

type Status = ReturnType<RaftGroup['status']>

const ANSWER: Message = { type: 'heartbeatResponse', from: 2, to: 1, term: 3, context: 0 }

function leaderOf(matches: readonly number[], lastIndex: number): Pick<RaftGroup, 'status'> {
  const peers = matches.map(match => ({ match, state: 'replicate' }))
  return { status: () => ({ role: 'leader', lastIndex, peers }) as unknown as Status }
}

function afterTicks(core: Pick<RaftGroup, 'status'>): Quietness {
  const quietness = new Quietness(core)
  quietness.tick()
  expect(quietness.isQuiet).toBe(false)
  quietness.tick()
  return quietness
}

test('a leader is quiet when nothing but heartbeats has happened and all followers hold all it has', () => {
  expect(afterTicks(leaderOf([9, 9, 9], 9)).isQuiet).toBe(true)
  expect(afterTicks(leaderOf([9, 8, 9], 9)).isQuiet).toBe(false)
})

test('only plain answers to heartbeats may wait; whatever else happens ends the quiet', () => {
  const quietness = afterTicks(leaderOf([9, 9, 9], 9))
  expect(quietness.mayWait(ANSWER)).toBe(true)
  expect(quietness.mayWait({ ...ANSWER, context: 4 })).toBe(false)
  expect(quietness.mayWait({ ...ANSWER, lostTail: true })).toBe(false)
  quietness.heard(ANSWER)
  expect(quietness.isQuiet).toBe(true)
  quietness.heard({ type: 'timeoutNow', from: 2, to: 1, term: 3 })
  expect(quietness.mayWait(ANSWER)).toBe(false)
})

test('quiet groups keep their leader, take a proposal at once, and replace a leader that falls silent', async () => {
  const c = await TestCluster.start({ timing: { ...FAST, electionTimeoutMinMs: 200 } })
  try {
    await c.append('a')
    const leader = await c.leader()
    const term = c.handle(leader).term
    let heartbeats = 0
    c.network.setFilter((_from, _to, { message }) => {
      heartbeats += message.type === 'heartbeat' ? 1 : 0
      return true
    })
    await until('many heartbeats have come', () => heartbeats > 40)
    expect([c.handle(leader).leading, c.handle(leader).term]).toEqual([true, term])
    await c.append('b')
    c.network.isolate(leader)
    const others = c.nodeIds.filter(node => node !== leader)
    await until('another leads', () => others.some(node => c.handle(node).leading))
    c.network.heal()
    await c.append('c')
    await c.converged(3)
  } finally {
    await c.stop()
  }
})
