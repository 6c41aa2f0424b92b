/** Defects that other implementations of Raft have had in flow control and snapshots, each as a test. */
import { describe, expect, it } from 'vitest'
import { EMPTY_CONFIGURATION } from '../membership/changer.ts'
import type { Message } from '../message.ts'
import { RaftGroup } from '../raft-group.ts'
import { TestCluster } from '../testing/test-cluster.ts'
import type { TestReplica } from '../testing/test-replica.ts'

const PLAIN = { preVote: false, checkQuorum: false }

/** A leader with `count` more entries than replica 3, compacted up to the last. */
function compactedAhead(count: number): TestCluster {
  const cluster = new TestCluster([1, 2, 3])
  cluster.elect(1)
  cluster.isolate(3)
  for (let i = 0; i < count; i++) cluster.propose(1, `${i}`)
  cluster.settle()
  cluster.tick(1)
  cluster.at(1).compact(cluster.at(1).group.status().lastIndex)
  cluster.heal()
  return cluster
}

/** A snapshot of index 7, the end of the leader's log, is on its way to replica 3, which matched up to 2 before. */
function withSnapshotUnderWay(): { cluster: TestCluster; leader: TestReplica; acknowledge(index: number): void } {
  const cluster = compactedAhead(5)
  const leader = cluster.at(1)
  cluster.lose = message => message.type === 'snapshot'
  cluster.tick(2)
  expect(leader.group.status().peers[2]).toMatchObject({ match: 2, state: 'snapshot', pendingSnapshot: 7 })
  const acknowledge = (index: number): void => {
    leader.receive({
      type: 'appendResponse',
      from: 3,
      to: 1,
      term: 2,
      index,
      rejected: false,
      hintIndex: 0,
      hintTerm: 0,
    })
  }
  return { cluster, leader, acknowledge }
}

