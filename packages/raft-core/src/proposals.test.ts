import { describe, expect, it } from 'vitest'
import { TestCluster } from './testing/test-cluster.ts'

const PLAIN = { preVote: false, checkQuorum: false }

describe('proposals', () => {
  it('of several entries go in as a whole, in order', () => {
    const cluster = new TestCluster([1], { config: PLAIN })
    cluster.elect(1)
    expect(cluster.propose(1, 'a', 'b')).toEqual({ type: 'accepted', index: 3, term: 2 })
    cluster.settle()
    expect(cluster.at(1).applied).toEqual(['a', 'b'])
  })

  it('are refused by a follower, with the leader that takes them', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    expect(cluster.propose(2, 'a')).toMatchObject({ type: 'dropped', reason: 'noLeader', leader: 0 })
    cluster.elect(1)
    expect(cluster.propose(2, 'a')).toMatchObject({ type: 'dropped', reason: 'notLeader', leader: 1 })
  })

  it('are passed on where a group forwards them, changes of the configuration too', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { ...PLAIN, forwardProposals: true } })
    cluster.elect(1)
    expect(cluster.propose(2, 'a')).toEqual({ type: 'ok' })
    cluster.at(3).step({
      type: 'proposeConfigChange',
      change: { steps: [{ kind: 'remove', id: 2 }], transition: 'auto' },
    })
    cluster.settle()
    expect(cluster.at(3).applied).toEqual(['a'])
    expect(cluster.at(3).group.status().configuration.voters).toEqual([1, 3])
  })

  it('are not passed to and fro by two followers that take each other for the leader', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { ...PLAIN, forwardProposals: true } })
    const follower = cluster.at(1)
    follower.receive({ type: 'heartbeat', from: 2, to: 1, term: 2, commit: 1, context: 0 })
    const entries = [{ kind: 'normal', size: 1, payload: 'a' } as const]
    expect(follower.receive({ type: 'propose', from: 2, to: 1, term: 2, entries })).toMatchObject({
      type: 'dropped',
      reason: 'notLeader',
    })
  })

  it('that were passed on with a change of the configuration among others are refused as a whole', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    const leader = cluster.elect(1)
    const change = { steps: [{ kind: 'remove', id: 3 }], transition: 'auto' } as const
    const config = { change, result: leader.group.status().configuration }
    const entries = [
      { kind: 'normal', size: 1, payload: 'a' },
      { kind: 'config', size: 0, payload: null, config },
    ] as const
    expect(leader.receive({ type: 'propose', from: 2, to: 1, term: 2, entries })).toMatchObject({
      type: 'dropped',
      reason: 'invalidConfigChange',
    })
    expect(leader.group.status().lastIndex).toBe(2)
  })

  it('need an entry', () => {
    const cluster = new TestCluster([1])
    expect(() => cluster.at(1).step({ type: 'propose', entries: [] })).toThrow(RangeError)
  })

  it('payloads are handed on by reference, and those that the core makes are empty', () => {
    const cluster = new TestCluster([1, 2], { config: PLAIN })
    const leader = cluster.elect(1)
    cluster.propose(1, 'a')
    const [message] = leader.drain()
    const task = leader.appendTasks.at(-1)
    expect(message?.type === 'append' && message.entries[0]).toBe(task?.entries[0])
    expect(leader.disk.entries[0]).toMatchObject({ kind: 'normal', payload: null, size: 0 })
  })

  it('messages that only a replica may send itself are refused from others, and answers of strangers too', () => {
    const cluster = new TestCluster([1, 2], { config: PLAIN })
    const replica = cluster.elect(1)
    expect(replica.receive({ type: 'storageAppended', from: 2, to: 1, term: 2, index: 9, logTerm: 2 })).toMatchObject({
      type: 'dropped',
      reason: 'localMessage',
    })
    expect(replica.receive({ type: 'heartbeatResponse', from: 7, to: 1, term: 2, context: 0 })).toMatchObject({
      type: 'dropped',
      reason: 'unknownPeer',
    })
  })
})
