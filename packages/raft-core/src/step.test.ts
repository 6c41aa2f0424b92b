import { describe, expect, it } from 'vitest'
import { TestCluster } from './testing/test-cluster.ts'

const PLAIN = { config: { preVote: false, checkQuorum: false } }

describe('the gate of messages', () => {
  it('a leader that hears another leader of its term stops', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const leader = cluster.elect(1)
    const heartbeat = { type: 'heartbeat', from: 2, to: 1, term: 2, commit: 2, context: 0 } as const
    expect(() => leader.step({ type: 'message', message: heartbeat })).toThrow(
      'two leaders in term 2: replica 1 and replica 2',
    )
  })

  it('a candidate goes on with its campaign when it is told to start one', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const candidate = cluster.at(1)
    candidate.step({ type: 'campaign' })
    candidate.receive({ type: 'timeoutNow', from: 2, to: 1, term: 2 })
    expect(candidate.group.status()).toMatchObject({ role: 'candidate', term: 2 })
  })
})