describe('flow', () => {
  it('a full window that was lost recovers by the next heartbeat', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { ...PLAIN, inflightMessagesMax: 2, messageBytesMax: 1 } })
    const leader = cluster.elect(1)
    cluster.isolate(3)
    for (let i = 0; i < 6; i++) cluster.propose(1, `${i}`)
    cluster.settle()
    expect(leader.group.status().peers[2]).toMatchObject({ inflightMessages: 2, inflightFull: true, paused: true })
    cluster.heal()
    cluster.tick(1)
    expect(cluster.at(3).applied).toHaveLength(6)
  })

  it('the window is bounded by bytes too', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { ...PLAIN, inflightBytesMax: 10 } })
    const leader = cluster.elect(1)
    for (let i = 0; i < 8; i++) cluster.propose(1, 'four')
    expect(leader.group.status().peers[1]).toMatchObject({ inflightMessages: 3, inflightBytes: 12, inflightFull: true })
    cluster.settle()
    expect(cluster.at(2).applied).toHaveLength(8)
  })

  it('a peer that is down is sent a heartbeat per interval, whatever is proposed meanwhile', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    const leader = cluster.elect(1)
    const sent: Message<string>['type'][] = []
    // As a host does it that has no connection: dropped on the spot, and reported.
    cluster.lose = message => {
      if (message.to !== 3) return message.from === 3
      sent.push(message.type)
      leader.step({ type: 'unreachable', peer: 3 })
      return true
    }
    const interval = (): Message<string>['type'][] => {
      for (let i = 0; i < 20; i++) {
        cluster.propose(1, `${i}`)
        cluster.settle()
      }
      cluster.tick(1)
      return sent.splice(0)
    }
    // What is in flight when it goes, and one probe; then nothing but heartbeats.
    expect(interval().filter(type => type === 'append').length).toBeLessThanOrEqual(2)
    for (let i = 0; i < 5; i++) expect(interval()).toEqual(['heartbeat'])
    expect(leader.group.status().peers[2]).toMatchObject({ state: 'probe', match: 2 })
    expect(cluster.at(2).applied).toHaveLength(120)
  })

  it('a heartbeat response frees a probing peer that has everything', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    const leader = cluster.elect(1)
    leader.step({ type: 'unreachable', peer: 3 })
    expect(leader.group.status().peers[2]?.state).toBe('probe')
    cluster.tick(1)
    expect(leader.group.status().peers[2]?.state).toBe('replicate')
  })

  it('a late answer that only tells a term does not send a new leader back to the start of the log', () => {
    const cluster = new TestCluster([1, 2, 3], { config: PLAIN })
    cluster.elect(1)
    for (let i = 0; i < 5; i++) cluster.propose(1, `${i}`)
    cluster.settle()
    cluster.tick(1)
    cluster.at(2).compact(cluster.at(2).group.status().lastIndex)
    cluster.isolate(3)
    const leader = cluster.elect(2)
    const { term } = leader.group.status()
    // What a replica of this term says to a leader of an earlier one.
    leader.receive({
      type: 'appendResponse',
      from: 3,
      to: 2,
      term,
      index: 0,
      rejected: false,
      hintIndex: 0,
      hintTerm: 0,
    })
    expect(leader.group.status().peers[2]).toMatchObject({ state: 'probe', match: 0, next: 8, paused: true })
    expect(leader.drain()).toEqual([])
    let snapshots = 0
    cluster.lose = message => {
      if (message.type === 'snapshot') snapshots++
      return false
    }
    cluster.tick(2)
    expect(leader.group.status().peers[2]).toMatchObject({ state: 'replicate', match: 8 })
    expect(snapshots).toBe(0)
  })

  it('a follower that is behind the compacted log gets a snapshot', () => {
    const cluster = compactedAhead(5)
    cluster.tick(2)
    expect(cluster.at(3).applied).toEqual(['0', '1', '2', '3', '4'])
    expect(cluster.at(1).group.status().peers[2]?.state).toBe('replicate')
  })

  it('a leader whose log is all purged sends a snapshot', () => {
    const cluster = compactedAhead(5)
    const leader = cluster.at(1)
    expect(leader.group.status().baseIndex).toBe(leader.group.status().lastIndex)
    cluster.tick(2)
    expect(cluster.at(3).group.status().lastIndex).toBe(leader.group.status().lastIndex)
  })

  it('a snapshot that failed is sent again with the next heartbeat', () => {
    const cluster = compactedAhead(5)
    const leader = cluster.at(1)
    cluster.lose = message => message.type === 'snapshot'
    cluster.tick(2)
    expect(leader.group.status().peers[2]).toMatchObject({ state: 'snapshot', paused: true })
    leader.step({ type: 'snapshotStatus', peer: 3, status: 'failed' })
    expect(leader.group.status().peers[2]).toMatchObject({ state: 'probe', paused: true })
    cluster.heal()
    cluster.tick(1)
    expect(cluster.at(3).applied).toHaveLength(5)
  })

  it('a peer with a snapshot that the log was compacted beyond meanwhile gets the next one', () => {
    const { cluster, leader, acknowledge } = withSnapshotUnderWay()
    cluster.propose(1, 'on')
    cluster.settle()
    leader.compact(8)
    acknowledge(7)
    expect(leader.group.status().peers[2]).toMatchObject({ match: 7, state: 'snapshot', pendingSnapshot: 8 })
    expect(leader.drain()).toMatchObject([{ type: 'snapshot', to: 3, snapshot: { index: 8 } }])
  })

  it('a late acknowledgement from before a snapshot does not end the wait for it', () => {
    const { leader, acknowledge } = withSnapshotUnderWay()
    acknowledge(3)
    expect(leader.group.status().peers[2]).toMatchObject({ match: 3, state: 'snapshot', pendingSnapshot: 7 })
    expect(leader.drain()).toEqual([])
  })

  it('a snapshot is not sent to a peer that does not answer', () => {
    const cluster = compactedAhead(5)
    cluster.isolate(3)
    cluster.at(1).step({ type: 'unreachable', peer: 3 })
    cluster.tick(15)
    cluster.propose(1, 'on')
    cluster.settle()
    expect(cluster.at(1).group.status().peers[2]).toMatchObject({ state: 'probe', recentActive: false })
    // It is one as soon as it is heard from.
    cluster.heal()
    cluster.tick(2)
    expect(cluster.at(3).applied).toEqual(cluster.at(1).applied)
  })

  it('a leader that knows no snapshot asks for one', () => {
    const configuration = { ...EMPTY_CONFIGURATION, voters: [1, 2] }
    // It knows the configuration since index 4, but not the one at its base, which may have been another.
    const group = new RaftGroup<string>(
      { id: 1, ...PLAIN },
      {
        hardState: { term: 2, vote: 0, commit: 4 },
        base: { index: 3, term: 2 },
        lastIndex: 4,
        terms: [{ first: 4, term: 2 }],
        configuration,
        configurationIndex: 4,
        applied: 4,
      },
      () => 0,
    )
    const receive = (message: Message<string>): unknown => group.step({ type: 'message', message })
    group.step({ type: 'campaign' })
    for (const response of group.takeOutput().append?.responses ?? []) receive(response)
    receive({ type: 'voteResponse', from: 2, to: 1, term: 3, granted: true })
    receive({ type: 'appendResponse', from: 2, to: 1, term: 3, index: 4, rejected: true, hintIndex: 0, hintTerm: 0 })
    expect(group.takeOutput().snapshotWanted).toBe(true)
    const snapshot = { index: 4, term: 2, configuration, payload: 'state' }
    group.step({ type: 'snapshotAvailable', snapshot })
    expect(group.takeOutput().messages).toMatchObject([{ type: 'snapshot', to: 2, snapshot: { index: 4 } }])
  })

  it('a stalled follower disk does not wedge the peer', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { ...PLAIN, inflightMessagesMax: 4 } })
    cluster.elect(1)
    cluster.stalled.add(3)
    for (let i = 0; i < 20; i++) {
      cluster.propose(1, `${i}`)
      cluster.tick(1)
    }
    expect(cluster.at(1).applied).toHaveLength(20)
    cluster.stalled.clear()
    cluster.settle()
    cluster.tick(1)
    expect(cluster.at(3).applied).toHaveLength(20)
  })

  it('a read error of a range stops that peer only, until its next heartbeat', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { ...PLAIN, cacheBytesMax: 1 } })
    const leader = cluster.elect(1)
    cluster.isolate(3)
    for (let i = 0; i < 5; i++) cluster.propose(1, `value${i}`)
    cluster.settle()
    cluster.heal()
    leader.step({ type: 'tick' })
    // Up to the request for the entries that have left memory.
    for (let i = 0; i < 20 && leader.fetches.length === 0; i++) {
      for (const replica of cluster.replicas.values()) {
        cluster.network.push(...replica.drain())
        while (replica.appendTasks.length > 0) cluster.network.push(...replica.completeAppend())
      }
      cluster.deliver()
    }
    const request = leader.fetches.shift()!
    expect(request).toMatchObject({ purpose: 'send', peer: 3 })
    leader.step({ type: 'fetchFailed', request, reason: 'io' })
    expect(leader.group.status().peers[2]?.paused).toBe(true)
    cluster.propose(1, 'on')
    cluster.settle()
    expect(cluster.at(2).applied).toHaveLength(6)
    cluster.tick(1)
    expect(cluster.at(3).applied).toHaveLength(6)
  })

  it('proposals beyond the limit of uncommitted bytes are dropped, and taken again once others are committed', () => {
    const cluster = new TestCluster([1, 2, 3], { config: { ...PLAIN, uncommittedBytesMax: 10 } })
    cluster.elect(1)
    cluster.isolate(1)
    expect(cluster.propose(1, 'eight888')).toMatchObject({ type: 'accepted' })
    expect(cluster.propose(1, 'four')).toMatchObject({ type: 'dropped', reason: 'uncommittedBytesMax' })
    cluster.heal()
    cluster.tick(2)
    expect(cluster.propose(1, 'four')).toMatchObject({ type: 'accepted' })
  })

  it('committed entries are handed out within a limit of bytes', () => {
    const cluster = new TestCluster([1], { config: { ...PLAIN, applyingBytesMax: 10 } })
    const replica = cluster.elect(1)
    for (let i = 0; i < 10; i++) cluster.propose(1, 'five5')
    replica.drain()
    while (replica.appendTasks.length > 0) replica.completeAppend()
    replica.drain()
    expect(replica.applyTasks.map(task => task.entries.length)).toEqual([2])
    cluster.settle()
    expect(replica.applied).toHaveLength(10)
  })
})
