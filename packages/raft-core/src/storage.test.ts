import { describe, expect, it } from 'vitest'
import type { Configuration } from './configuration.ts'
import type { FetchRequest, Input } from './input.ts'
import { EMPTY_CONFIGURATION } from './membership/changer.ts'
import type { InstallSnapshot, Message } from './message.ts'
import { RaftGroup } from './raft-group.ts'
import { TestCluster } from './testing/test-cluster.ts'
import type { Disk, TestReplica } from './testing/test-replica.ts'

const PLAIN = { preVote: false, checkQuorum: false }

const SNAPSHOT: InstallSnapshot<string> = {
  type: 'snapshot',
  from: 2,
  to: 1,
  term: 2,
  snapshot: {
    index: 9,
    term: 2,
    configuration: { ...EMPTY_CONFIGURATION, voters: [1, 2, 3] },
    payload: JSON.stringify(['state']),
  },
}

/** A replica that has asked for entries 2 to 4, all committed and none in memory, to apply them. */
function applying(): TestReplica {
  const cluster = new TestCluster([1, 2, 3], { config: { ...PLAIN, cacheBytesMax: 0 } })
  const replica = cluster.at(1)
  replica.load([2, 2, 2], 2, 4)
  replica.restart({ entries: [] })
  replica.drain()
  expect(replica.fetches).toMatchObject([{ purpose: 'apply', from: 2, to: 5 }])
  return replica
}

/** Installs the snapshot and lets the replica ask for entry 10, which follows it. */
function askAgainAfterSnapshot(replica: TestReplica): void {
  replica.receive(SNAPSHOT)
  const entry = { index: 10, term: 2, kind: 'normal', size: 1, payload: 'a' } as const
  const append = { type: 'append', from: 2, to: 1, term: 2, prevIndex: 9, prevTerm: 2, commit: 9 } as const
  replica.receive({ ...append, entries: [entry] })
  replica.drain()
  replica.completeAppend()
  replica.receive({ type: 'heartbeat', from: 2, to: 1, term: 2, commit: 10, context: 0 })
  replica.drain()
  expect(replica.fetches).toMatchObject([{ from: 10, to: 11 }])
}

describe('entries that are fetched to be applied', () => {
  it('and could not be read are asked for again with the next tick, not before', () => {
    const replica = applying()
    replica.step({ type: 'fetchFailed', request: replica.fetches.shift()!, reason: 'io' })
    expect(replica.group.hasOutput()).toBe(false)
    replica.step({ type: 'tick' })
    replica.drain()
    expect(replica.fetches).toMatchObject([{ purpose: 'apply', from: 2, to: 5 }])
    replica.completeFetch()
    replica.drain()
    replica.completeApply()
    expect(replica.applied).toEqual(['2.2', '2.3', '2.4'])
  })

  it('and do not fit the log are not applied, and asked for again with the next tick, not before', () => {
    const replica = applying()
    const request = replica.fetches.shift()!
    const entries = replica.disk.entries.map(entry => ({ ...entry, term: 1 }))
    for (const wrong of [entries, replica.disk.entries.slice(1), []]) {
      replica.step({ type: 'entriesFetched', request, entries: wrong })
      expect(replica.group.hasOutput()).toBe(false)
    }
    replica.step({ type: 'tick' })
    replica.drain()
    expect(replica.fetches).toMatchObject([{ purpose: 'apply', from: 2, to: 5 }])
  })

  it('and failed to arrive before a snapshot came are not asked for twice because of that', () => {
    const replica = applying()
    replica.step({ type: 'fetchFailed', request: replica.fetches.shift()!, reason: 'io' })
    askAgainAfterSnapshot(replica)
    replica.step({ type: 'tick' })
    replica.drain()
    expect(replica.fetches).toHaveLength(1)
  })

  it.each<[string, (request: FetchRequest, disk: Disk) => Input<string>]>([
    ['arrive', (request, disk) => ({ type: 'entriesFetched', request, entries: disk.entries })],
    ['fail to', request => ({ type: 'fetchFailed', request, reason: 'compacted' })],
  ])('and %s after a snapshot has brought them change nothing', (_what, late) => {
    const replica = applying()
    const input = late(replica.fetches.shift()!, { ...replica.disk })
    askAgainAfterSnapshot(replica)
    replica.step(input)
    replica.step({ type: 'tick' })
    replica.drain()
    expect(replica.fetches).toHaveLength(1)
    replica.completeFetch()
    replica.drain()
    replica.completeApply()
    expect(replica.applied).toEqual(['state', 'a'])
  })
})

/** A leader that has asked for entries that have left memory, to send them to replica 3. */
function sending(): { cluster: TestCluster; leader: TestReplica } {
  const cluster = new TestCluster([1, 2, 3], { config: { ...PLAIN, cacheBytesMax: 1 } })
  const leader = cluster.elect(1)
  cluster.isolate(3)
  for (let i = 0; i < 5; i++) cluster.propose(1, `value${i}`)
  cluster.settle()
  cluster.heal()
  leader.step({ type: 'tick' })
  for (let i = 0; i < 20 && leader.fetches.length === 0; i++) {
    for (const replica of cluster.replicas.values()) {
      cluster.network.push(...replica.drain())
      while (replica.appendTasks.length > 0) cluster.network.push(...replica.completeAppend())
    }
    cluster.deliver()
  }
  expect(leader.fetches).toMatchObject([{ purpose: 'send', peer: 3, from: 3 }])
  return { cluster, leader }
}

