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

  it('a refusal of an earlier term tells what is committed, and is no vote', () => {
    const cluster = new TestCluster([1, 2, 3])
    const candidate = cluster.at(1)
    candidate.load([2, 2, 2], 5)
    candidate.step({ type: 'campaign' })
    const refusal = { type: 'preVoteResponse', to: 1, term: 3, granted: false } as const
    for (const from of [2, 3]) candidate.receive({ ...refusal, from, committed: { index: 3, term: 2 } })
    expect(candidate.group.status()).toMatchObject({ role: 'preCandidate', term: 5, commit: 3 })
    // What is not in this log says nothing about it.
    candidate.receive({ ...refusal, from: 2, committed: { index: 4, term: 3 } })
    expect(candidate.group.status()).toMatchObject({ commit: 3 })
  })
})
