/** Defects that other implementations of Raft have had in replication and commitment, each as a test. */
import { describe, expect, it } from 'vitest'
import type { Entry } from '../entry.ts'
import type { AppendRequest, AppendResponse, Message } from '../message.ts'
import { TestCluster } from '../testing/test-cluster.ts'
import type { TestReplica } from '../testing/test-replica.ts'

const PLAIN = { config: { preVote: false, checkQuorum: false } }

function entry(index: number, term: number): Entry<string> {
  return { index, term, kind: 'normal', size: 1, payload: `${term}/${index}` }
}

function append(
  term: number,
  prev: [index: number, term: number],
  entries: Entry<string>[],
  commit = 1,
): AppendRequest<string> {
  return { type: 'append', from: 2, to: 1, term, prevIndex: prev[0], prevTerm: prev[1], commit, entries }
}

function ack(from: number, term: number, index: number): AppendResponse {
  return { type: 'appendResponse', from, to: 1, term, index, rejected: false, hintIndex: 0, hintTerm: 0 }
}

function answers(replica: TestReplica): Message<string>[] {
  const sent = replica.drain()
  while (replica.appendTasks.length > 0) sent.push(...replica.completeAppend())
  return sent
}

describe('log and commit', () => {
  it('commit is the lower of the leader commit and the end of what this message verified', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    replica.load([2, 2, 2], 2)
    replica.receive(append(3, [1, 1], [entry(2, 2)], 99))
    expect(replica.group.status()).toMatchObject({ commit: 2, lastIndex: 4 })
  })

  it('the commit of a heartbeat is capped at the match of its addressee', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const leader = cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1, 'a')
    cluster.settle()
    leader.step({ type: 'tick' })
    const heartbeats = leader.drain().filter(message => message.type === 'heartbeat')
    expect(heartbeats.map(message => [message.to, message.commit])).toEqual([
      [2, 3],
      [3, 2],
    ])
  })

  it('a stale append never truncates a matching suffix', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    replica.receive(append(2, [1, 1], [entry(2, 2), entry(3, 2), entry(4, 2)]))
    answers(replica)
    replica.receive(append(2, [1, 1], [entry(2, 2)]))
    expect(answers(replica)).toMatchObject([{ index: 2, rejected: false }])
    expect(replica.group.status()).toMatchObject({ lastIndex: 4, durableIndex: 4 })
  })

  it('reordered and duplicate acknowledgements never move match back', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const leader = cluster.elect(1)
    cluster.propose(1, 'a', 'b', 'c')
    cluster.settle()
    leader.receive(ack(2, 2, 3))
    leader.receive(ack(2, 2, 2))
    expect(leader.group.status().peers[1]).toMatchObject({ match: 5, next: 6 })
  })

  it('the acknowledgements of a term count in no other', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const leader = cluster.elect(1)
    cluster.isolate(1)
    leader.step({ type: 'propose', entries: [{ size: 1, payload: 'a' }] })
    cluster.work()
    leader.receive({ type: 'heartbeat', from: 2, to: 1, term: 3, commit: 1, context: 0 })
    leader.step({ type: 'campaign' })
    answers(leader)
    leader.receive({ type: 'voteResponse', from: 2, to: 1, term: 4, granted: true })
    answers(leader)
    expect(leader.group.status()).toMatchObject({ role: 'leader', term: 4, commit: 2 })
    leader.receive(ack(2, 2, 4))
    leader.receive(ack(3, 3, 4))
    expect(leader.group.status().commit).toBe(2)
  })

  it('an acknowledgement whose entries the follower has lost since makes no quorum', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const leader = cluster.elect(1)
    cluster.isolate(2)
    cluster.propose(1, 'a')
    cluster.work()
    cluster.deliver()
    // Replica 3 has acknowledged entry 3; the answer is on its way when its disk loses it.
    cluster.stalled.add(1)
    cluster.work()
    const late = cluster.network.filter(message => message.from === 3)
    cluster.network = []
    const damaged = cluster.at(3)
    damaged.disk.entries.length = 1
    damaged.restart({ uncertainUntil: { index: 3, term: 2 } })
    leader.receive({ type: 'heartbeatResponse', from: 3, to: 1, term: 2, context: 0 })
    for (const message of late) leader.receive(message)
    leader.receive({ type: 'heartbeatResponse', from: 3, to: 1, term: 2, context: 0, lostTail: true })
    expect(leader.group.status().peers[2]).toMatchObject({ match: 0, state: 'probe' })
    cluster.stalled.clear()
    cluster.settle()
    expect(damaged.group.status()).toMatchObject({ lastIndex: 3, durableIndex: 3 })
    expect(damaged.group.status().uncertainUntil).toBeUndefined()
  })

  it('a late write completion of an earlier term confirms nothing', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    // A (2/2), then B (3/2) replaces it, then A again: three writes, in this order.
    replica.receive(append(2, [1, 1], [entry(2, 2)]))
    replica.drain()
    replica.receive({ ...append(3, [1, 1], [entry(2, 3)]), from: 3 })
    replica.drain()
    replica.receive({ ...append(4, [1, 1], [entry(2, 2)]), from: 2 })
    replica.drain()
    expect(replica.appendTasks).toHaveLength(3)
    const released = replica.completeAppend()
    // The disk holds A. B will replace it: counted as durable now, A would be lost by a crash after the second write.
    expect(replica.group.status().durableIndex).toBe(1)
    expect(released.filter(message => message.term === 4)).toEqual([])
    replica.completeAppend()
    expect(replica.group.status().durableIndex).toBe(1)
    expect(replica.completeAppend()).toMatchObject([{ type: 'appendResponse', term: 4, index: 2, rejected: false }])
    expect(replica.group.status().durableIndex).toBe(2)
  })

  it('every write attests the end of the log again while any of it is not durable', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    replica.receive(append(2, [1, 1], [entry(2, 2)]))
    replica.drain()
    replica.receive({ type: 'heartbeat', from: 3, to: 1, term: 3, commit: 1, context: 0 })
    replica.drain()
    replica.completeAppend()
    expect(replica.group.status().durableIndex).toBe(1)
    replica.completeAppend()
    expect(replica.group.status().durableIndex).toBe(2)
  })

  it('an empty append that conflicts is refused', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    replica.load([2, 2, 2], 2)
    replica.receive(append(3, [4, 3], []))
    expect(answers(replica)).toMatchObject([{ rejected: true, index: 4, hintIndex: 4, hintTerm: 2 }])
  })

  it('entries that are not durable here are not applied here, whoever committed them', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(1)
    cluster.stalled.add(3)
    cluster.propose(1, 'a')
    cluster.settle()
    cluster.tick(1)
    expect(cluster.at(3).group.status()).toMatchObject({ commit: 3, applying: 2 })
    cluster.stalled.clear()
    cluster.settle()
    expect(cluster.at(3).applied).toEqual(['a'])
  })

  it('divergent tails converge in a number of round trips that depends on terms, not on entries', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const common = Array.from({ length: 50 }, () => 1)
    cluster.at(1).load([...common, ...Array.from({ length: 400 }, () => 3)], 6)
    cluster.at(3).load([...common, ...Array.from({ length: 400 }, () => 3)], 6)
    cluster.at(2).load([...common, ...Array.from({ length: 300 }, (_, i) => (i < 150 ? 2 : 4))], 6)
    let refusals = 0
    cluster.lose = message => {
      if (message.type === 'appendResponse' && message.rejected) refusals++
      return false
    }
    cluster.elect(3)
    expect(cluster.at(2).storedTerms).toEqual(cluster.at(3).storedTerms)
    expect(refusals).toBeLessThanOrEqual(4)
  })

  it('a committed entry is never replaced, whatever a message says', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    replica.receive(append(2, [1, 1], [entry(2, 2), entry(3, 2)], 3))
    answers(replica)
    replica.receive(append(4, [1, 1], [entry(2, 4), entry(3, 4)], 3))
    expect(answers(replica)).toMatchObject([{ rejected: false, index: 3 }])
    expect(replica.storedTerms).toEqual([2, 2])
  })
})