describe('entries that are fetched to be sent', () => {
  it('and do not fit the log are not sent; the next heartbeat tries again', () => {
    const { cluster, leader } = sending()
    const request = leader.fetches.shift()!
    const entries = leader.disk.entries.slice(1).map(entry => ({ ...entry, term: 1 }))
    leader.step({ type: 'entriesFetched', request, entries })
    expect(leader.drain().filter(message => message.to === 3)).toEqual([])
    expect(leader.group.status().peers[2]).toMatchObject({ state: 'replicate', paused: true })
    cluster.settle()
    expect(cluster.at(3).applied).toEqual([])
    cluster.tick(2)
    expect(cluster.at(3).applied).toEqual(leader.applied)
  })

  it('and arrive, or fail to, after the leadership has ended are sent to nobody', () => {
    const { leader } = sending()
    const request = leader.fetches.shift()!
    const { lastIndex } = leader.group.status()
    const entry = { index: lastIndex + 1, term: 9, kind: 'normal', size: 1, payload: 'a' } as const
    const append = { type: 'append', from: 2, to: 1, term: 9, prevIndex: lastIndex, prevTerm: 2, commit: 2 } as const
    leader.receive({ ...append, entries: [entry] })
    expect(leader.group.status()).toMatchObject({ role: 'follower', lastIndex: lastIndex + 1 })
    leader.drain()
    leader.step({ type: 'entriesFetched', request, entries: leader.disk.entries.slice(1) })
    leader.step({ type: 'fetchFailed', request, reason: 'compacted' })
    leader.step({ type: 'fetchFailed', request, reason: 'io' })
    expect(leader.drain()).toEqual([])
  })
})

/** Leads a log (3, 6] with a configuration that took effect at 6, and does not know the one at the base. */
function leaderWithGap(): { group: RaftGroup<string>; snapshotSent(): Message<string>[] } {
  const group = new RaftGroup<string>(
    { id: 1, ...PLAIN },
    {
      hardState: { term: 2, vote: 0, commit: 6 },
      base: { index: 3, term: 2 },
      lastIndex: 6,
      terms: [{ first: 4, term: 2 }],
      configuration: { ...EMPTY_CONFIGURATION, voters: [1, 2] },
      configurationIndex: 6,
      applied: 6,
    },
    () => 0,
  )
  const receive = (message: Message<string>): unknown => group.step({ type: 'message', message })
  group.step({ type: 'campaign' })
  for (const response of group.takeOutput().append?.responses ?? []) receive(response)
  receive({ type: 'voteResponse', from: 2, to: 1, term: 3, granted: true })
  receive({ type: 'appendResponse', from: 2, to: 1, term: 3, index: 6, rejected: true, hintIndex: 0, hintTerm: 0 })
  expect(group.takeOutput().snapshotWanted).toBe(true)
  return {
    group,
    snapshotSent: () => {
      receive({ type: 'heartbeatResponse', from: 2, to: 1, term: 3, context: 0 })
      return group.takeOutput().messages.filter(message => message.type === 'snapshot')
    },
  }
}

describe('a compaction', () => {
  const earlier: Configuration = { ...EMPTY_CONFIGURATION, voters: [1], learners: [2] }

  it.each([
    ['since when it is in force', { configurationIndex: 4 }, 4],
    ['nothing of when: then the base stands for it', {}, 5],
  ])('that says the configuration at the base, and %s, makes a snapshot of it possible', (_what, since, index) => {
    const { group, snapshotSent } = leaderWithGap()
    group.step({ type: 'compacted', index: 5, term: 2, configuration: earlier, ...since })
    expect(snapshotSent()).toMatchObject([
      { to: 2, snapshot: { index: 5, term: 2, configuration: earlier, configurationIndex: index } },
    ])
  })

  it('that does not say it leaves the core asking for a snapshot', () => {
    const { group, snapshotSent } = leaderWithGap()
    group.step({ type: 'compacted', index: 5, term: 2 })
    expect(snapshotSent()).toEqual([])
    group.step({ type: 'message', message: { type: 'heartbeatResponse', from: 2, to: 1, term: 3, context: 0 } })
    expect(group.takeOutput().snapshotWanted).toBe(true)
  })

  it('that says what is known does not make it newer than it is', () => {
    const cluster = new TestCluster([1], { config: PLAIN })
    const { group } = cluster.elect(1)
    const { configuration, configurationIndex } = group.status()
    expect(configurationIndex).toBe(1)
    group.step({ type: 'compacted', index: 2, term: 2, configuration })
    expect(group.status()).toMatchObject({ baseIndex: 2, configurationIndex: 1 })
  })
})
