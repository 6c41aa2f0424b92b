import { describe, expect, it } from 'vitest'
import type { AppendRequest } from './message.ts'
import { TestCluster } from './testing/test-cluster.ts'
import type { TestReplica } from './testing/test-replica.ts'

const PLAIN = { config: { preVote: false, checkQuorum: false } }

/** A group at rest with entries 2 to 4 committed, of which replica 3 has lost all after entry `kept`. */
function withLostTail(kept = 2): { cluster: TestCluster; damaged: TestReplica } {
  const cluster = new TestCluster([1, 2, 3], PLAIN)
  cluster.elect(1)
  cluster.propose(1, 'a', 'b')
  cluster.settle()
  const damaged = cluster.at(3)
  damaged.disk.entries.length = kept - 1
  damaged.disk.hard = { ...damaged.disk.hard, commit: 2 }
  damaged.restart({ uncertainUntil: { index: 4, term: 2 } })
  return { cluster, damaged }
}

function append(from: number, term: number, prevIndex: number, last: number): AppendRequest<string> {
  const entries = Array.from({ length: last - prevIndex }, (_, i) => {
    const index = prevIndex + 1 + i
    return { index, term: 2, kind: 'normal', size: 1, payload: `${index}` } as const
  })
  return { type: 'append', from, to: 3, term, prevIndex, prevTerm: 2, commit: 2, entries }
}

describe('a replica whose log has lost its end', () => {
  it('says so where a heartbeat shows that the leader believes in it, and commits nothing of it', () => {
    const { damaged } = withLostTail()
    const heartbeat = { type: 'heartbeat', from: 1, to: 3, term: 2, commit: 4, context: 9 } as const
    damaged.receive(heartbeat)
    expect(damaged.drain()).toMatchObject([{ type: 'heartbeatResponse', context: 9, lostTail: true }])
    expect(damaged.group.status()).toMatchObject({ commit: 2, lastIndex: 2 })
    // What the leader has matched since may be committed; that is no lost end.
    damaged.receive(append(1, 2, 2, 3))
    damaged.receive({ ...heartbeat, commit: 3 })
    expect(damaged.drain().at(-1)).not.toHaveProperty('lostTail')
    expect(damaged.group.status()).toMatchObject({ commit: 3, lastIndex: 3 })
  })

  it('commits nothing by a heartbeat that its leader has not matched, though its log goes that far', () => {
    const { damaged } = withLostTail(3)
    damaged.receive({ type: 'heartbeat', from: 1, to: 3, term: 2, commit: 3, context: 0 })
    expect(damaged.group.status()).toMatchObject({ commit: 2, lastIndex: 3 })
  })

  it('is repaired by the heartbeats of an idle leader, which believes that it matches', () => {
    const { cluster, damaged } = withLostTail()
    expect(cluster.at(1).group.status().peers[2]).toMatchObject({ match: 4 })
    cluster.tick(1)
    expect(damaged.applied).toEqual(['a', 'b'])
    expect(damaged.group.status().uncertainUntil).toBeUndefined()
    expect(cluster.leader().group.status()).toMatchObject({ id: 1, term: 2 })
  })

  it('is matched only by an entry of at least the term where it once ended, however long the log', () => {
    const { damaged } = withLostTail()
    damaged.restart({ uncertainUntil: { index: 4, term: 3 } })
    damaged.receive(append(1, 4, 2, 9))
    damaged.drain()
    while (damaged.appendTasks.length > 0) damaged.completeAppend()
    expect(damaged.group.status()).toMatchObject({ durableIndex: 9, uncertainUntil: { index: 4, term: 3 } })
  })

  it('stays out of elections when the leader that matched it is deposed before the write is durable', () => {
    const { damaged } = withLostTail()
    damaged.receive(append(1, 2, 2, 4))
    damaged.drain()
    damaged.receive({ type: 'heartbeat', from: 2, to: 3, term: 3, commit: 2, context: 0 })
    damaged.drain()
    while (damaged.appendTasks.length > 0) damaged.completeAppend()
    // The log is back and durable, but no leader of this term has said that it is the right one.
    expect(damaged.group.status()).toMatchObject({ durableIndex: 4, uncertainUntil: { index: 4, term: 2 } })
    damaged.receive(append(2, 3, 2, 4))
    expect(damaged.group.status().uncertainUntil).toBeUndefined()
  })
})
