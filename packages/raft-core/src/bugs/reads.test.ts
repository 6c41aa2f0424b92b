/** Defects that other implementations of Raft have had with linearizable reads, each as a test. */
import { describe, expect, it } from 'vitest'
import { TestCluster } from '../testing/test-cluster.ts'

const PLAIN = { preVote: false, checkQuorum: false }

/** A group with leases and a leader that holds one from `nowMs` on. */
function withLease(nowMs: number): TestCluster {
  const cluster = new TestCluster([1, 2, 3], { config: { readMode: 'lease', leaseMs: 80 } })
  cluster.tick(30)
  cluster.leader().step({ type: 'tick', nowMs })
  cluster.settle()
  return cluster
}

describe('reads', () => {
  it('a read before the first commit of the term waits, within a bound', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { ...PLAIN, pendingReadsMax: 2 } })
    cluster.lose = message => message.type === 'append'
    const leader = cluster.elect(1)
    expect(leader.group.status()).toMatchObject({ role: 'leader', commit: 1 })
    for (const context of [1, 2]) expect(leader.step({ type: 'readIndex', context })).toEqual({ type: 'ok' })
    expect(leader.step({ type: 'readIndex', context: 3 })).toMatchObject({ type: 'dropped', reason: 'readQueueFull' })
    cluster.settle()
    expect(leader.reads).toEqual([])
    cluster.heal()
    cluster.tick(2)
    expect(leader.reads).toEqual([
      { index: 2, context: 1 },
      { index: 2, context: 2 },
    ])
  })

  it('so does a read of a group of one', () => {
    const cluster = new TestCluster([1], { config: PLAIN })
    cluster.stalled.add(1)
    cluster.at(1).load([1, 1], 1, 1)
    const leader = cluster.at(1)
    leader.step({ type: 'campaign' })
    leader.drain()
    leader.completeAppend()
    expect(leader.group.status()).toMatchObject({ role: 'leader', commit: 1 })
    leader.step({ type: 'readIndex', context: 1 })
    leader.drain()
    expect(leader.reads).toEqual([])
    cluster.stalled.clear()
    cluster.settle()
    expect(leader.reads).toEqual([{ index: 4, context: 1 }])
  })

  it('a retried read is not confirmed by late acknowledgements of an earlier round', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    const leader = cluster.elect(1)
    leader.step({ type: 'readIndex', context: 7 })
    const first = leader.drain().find(message => message.type === 'heartbeat')
    leader.step({ type: 'readIndex', context: 7 })
    leader.drain()
    const context = first?.type === 'heartbeat' ? first.context : 0
    leader.receive({ type: 'heartbeatResponse', from: 2, to: 1, term: 2, context })
    leader.drain()
    expect(leader.reads).toHaveLength(1)
  })

  it('acknowledgements of another term confirm nothing', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    const leader = cluster.elect(1)
    leader.step({ type: 'readIndex', context: 7 })
    leader.drain()
    leader.receive({ type: 'heartbeatResponse', from: 2, to: 1, term: 1, context: 1 })
    leader.drain()
    expect(leader.reads).toEqual([])
  })

  it('a round whose heartbeats were lost is repeated by the clock', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    const leader = cluster.elect(1)
    leader.step({ type: 'readIndex', context: 7 })
    leader.drain()
    cluster.tick(1)
    expect(leader.reads).toEqual([{ index: 2, context: 7 }])
  })

  it('a read that was passed on and never answered is given up', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    cluster.elect(1)
    cluster.at(3).step({ type: 'readIndex', context: 7 })
    cluster.lose = message => message.type === 'readIndex'
    cluster.tick(10)
    expect(cluster.at(3).reads).toEqual([{ index: 0, context: 7, aborted: true }])
  })

  it('a read that waits is answered when the configuration shrinks to those who have answered', () => {
    const cluster = new TestCluster([1, 2], { config: PLAIN })
    const leader = cluster.elect(1)
    leader.step({
      type: 'proposeConfigChange',
      change: { steps: [{ kind: 'remove', id: 2 }], transition: 'auto' },
    })
    cluster.lose = message => message.type === 'heartbeat'
    leader.step({ type: 'readIndex', context: 1 })
    cluster.settle()
    expect(leader.group.status().configuration.voters).toEqual([1])
    expect(leader.reads).toMatchObject([{ context: 1 }])
  })

  it('a read under a lease after a long sleep is refused the lease', () => {
    const cluster = withLease(1_000)
    const leader = cluster.leader()
    leader.step({ type: 'readIndex', context: 1, nowMs: 60_000 })
    leader.drain()
    expect(leader.reads).toEqual([])
    expect(leader.group.leaseValid(60_000)).toBe(false)
  })

  it('a read without a reading of the clock is not answered under the lease', () => {
    const leader = withLease(1_000).leader()
    leader.step({ type: 'readIndex', context: 1 })
    leader.drain()
    expect(leader.reads).toEqual([])
  })

  it('a round for the read of a follower counts from the reading of the clock that its request came with', () => {
    const leader = withLease(1_000).leader()
    const from = leader.id === 1 ? 2 : 1
    const { term, leaseUntilMs } = leader.group.status()
    expect(leaseUntilMs).toBe(1_080)
    const message = { type: 'readIndex', from, to: leader.id, term, context: 5 } as const
    leader.step({ type: 'message', message, nowMs: 1_050 })
    const heartbeat = leader.drain().find(sent => sent.type === 'heartbeat')
    const context = heartbeat?.type === 'heartbeat' ? heartbeat.context : 0
    leader.receive({ type: 'heartbeatResponse', from, to: leader.id, term, context })
    expect(leader.drain()).toMatchObject([{ type: 'readIndexResponse', to: from, context: 5 }])
    expect(leader.group.status().leaseUntilMs).toBe(1_130)
  })

  it('a lease runs from the sending of a round, however late its acknowledgement comes', () => {
    const leader = withLease(1_000).leader()
    const from = leader.id === 1 ? 2 : 1
    leader.step({ type: 'tick', nowMs: 1_010 })
    const heartbeat = leader.drain().find(sent => sent.type === 'heartbeat')
    const context = heartbeat?.type === 'heartbeat' ? heartbeat.context : 0
    expect(context).toBeGreaterThan(0)
    const { term } = leader.group.status()
    const message = { type: 'heartbeatResponse', from, to: leader.id, term, context } as const
    leader.step({ type: 'message', message, nowMs: 1_075 })
    expect(leader.group.status().leaseUntilMs).toBe(1_090)
    expect(leader.group.leaseValid(1_091)).toBe(false)
  })

  it('a lease ends for the term when a transfer starts', () => {
    const cluster = withLease(1_000)
    const leader = cluster.leader()
    expect(leader.group.leaseValid(1_010)).toBe(true)
    leader.step({ type: 'transferLeader', target: leader.id === 1 ? 2 : 1 })
    expect(leader.group.leaseValid(1_010)).toBe(false)
    leader.step({ type: 'tick', nowMs: 1_020 })
    expect(leader.group.leaseValid(1_021)).toBe(false)
  })

  it('a lease is of no use before the first commit of the term', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { readMode: 'lease', leaseMs: 80 } })
    cluster.lose = message => message.type === 'append'
    cluster.tick(15)
    const leader = cluster.leader()
    leader.step({ type: 'tick', nowMs: 1_000 })
    cluster.settle()
    expect(leader.group.status().leaseUntilMs).toBe(1_080)
    expect(leader.group.leaseValid(1_001)).toBe(false)
  })

  it('a follower under leases does not forget its leader', () => {
    const cluster = withLease(1_000)
    const follower = cluster.at(cluster.leader().id === 1 ? 2 : 1)
    follower.step({ type: 'forgetLeader' })
    expect(follower.group.status().leader).toBe(cluster.leader().id)
  })
})
