/** Ongaro's thesis, chapter 4 (membership): one claim, one test. Changes take effect when applied, not when appended. */
import { describe, expect, it } from 'vitest'
import type { ConfigChange, ConfigChangeKind } from '../configuration.ts'
import type { StepResult } from '../input.ts'
import { TestCluster } from '../testing/test-cluster.ts'

function change(kind: ConfigChangeKind, ...ids: number[]): ConfigChange {
  return { steps: ids.map(id => ({ kind, id })), transition: 'auto' }
}

function propose(cluster: TestCluster, id: number, wanted: ConfigChange): StepResult {
  return cluster.at(id).step({ type: 'proposeConfigChange', change: wanted })
}

describe('section 4.1: one server at a time', () => {
  it('a change is an entry, and needs a majority like any other', () => {
    const cluster = new TestCluster([1, 2, 3], { blank: [4] })
    cluster.elect(1)
    cluster.isolate(1)
    expect(propose(cluster, 1, change('addVoter', 4))).toMatchObject({ type: 'accepted', index: 3 })
    cluster.settle()
    expect(cluster.at(1).group.status().configuration.voters).toEqual([1, 2, 3])
    cluster.heal()
    cluster.tick(3)
    expect(cluster.at(1).group.status()).toMatchObject({ configuration: { voters: [1, 2, 3, 4] } })
  })

  it('only one change is under way at a time', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    propose(cluster, 1, change('remove', 3))
    expect(propose(cluster, 1, change('remove', 2))).toMatchObject({ type: 'dropped', reason: 'configChangePending' })
    cluster.settle()
    expect(propose(cluster, 1, change('remove', 2))).toMatchObject({ type: 'accepted' })
  })

  it('a new voter counts as soon as the change is applied', () => {
    const cluster = new TestCluster([1], { blank: [2] })
    cluster.elect(1)
    propose(cluster, 1, change('addVoter', 2))
    cluster.settle()
    cluster.isolate(2)
    cluster.propose(1, 'a')
    cluster.settle()
    expect(cluster.at(1).applied).toEqual([])
    cluster.heal()
    cluster.tick(3)
    expect(cluster.at(1).applied).toEqual(['a'])
  })

  it('an expected index makes a change conditional on the configuration that its maker saw', () => {
    const cluster = new TestCluster([1, 2, 3])
    const leader = cluster.elect(1)
    const seen = leader.group.status().configurationIndex
    propose(cluster, 1, { ...change('remove', 3), expectedIndex: seen })
    cluster.settle()
    const again = propose(cluster, 1, { ...change('remove', 2), expectedIndex: seen })
    expect(again).toMatchObject({ type: 'dropped', reason: 'expectedIndex' })
  })
})

describe('section 4.2.1: catching up', () => {
  it('a learner gets entries but neither votes in the quorum nor campaigns', () => {
    const cluster = new TestCluster([1, 2], { learners: [3] })
    cluster.elect(1)
    cluster.isolate(1, 3)
    cluster.propose(1, 'a')
    cluster.settle()
    expect(cluster.at(1).group.status().commit).toBe(2)
    expect(cluster.at(3).group.status().lastIndex).toBe(3)
    for (let i = 0; i < 50; i++) cluster.at(3).step({ type: 'tick' })
    cluster.at(3).step({ type: 'campaign' })
    expect(cluster.at(3).group.status()).toMatchObject({ role: 'follower', term: 2 })
  })

  it('a learner that has caught up is promoted where this is asked for', () => {
    const cluster = new TestCluster([1, 2], { learners: [3], config: { autoPromoteLearners: true } })
    cluster.elect(1)
    cluster.propose(1, 'a')
    cluster.settle()
    cluster.tick(2)
    expect(cluster.at(2).group.status().configuration).toMatchObject({ voters: [1, 2, 3], learners: [] })
  })

  it('a learner that is behind is not', () => {
    const cluster = new TestCluster([1, 2], { learners: [3], config: { autoPromoteLearners: true } })
    cluster.isolate(3)
    cluster.elect(1)
    cluster.propose(1, 'a')
    cluster.tick(5)
    expect(cluster.at(1).group.status().configuration.learners).toEqual([3])
  })
})

