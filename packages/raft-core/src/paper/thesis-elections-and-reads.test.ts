/** Ongaro's thesis, sections 3.10 (transfer), 6.2, 6.4 (reads) and 9.6 (pre-vote): one claim, one test. */
import { describe, expect, it } from 'vitest'
import { TestCluster } from '../testing/test-cluster.ts'

describe('section 3.10: leadership transfer', () => {
  it('the leader stops taking proposals, brings the target up to date and lets it campaign at once', () => {
    const cluster = new TestCluster([1, 2, 3])
    const leader = cluster.elect(1)
    cluster.isolate(2)
    cluster.propose(1, 'a')
    cluster.settle()
    cluster.heal()
    leader.step({ type: 'transferLeader', target: 2 })
    expect(cluster.propose(1, 'b')).toMatchObject({ type: 'dropped', reason: 'transferring' })
    cluster.settle()
    cluster.tick(2)
    expect(cluster.at(2).group.status()).toMatchObject({ role: 'leader', term: 3 })
    expect(cluster.at(2).applied).toEqual(['a'])
  })

  it('the word to campaign is said again with each heartbeat: it may be lost, or come before its hearer is a voter', () => {
    const cluster = new TestCluster([1, 2, 3])
    const leader = cluster.elect(1)
    cluster.isolate(2)
    leader.step({ type: 'transferLeader', target: 2 })
    cluster.settle()
    cluster.heal()
    expect(leader.group.status()).toMatchObject({ role: 'leader', leadTransferee: 2 })
    cluster.tick(1)
    expect(cluster.at(2).group.status()).toMatchObject({ role: 'leader', term: 3 })
  })

  it('a transfer that does not complete within an election timeout is given up', () => {
    const cluster = new TestCluster([1, 2, 3])
    const leader = cluster.elect(1)
    cluster.isolate(2)
    leader.step({ type: 'transferLeader', target: 2 })
    expect(leader.group.status().leadTransferee).toBe(2)
    cluster.tick(10)
    expect(leader.group.status()).toMatchObject({ role: 'leader', leadTransferee: 0 })
    expect(cluster.propose(1, 'b')).toMatchObject({ type: 'accepted' })
  })

  it('a follower passes the request on to its leader', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.at(3).step({ type: 'transferLeader', target: 2 })
    cluster.settle()
    expect(cluster.leader().id).toBe(2)
  })
})

describe('section 6.2: leaders step down', () => {
  it('a leader that reaches no majority for an election timeout steps down', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.isolate(1)
    cluster.tick(20)
    expect(cluster.at(1).group.status().role).not.toBe('leader')
    expect([2, 3]).toContain(cluster.leader().id)
  })

  it('a leader counts itself as heard from, however slow its own disk is', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.stalled.add(1)
    const leader = cluster.at(1)
    leader.step({ type: 'campaign' })
    // Its pre-vote and its vote for itself are stored; its first entry is not, for the whole test.
    for (let i = 0; i < 2; i++) {
      cluster.settle()
      cluster.network.push(...leader.completeAppend())
    }
    cluster.settle()
    expect(leader.group.status()).toMatchObject({ role: 'leader', durableIndex: 1 })
    expect(leader.group.status().peers[0]).toMatchObject({ match: 1, state: 'replicate' })
    cluster.isolate(3)
    cluster.tick(25)
    expect(leader.group.status()).toMatchObject({ role: 'leader', term: 2, durableIndex: 1 })
  })

  it('a leader that can send but not receive steps down too', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.lose = message => message.to === 1
    cluster.tick(20)
    expect(cluster.at(1).group.status().role).not.toBe('leader')
  })
})

describe('section 6.4: linearizable reads', () => {
  it('a read is answered with the commit index at its arrival, after a round of heartbeats', () => {
    const cluster = new TestCluster([1, 2, 3])
    const leader = cluster.elect(1)
    cluster.propose(1, 'a')
    cluster.settle()
    leader.step({ type: 'readIndex', context: 77 })
    cluster.work()
    expect(leader.reads).toEqual([])
    cluster.propose(1, 'b')
    cluster.settle()
    expect(leader.reads).toEqual([{ index: 3, context: 77 }])
  })

  it('a leader that was deposed without knowing it answers nothing', () => {
    const cluster = new TestCluster([1, 2, 3])
    const old = cluster.elect(1)
    cluster.isolate(1)
    cluster.elect(2)
    cluster.at(2).step({ type: 'forgetLeader' })
    cluster.at(3).step({ type: 'forgetLeader' })
    cluster.elect(2)
    expect(cluster.leader().id).toBe(2)
    old.step({ type: 'readIndex', context: 5 })
    cluster.settle()
    expect(old.reads).toEqual([])
    cluster.heal()
    cluster.tick(2)
    expect(old.reads).toEqual([{ index: 0, context: 5, aborted: true }])
  })

  it('a follower asks its leader and gets its own context back', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.at(3).step({ type: 'readIndex', context: 9 })
    cluster.settle()
    expect(cluster.at(3).reads).toEqual([{ index: 2, context: 9 }])
  })

  it('reads that arrive together share a round', () => {
    const cluster = new TestCluster([1, 2, 3])
    const leader = cluster.elect(1)
    for (let context = 1; context <= 5; context++) leader.step({ type: 'readIndex', context })
    const heartbeats = leader.drain().filter(message => message.type === 'heartbeat')
    expect(heartbeats).toHaveLength(2)
    cluster.network.push(...heartbeats)
    cluster.settle()
    expect(leader.reads.map(read => read.context)).toEqual([1, 2, 3, 4, 5])
  })

  it('a lease answers at once, from the send time of an acknowledged round on (section 6.4.1)', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { readMode: 'lease', leaseMs: 80 } })
    // Nobody votes for an election timeout after its start: a lease given before may still run.
    expect(cluster.elect(1).group.status().role).not.toBe('leader')
    cluster.tick(30)
    const leader = cluster.leader()
    leader.step({ type: 'tick', nowMs: 1_000 })
    expect(leader.group.leaseValid(1_001)).toBe(false)
    cluster.settle()
    expect(leader.group.status().leaseUntilMs).toBe(1_080)
    leader.step({ type: 'readIndex', context: 1, nowMs: 1_079 })
    leader.drain()
    expect(leader.reads).toEqual([{ index: 2, context: 1 }])
    expect([leader.group.leaseValid(1_079), leader.group.leaseValid(1_080)]).toEqual([true, false])
  })
})

describe('section 9.6: pre-vote', () => {
  it('a server that was cut off does not raise the term, and disturbs nobody when it is back', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.isolate(3)
    cluster.tick(100)
    expect(cluster.at(3).group.status()).toMatchObject({ role: 'preCandidate', term: 2 })
    cluster.heal()
    cluster.tick(3)
    expect(cluster.leader().group.status()).toMatchObject({ id: 1, term: 2 })
    expect(cluster.at(3).group.status()).toMatchObject({ role: 'follower', leader: 1 })
  })

  it('a pre-vote is granted only to a log that is up to date', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { checkQuorum: false } })
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1, 'a')
    cluster.settle()
    cluster.heal()
    cluster.at(3).step({ type: 'campaign' })
    cluster.settle()
    expect(cluster.at(1).group.status()).toMatchObject({ role: 'leader', term: 2 })
  })
})
