/** Defects that other implementations of Raft have had around snapshots, each as a test. */
import { describe, expect, it } from 'vitest'
import { EMPTY_CONFIGURATION } from '../membership/changer.ts'
import type { InstallSnapshot, SnapshotMeta } from '../message.ts'
import { TestCluster } from '../testing/test-cluster.ts'

const PLAIN = { config: { preVote: false, checkQuorum: false } }

function snapshot(index: number, term: number, messageTerm = term): InstallSnapshot<string> {
  const meta: SnapshotMeta<string> = {
    index,
    term,
    configuration: { ...EMPTY_CONFIGURATION, voters: [1, 2, 3] },
    payload: JSON.stringify(['state']),
  }
  return { type: 'snapshot', from: 2, to: 1, term: messageTerm, snapshot: meta }
}

describe('snapshots', () => {
  it('one that is older than what is applied is ignored', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(2)
    cluster.propose(2, 'a')
    cluster.settle()
    cluster.at(1).receive(snapshot(2, 2))
    cluster.settle()
    expect(cluster.at(1).group.status()).toMatchObject({ baseIndex: 1, lastIndex: 3 })
    expect(cluster.at(1).applied).toEqual(['a'])
  })

  it('one that conflicts with committed entries is refused', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(2)
    cluster.propose(2, 'a')
    cluster.settle()
    cluster.at(1).receive(snapshot(3, 1, 2))
    expect(cluster.at(1).group.status()).toMatchObject({ baseIndex: 1, commit: 3, lastTerm: 2 })
  })

  it('a log that holds its last entry is not thrown away', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.at(1).load([2, 2, 2], 2)
    cluster.at(1).receive(snapshot(3, 2))
    expect(cluster.at(1).group.status()).toMatchObject({ baseIndex: 1, lastIndex: 4, commit: 3 })
  })

  it('a candidate steps down and takes it', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.at(1).step({ type: 'campaign' })
    cluster.at(1).receive(snapshot(9, 2))
    expect(cluster.at(1).group.status()).toMatchObject({ role: 'follower', leader: 2, baseIndex: 9, commit: 9 })
  })

  it('nothing is acknowledged, applied or campaigned for before it is installed', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    replica.receive(snapshot(9, 2))
    expect(replica.drain()).toEqual([])
    replica.step({ type: 'campaign' })
    expect(replica.group.status()).toMatchObject({ role: 'follower', applied: 1 })
    expect(replica.appendTasks[0]).toMatchObject({ mustSync: true, snapshot: { index: 9 } })
    expect(replica.completeAppend()).toMatchObject([{ type: 'appendResponse', index: 9, rejected: false }])
    expect(replica.group.status()).toMatchObject({ applied: 9, applying: 9 })
  })

  it('one that was installed under an earlier term is installed all the same', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    replica.receive(snapshot(9, 2))
    replica.drain()
    replica.receive({ type: 'heartbeat', from: 3, to: 1, term: 7, commit: 9, context: 0 })
    replica.completeAppend()
    expect(replica.group.status()).toMatchObject({ term: 7, applied: 9 })
  })

  it('a newer one that arrives before it is installed is waited for too', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    for (const index of [9, 12]) {
      replica.receive(snapshot(index, 2))
      replica.drain()
    }
    replica.completeAppend()
    replica.step({ type: 'campaign' })
    expect(replica.group.status()).toMatchObject({ role: 'follower', applied: 9, commit: 12 })
    replica.completeAppend()
    expect(replica.group.status()).toMatchObject({ applied: 12, applying: 12 })
  })

  it('a crash before it is installed leaves the old log', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    replica.load([2, 2], 2)
    replica.receive(snapshot(9, 2))
    replica.drain()
    replica.restart()
    expect(replica.group.status()).toMatchObject({ baseIndex: 1, lastIndex: 3 })
  })

  it('a new leader during the transfer sends its own', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.isolate(3)
    for (let i = 0; i < 5; i++) cluster.propose(1, `${i}`)
    cluster.settle()
    cluster.tick(1)
    for (const id of [1, 2]) cluster.at(id).compact(cluster.at(id).group.status().lastIndex)
    cluster.lose = message => message.type === 'snapshot' && message.from === 1
    cluster.tick(2)
    cluster.at(1).step({ type: 'transferLeader', target: 2 })
    cluster.settle()
    cluster.heal()
    cluster.tick(2)
    expect(cluster.leader().id).toBe(2)
    expect(cluster.at(3).applied).toHaveLength(5)
  })

  it('one without the receiver in its configuration brings it up to the change that added it', () => {
    const cluster = new TestCluster([1, 2], { blank: [3] })
    const leader = cluster.elect(1)
    leader.step({ type: 'proposeConfigChange', change: { steps: [{ kind: 'addLearner', id: 3 }], transition: 'auto' } })
    cluster.settle()
    cluster.tick(2)
    expect(cluster.at(3).group.status()).toMatchObject({ configuration: { voters: [1, 2], learners: [3] }, commit: 3 })
  })
})
