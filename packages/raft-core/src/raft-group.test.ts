import { describe, expect, it } from 'vitest'
import { TestCluster } from './testing/test-cluster.ts'

describe('RaftGroup', () => {
  it('elects a leader by the clock alone and commits its first entry', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.tick(20)
    const leader = cluster.leader().group.status()
    expect(leader.term).toBe(2)
    for (const replica of cluster.replicas.values()) {
      expect(replica.group.status()).toMatchObject({ leader: leader.id, commit: 2, applied: 2 })
    }
  })

  it('replicates proposals to everybody in order', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    expect(cluster.propose(1, 'a', 'b')).toEqual({ type: 'accepted', index: 3, term: 2 })
    cluster.propose(1, 'c')
    cluster.settle()
    for (const replica of cluster.replicas.values()) expect(replica.applied).toEqual(['a', 'b', 'c'])
  })

  it('sends before its own write is durable and counts itself only afterwards', () => {
    const cluster = new TestCluster([1, 2])
    const leader = cluster.elect(1)
    cluster.stalled.add(1)
    cluster.propose(1, 'a')
    cluster.settle()
    expect(leader.group.status().peers.map(peer => peer.match)).toEqual([2, 3])
    expect(leader.group.status().commit).toBe(2)
    cluster.stalled.clear()
    cluster.settle()
    expect(leader.group.status().commit).toBe(3)
  })

  it('serves a slow follower out of storage once entries have left memory', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { cacheBytesMax: 10, messageBytesMax: 8 } })
    cluster.elect(1)
    cluster.isolate(3)
    for (let i = 0; i < 50; i++) {
      cluster.propose(1, `value${i}`)
      cluster.settle()
    }
    cluster.heal()
    cluster.tick(3)
    expect(cluster.at(3).applied).toEqual(cluster.at(1).applied)
    expect(cluster.at(3).applied).toHaveLength(50)
  })

  it('applies out of storage after a restart', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { cacheBytesMax: 10, applyingBytesMax: 16 } })
    cluster.elect(1)
    for (let i = 0; i < 20; i++) cluster.propose(1, `value${i}`)
    cluster.settle()
    const before = cluster.at(2).applied
    cluster.at(2).restart()
    cluster.settle()
    cluster.tick(2)
    expect(cluster.at(2).applied).toEqual(before)
    expect(before).toHaveLength(20)
  })

  it('brings a blank replica into the group by a snapshot', () => {
    const cluster = new TestCluster([1, 2], { blank: [3] })
    const leader = cluster.elect(1)
    cluster.propose(1, 'a')
    leader.step({ type: 'proposeConfigChange', change: { steps: [{ kind: 'addVoter', id: 3 }], transition: 'auto' } })
    cluster.settle()
    cluster.tick(2)
    expect(cluster.at(3).applied).toEqual(['a'])
    expect(cluster.at(3).group.status().configuration.voters).toEqual([1, 2, 3])
  })
})
