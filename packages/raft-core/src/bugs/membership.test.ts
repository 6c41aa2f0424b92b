/** Defects that other implementations of Raft have had with changing members, each as a test. */
import { describe, expect, it } from 'vitest'
import type { ConfigChange, ConfigChangeKind } from '../configuration.ts'
import type { StepResult } from '../input.ts'
import type { Message } from '../message.ts'
import { TestCluster } from '../testing/test-cluster.ts'

const PLAIN = { preVote: false, checkQuorum: false }

function change(kind: ConfigChangeKind, ...ids: number[]): ConfigChange {
  return { steps: ids.map(id => ({ kind, id })), transition: 'auto' }
}

function propose(cluster: TestCluster, id: number, wanted: ConfigChange): StepResult {
  return cluster.at(id).step({ type: 'proposeConfigChange', change: wanted })
}

describe('membership', () => {
  it('no change takes effect before an entry of the own term is committed', () => {
    // Two leaders in turn, each with a change of its own that removes what the other one needs.
    const cluster = new TestCluster([1, 2, 3, 4], { config: PLAIN })
    cluster.elect(1)
    cluster.isolate(1)
    propose(cluster, 1, change('remove', 4))
    cluster.settle()
    cluster.elect(2)
    propose(cluster, 2, change('remove', 3))
    cluster.settle()
    expect(cluster.at(1).group.status().configuration.voters).toEqual([1, 2, 3, 4])
    expect(cluster.at(2).group.status().configuration.voters).toEqual([1, 2, 4])
    cluster.heal()
    cluster.tick(30)
    for (const id of [1, 2, 4]) {
      expect(cluster.at(id).group.status().configuration.voters).toEqual([1, 2, 4])
    }
  })

  it('a new leader takes no change while one in its log may still be committed', () => {
    const cluster = new TestCluster([1, 2, 3, 4, 5], { config: PLAIN })
    cluster.elect(1)
    propose(cluster, 1, change('remove', 5))
    // Replica 2 has the change, and nobody knows it to be committed.
    cluster.lose = message => message.type === 'appendResponse' || message.to !== 2
    cluster.settle()
    cluster.lose = message => message.type === 'append'
    const leader = cluster.elect(2)
    expect(leader.group.status()).toMatchObject({ role: 'leader', commit: 2, lastIndex: 4 })
    expect(propose(cluster, 2, change('remove', 4))).toMatchObject({ type: 'dropped', reason: 'configChangePending' })
    cluster.heal()
    cluster.tick(2)
    expect(leader.group.status().configuration.voters).toEqual([1, 2, 3, 4])
    expect(propose(cluster, 2, change('remove', 4))).toMatchObject({ type: 'accepted' })
  })

  it('a candidate with a change that it has not applied does not campaign', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    cluster.elect(1)
    propose(cluster, 1, change('remove', 3))
    const follower = cluster.at(2)
    // Everything but apply works.
    for (let i = 0; i < 6; i++) {
      for (const replica of cluster.replicas.values()) {
        cluster.network.push(...replica.drain())
        while (replica.appendTasks.length > 0) cluster.network.push(...replica.completeAppend())
      }
      cluster.deliver()
    }
    expect(follower.group.status()).toMatchObject({ commit: 3, applied: 2 })
    follower.step({ type: 'campaign' })
    expect(follower.group.status().role).toBe('follower')
    cluster.settle()
    follower.step({ type: 'campaign' })
    expect(follower.group.status().role).toBe('candidate')
  })

  it('a replica that forgot its commit and campaigns under an old configuration cannot win with it alone', () => {
    const cluster = new TestCluster([1, 2], { blank: [3], config: PLAIN })
    cluster.elect(1)
    propose(cluster, 1, change('addVoter', 3))
    cluster.settle()
    cluster.tick(2)
    cluster.propose(1, 'a')
    cluster.settle()
    const forgetful = cluster.at(2)
    forgetful.disk.hard = { ...forgetful.disk.hard, commit: 1 }
    forgetful.restart()
    expect(forgetful.group.status().configuration.voters).toEqual([1, 2])
    // It has all entries, so whatever it wins with holds them too, and its first commit brings the change back.
    cluster.elect(2)
    expect(cluster.leader().group.status()).toMatchObject({ id: 2, configuration: { voters: [1, 2, 3] } })
    expect(cluster.at(2).applied).toEqual(['a'])
  })

  it('a joint configuration is left even if the leader changes meanwhile', () => {
    const cluster = new TestCluster([1, 2, 3], { blank: [4, 5], config: PLAIN })
    cluster.elect(1)
    propose(cluster, 1, change('addVoter', 4, 5))
    // Until everybody has applied the joint configuration, but nobody has the entry that leaves it.
    cluster.lose = message =>
      message.type === 'append' && message.entries.some(entry => entry.config?.change.steps.length === 0)
    cluster.settle()
    expect(cluster.at(2).group.status().configuration.votersOutgoing).toEqual([1, 2, 3])
    cluster.isolate(1)
    cluster.elect(2)
    cluster.tick(20)
    expect(cluster.leader().id).not.toBe(1)
    expect(cluster.leader().group.status().configuration).toMatchObject({
      voters: [1, 2, 3, 4, 5],
      votersOutgoing: [],
    })
  })

  it('a joint configuration is not left under one quorum', () => {
    const cluster = new TestCluster([1, 2, 3], { blank: [4, 5], config: PLAIN })
    cluster.elect(1)
    propose(cluster, 1, {
      steps: [...change('addVoter', 4, 5).steps, ...change('remove', 2, 3).steps],
      transition: 'explicit',
    })
    cluster.settle()
    cluster.tick(3)
    cluster.isolate(4, 5)
    propose(cluster, 1, { steps: [], transition: 'auto' })
    cluster.settle()
    cluster.tick(2)
    expect(cluster.at(1).group.status().configuration.votersOutgoing).toEqual([1, 2, 3])
    cluster.heal()
    cluster.tick(2)
    expect(cluster.at(1).group.status().configuration).toMatchObject({ voters: [1, 4, 5], votersOutgoing: [] })
  })

  it('a transfer puts off leaving a joint configuration, and does not prevent it', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    const leader = cluster.elect(1)
    propose(cluster, 1, { ...change('remove', 3), transition: 'implicit' })
    cluster.isolate(2)
    leader.step({ type: 'transferLeader', target: 2 })
    cluster.settle()
    cluster.heal()
    cluster.tick(30)
    expect(cluster.leader().group.status().configuration).toMatchObject({ voters: [1, 2], votersOutgoing: [] })
  })

  it('a learner that was promoted without knowing it votes', () => {
    const cluster = new TestCluster([1, 2], { learners: [3], config: PLAIN })
    cluster.elect(1)
    cluster.isolate(3)
    propose(cluster, 1, change('addVoter', 3))
    cluster.settle()
    cluster.isolate(1)
    expect(cluster.at(3).group.status().configuration.learners).toEqual([3])
    cluster.elect(2)
    expect(cluster.at(2).group.status()).toMatchObject({ role: 'leader', configuration: { voters: [1, 2, 3] } })
  })

  it('a removed leader does not count itself, and what it appended still commits', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    const leader = cluster.elect(1)
    propose(cluster, 1, change('remove', 1))
    cluster.propose(1, 'a')
    cluster.settle()
    expect(leader.group.status()).toMatchObject({ role: 'leader', commit: 4 })
    expect(cluster.propose(1, 'b')).toMatchObject({ type: 'dropped', reason: 'removed' })
    expect(cluster.at(2).applied).toEqual(['a'])
  })

  it('nor does its acknowledgement replace that of a voter who has not answered', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    const leader = cluster.elect(1)
    propose(cluster, 1, change('remove', 1))
    cluster.propose(1, 'a')
    const carries = (message: Message<string>): boolean =>
      message.type === 'append' && message.entries.some(entry => entry.payload === 'a')
    cluster.lose = carries
    cluster.settle()
    expect(leader.group.status()).toMatchObject({ commit: 3, configuration: { voters: [2, 3] } })
    // Two of the former three, but only one of those who are left.
    cluster.lose = message => message.to === 3 && carries(message)
    cluster.tick(2)
    expect(cluster.at(2).group.status().durableIndex).toBe(4)
    expect(leader.group.status().commit).toBe(3)
    cluster.heal()
    cluster.tick(2)
    expect(leader.group.status().commit).toBe(4)
  })

  it('a removal re-evaluates what is committed', () => {
    const cluster = new TestCluster([1, 2, 3, 4], { config: PLAIN })
    cluster.elect(1)
    // The change reaches three of four; the value after it two, which is a majority only without replica 4.
    propose(cluster, 1, change('remove', 4))
    cluster.lose = message => message.to === 4
    cluster.work()
    cluster.propose(1, 'a')
    cluster.lose = message =>
      message.to === 4 ||
      (message.to === 3 && message.type === 'append' && message.entries.some(entry => entry.payload === 'a'))
    cluster.settle()
    expect(cluster.at(1).group.status().configuration.voters).toEqual([1, 2, 3])
    expect(cluster.at(1).applied).toEqual(['a'])
  })

  it('truncation across a change rolls it back', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    cluster.elect(1)
    cluster.isolate(1)
    propose(cluster, 1, change('remove', 3))
    cluster.settle()
    cluster.elect(2)
    cluster.propose(2, 'a')
    cluster.settle()
    cluster.heal()
    cluster.tick(2)
    expect(cluster.at(1).group.status().configuration.voters).toEqual([1, 2, 3])
    expect(cluster.at(1).applied).toEqual(['a'])
  })

  it('a change that is made before the last one is applied builds on it', () => {
    const cluster = new TestCluster([1], { blank: [2, 3], config: { ...PLAIN, validateConfigChanges: false } })
    cluster.elect(1)
    expect(propose(cluster, 1, change('addLearner', 2))).toMatchObject({ type: 'accepted', index: 3 })
    expect(propose(cluster, 1, change('addLearner', 3))).toMatchObject({ type: 'accepted', index: 4 })
    cluster.settle()
    expect(cluster.at(1).group.status()).toMatchObject({ configuration: { voters: [1], learners: [2, 3] } })
  })

  it('a configuration entry that says no configuration stops the replica', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    const entry = { index: 2, term: 1, kind: 'config', size: 0, payload: null } as const
    expect(() => cluster.at(1).step({ type: 'configApplied', entry })).toThrow(/entry 2 is no configuration entry/)
  })

  it('an empty voter set is refused', () => {
    const cluster = new TestCluster([1], { config: PLAIN })
    cluster.elect(1)
    expect(propose(cluster, 1, change('remove', 1))).toMatchObject({ type: 'dropped', reason: 'invalidConfigChange' })
  })

  it('a voter whose last words were lost is told what was committed by those who may no longer campaign', () => {
    // Leaving the joint configuration makes learners of 2 and 3. Their leader stops being one as soon as it has applied
    // that, with an entry more in its log than replica 1, which has the change but does not know that it is committed.
    const cluster = new TestCluster([1, 2, 3], { config: { stepDownOnRemoval: true } })
    cluster.elect(3)
    propose(cluster, 3, { ...change('addLearner', 2, 3), transition: 'explicit' })
    cluster.settle()
    propose(cluster, 3, { steps: [], transition: 'auto' })
    cluster.lose = message =>
      message.to === 1 && message.type === 'append' && message.entries[0]?.config?.change.steps.length !== 0
    cluster.propose(3, 'a')
    cluster.settle()
    expect(cluster.newestLeader()).toBeUndefined()
    expect(cluster.at(1).group.status().configuration.votersOutgoing).toEqual([1, 2, 3])
    cluster.heal()
    cluster.tick(60)
    expect(cluster.leader().group.status()).toMatchObject({ id: 1, configuration: { voters: [1], learners: [2, 3] } })
  })
})