describe('section 4.2.2: removing the leader', () => {
  it('a removed leader manages the cluster until the change is committed, without counting itself, and steps down', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { stepDownOnRemoval: true } })
    cluster.elect(1)
    propose(cluster, 1, change('remove', 1))
    cluster.settle()
    expect(cluster.at(1).group.status()).toMatchObject({ role: 'follower', leader: 0 })
    cluster.tick(30)
    expect([2, 3]).toContain(cluster.leader().id)
    expect(cluster.leader().group.status().configuration.voters).toEqual([2, 3])
  })
})

describe('section 4.2.3: disruptive servers', () => {
  it('a removed server cannot depose the leader', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.isolate(3)
    propose(cluster, 1, change('remove', 3))
    cluster.settle()
    cluster.heal()
    cluster.tick(50)
    expect(cluster.at(1).group.status()).toMatchObject({ role: 'leader', term: 2 })
  })

  it('nor can it without pre-vote, as long as followers hear the leader', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { preVote: false } })
    cluster.elect(1)
    cluster.tick(1)
    cluster.at(2).receive({ type: 'vote', from: 3, to: 2, term: 50, lastIndex: 99, lastTerm: 9, transfer: false })
    expect(cluster.at(2).group.status().term).toBe(2)
  })
})

describe('section 4.3: joint consensus', () => {
  it('while the configuration is joint both majorities decide', () => {
    const cluster = new TestCluster([1, 2, 3], { blank: [4, 5] })
    cluster.elect(1)
    propose(cluster, 1, {
      steps: [
        { kind: 'addVoter', id: 4 },
        { kind: 'addVoter', id: 5 },
        { kind: 'remove', id: 2 },
        { kind: 'remove', id: 3 },
      ],
      transition: 'explicit',
    })
    cluster.settle()
    cluster.tick(5)
    expect(cluster.at(4).group.status().configuration).toMatchObject({
      voters: [1, 4, 5],
      votersOutgoing: [1, 2, 3],
    })
    // All of the new configuration, but only one of the old.
    cluster.isolate(2, 3)
    cluster.propose(1, 'a')
    cluster.settle()
    expect(cluster.at(1).applied).toEqual([])
    // Two of the old one, but only one of the new.
    cluster.isolate(4, 5)
    cluster.tick(2)
    expect(cluster.at(1).applied).toEqual(['a'])
    cluster.propose(1, 'b')
    cluster.settle()
    expect(cluster.at(1).applied).toEqual(['a'])
    cluster.heal()
    cluster.tick(2)
    expect(cluster.at(1).applied).toEqual(['a', 'b'])
  })

  it('a joint configuration is left by itself once it is applied', () => {
    const cluster = new TestCluster([1, 2, 3], { blank: [4, 5] })
    cluster.elect(1)
    propose(cluster, 1, change('addVoter', 4, 5))
    cluster.settle()
    cluster.tick(10)
    for (const id of [1, 2, 3, 4, 5]) {
      expect(cluster.at(id).group.status().configuration).toMatchObject({
        voters: [1, 2, 3, 4, 5],
        votersOutgoing: [],
      })
    }
  })

  it('another change must wait until it is left', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    propose(cluster, 1, { ...change('remove', 3), transition: 'explicit' })
    cluster.settle()
    const refused = propose(cluster, 1, change('addLearner', 3))
    expect(refused).toMatchObject({ type: 'dropped', reason: 'invalidConfigChange' })
    propose(cluster, 1, { steps: [], transition: 'auto' })
    cluster.settle()
    expect(propose(cluster, 1, change('addLearner', 3))).toMatchObject({ type: 'accepted' })
  })
})
