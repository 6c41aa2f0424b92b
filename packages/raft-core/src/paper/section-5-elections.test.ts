/** Raft paper (Ongaro, Ousterhout, extended version 2014), sections 5.1, 5.2 and 5.4.1: one claim, one test. */
import { describe, expect, it } from 'vitest'
import type { Message, VoteRequest, VoteResponse } from '../message.ts'
import { TestCluster } from '../testing/test-cluster.ts'
import type { TestReplica } from '../testing/test-replica.ts'

const PLAIN = { config: { preVote: false, checkQuorum: false } }

function voteRequest(term: number, from: number, lastTerm = 1, lastIndex = 1): VoteRequest {
  return { type: 'vote', from, to: 1, term, lastIndex, lastTerm, transfer: false }
}

/** Delivers a request and returns the answer once it is durable. */
function ask(replica: TestReplica, request: VoteRequest): VoteResponse | undefined {
  replica.receive(request)
  replica.drain()
  const answers: Message<string>[] = []
  while (replica.appendTasks.length > 0) answers.push(...replica.completeAppend())
  return answers.find((message): message is VoteResponse => message.type === 'voteResponse')
}

describe('section 5.1', () => {
  it('a server with a smaller term takes over the larger one', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.at(1).receive({ type: 'heartbeat', from: 2, to: 1, term: 7, commit: 1, context: 0 })
    expect(cluster.at(1).group.status()).toMatchObject({ term: 7, leader: 2, vote: 0 })
  })

  it('a candidate or leader that finds its term out of date becomes a follower', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(1)
    cluster.at(1).receive({ type: 'voteResponse', from: 2, to: 1, term: 9, granted: false })
    expect(cluster.at(1).group.status()).toMatchObject({ role: 'follower', term: 9 })
    cluster.at(2).step({ type: 'campaign' })
    cluster.at(2).receive({ type: 'voteResponse', from: 3, to: 2, term: 12, granted: false })
    expect(cluster.at(2).group.status()).toMatchObject({ role: 'follower', term: 12 })
  })

  it('a request with a stale term changes nothing', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(1)
    const before = cluster.at(1).group.status()
    expect(ask(cluster.at(1), voteRequest(1, 3, 5, 99))).toBeUndefined()
    expect(cluster.at(1).group.status()).toEqual(before)
  })
})

describe('section 5.2', () => {
  it('servers start as followers and stay so while a leader is heard', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    for (const replica of cluster.replicas.values()) expect(replica.group.status().role).toBe('follower')
    cluster.elect(1)
    cluster.tick(100)
    expect(cluster.at(1).group.status()).toMatchObject({ role: 'leader', term: 2 })
  })

  it('a follower that hears nothing for an election timeout begins an election in a new term, voting for itself', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    const { electionTimeoutTicks } = replica.group.status()
    for (let i = 1; i < electionTimeoutTicks; i++) replica.step({ type: 'tick' })
    expect(replica.group.status().role).toBe('follower')
    replica.step({ type: 'tick' })
    expect(replica.group.status()).toMatchObject({ role: 'candidate', term: 2, vote: 1 })
    const requests = replica.drain()
    expect(requests.map(message => [message.type, message.to])).toEqual([
      ['vote', 2],
      ['vote', 3],
    ])
  })

  it('a candidate wins with the votes of a majority of the full cluster in one term', () => {
    const cluster = new TestCluster([1, 2, 3, 4, 5], PLAIN)
    cluster.isolate(4, 5)
    expect(cluster.elect(1).group.status().role).toBe('leader')
    const minority = new TestCluster([1, 2, 3, 4, 5], PLAIN)
    minority.isolate(3, 4, 5)
    expect(minority.elect(1).group.status().role).toBe('candidate')
  })

  it('each server votes for at most one candidate in a term, first come first served', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    expect(ask(cluster.at(1), voteRequest(2, 2))).toMatchObject({ granted: true })
    expect(ask(cluster.at(1), voteRequest(2, 3))).toMatchObject({ granted: false })
    expect(ask(cluster.at(1), voteRequest(3, 3))).toMatchObject({ granted: true })
  })

  it('a winner tells everybody at once', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(2)
    expect(cluster.at(1).group.status().leader).toBe(2)
    expect(cluster.at(3).group.status().leader).toBe(2)
  })

  it('a candidate that hears a leader of its own term returns to follower, and of a smaller term does not', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.at(1).step({ type: 'campaign' })
    cluster.at(1).receive({ type: 'heartbeat', from: 3, to: 1, term: 1, commit: 1, context: 0 })
    expect(cluster.at(1).group.status().role).toBe('candidate')
    cluster.at(1).receive({ type: 'heartbeat', from: 3, to: 1, term: 2, commit: 1, context: 0 })
    expect(cluster.at(1).group.status()).toMatchObject({ role: 'follower', leader: 3, term: 2 })
  })

  it('split votes are resolved by a new election with randomised timeouts', () => {
    const cluster = new TestCluster([1, 2, 3, 4], PLAIN)
    cluster.at(1).step({ type: 'campaign' })
    cluster.at(2).step({ type: 'campaign' })
    cluster.isolate(1, 3)
    cluster.settle()
    cluster.heal()
    expect(cluster.newestLeader()).toBeUndefined()
    cluster.tick(40)
    expect(cluster.leader().group.status().term).toBeGreaterThan(2)
  })

  it('election timeouts are drawn from [n, 2n − 1]', () => {
    const drawn = new Set<number>()
    for (let value = 0; value < 10; value++) {
      const cluster = new TestCluster([1], { config: { electionTicks: 10 }, randomInt: () => value })
      drawn.add(cluster.at(1).group.status().electionTimeoutTicks)
    }
    expect([...drawn]).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  })
})

describe('section 5.4.1', () => {
  it.each([
    ['a later last term wins over a longer log', 3, 2, true],
    ['an earlier last term loses, however long the log', 1, 50, false],
    ['with the same last term the longer log wins', 2, 5, true],
    ['with the same last term a log as long is good enough', 2, 4, true],
    ['with the same last term the shorter log loses', 2, 3, false],
  ])('%s', (_claim, lastTerm, lastIndex, granted) => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.at(1).load([1, 2, 2])
    expect(ask(cluster.at(1), voteRequest(9, 2, lastTerm, lastIndex))).toMatchObject({ granted })
  })

  it('so a candidate without all committed entries cannot win', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1, 'a')
    cluster.settle()
    cluster.heal()
    cluster.elect(3)
    expect(cluster.at(3).group.status().role).not.toBe('leader')
  })
})
