/** Defects that other implementations of Raft have had in elections, each as a test. */
import { describe, expect, it } from 'vitest'
import type { Message, VoteRequest } from '../message.ts'
import { seededRandom } from '../testing/random-schedule.ts'
import { TestCluster } from '../testing/test-cluster.ts'
import type { TestReplica } from '../testing/test-replica.ts'

const PLAIN = { config: { preVote: false, checkQuorum: false } }

function request(type: 'vote' | 'preVote', term: number, from: number, transfer = false): VoteRequest {
  return { type, from, to: 1, term, lastIndex: 1, lastTerm: 1, transfer }
}

/** Everything that a replica says about what it has taken in, once it is durable. */
function answers(replica: TestReplica): Message<string>[] {
  const sent = replica.drain()
  while (replica.appendTasks.length > 0) sent.push(...replica.completeAppend())
  return sent
}

describe('elections', () => {
  it('term and vote are saved in one write', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.at(1).receive(request('vote', 5, 2))
    cluster.at(1).drain()
    expect(cluster.at(1).appendTasks).toHaveLength(1)
    expect(cluster.at(1).appendTasks[0]).toMatchObject({ hardState: { term: 5, vote: 2 }, mustSync: true })
  })

  it('a vote is not answered before it is durable', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.at(1).receive(request('vote', 5, 2))
    expect(cluster.at(1).drain()).toEqual([])
    expect(cluster.at(1).completeAppend()).toMatchObject([{ type: 'voteResponse', granted: true }])
  })

  it('a duplicate grant is counted once', () => {
    const cluster = new TestCluster([1, 2, 3, 4, 5], PLAIN)
    const candidate = cluster.at(1)
    candidate.step({ type: 'campaign' })
    answers(candidate)
    for (let i = 0; i < 3; i++) {
      candidate.receive({ type: 'voteResponse', from: 2, to: 1, term: 2, granted: true })
    }
    expect(candidate.group.status().role).toBe('candidate')
    candidate.receive({ type: 'voteResponse', from: 3, to: 1, term: 2, granted: true })
    expect(candidate.group.status().role).toBe('leader')
  })

  it('the same candidate that asks again in the same term is granted its vote again', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    for (let i = 0; i < 2; i++) {
      cluster.at(1).receive(request('vote', 5, 2))
      expect(answers(cluster.at(1))).toMatchObject([{ type: 'voteResponse', granted: true, term: 5 }])
    }
  })

  it('a vote survives a restart', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.at(1).receive(request('vote', 5, 2))
    answers(cluster.at(1))
    cluster.at(1).restart()
    cluster.at(1).receive(request('vote', 5, 3))
    expect(answers(cluster.at(1))).toMatchObject([{ type: 'voteResponse', granted: false, term: 5 }])
  })

  it('a late self-vote after a change of role counts for nothing', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    replica.step({ type: 'campaign' })
    replica.drain()
    replica.receive({ type: 'heartbeat', from: 2, to: 1, term: 3, commit: 1, context: 0 })
    replica.drain()
    // Nor in the campaign that follows: with it the vote of one other would be enough, before term 4 is durable.
    replica.step({ type: 'campaign' })
    replica.drain()
    replica.completeAppend()
    replica.receive({ type: 'voteResponse', from: 3, to: 1, term: 4, granted: true })
    expect(replica.group.status()).toMatchObject({ role: 'candidate', term: 4 })
    while (replica.appendTasks.length > 0) replica.completeAppend()
    expect(replica.group.status()).toMatchObject({ role: 'leader', term: 4 })
  })

  it('nor does one that comes after another candidate has won the same term', () => {
    const cluster = new TestCluster([1], PLAIN)
    const replica = cluster.at(1)
    replica.step({ type: 'campaign' })
    replica.drain()
    replica.receive({ type: 'heartbeat', from: 2, to: 1, term: 2, commit: 1, context: 0 })
    replica.drain()
    while (replica.appendTasks.length > 0) replica.completeAppend()
    expect(replica.group.status()).toMatchObject({ role: 'follower', term: 2, leader: 2 })
  })

  it('a pre-vote grant echoes the term of the request, and changes nothing', () => {
    const cluster = new TestCluster([1, 2, 3])
    const before = cluster.at(1).group.status()
    cluster.at(1).receive(request('preVote', 2, 2))
    expect(answers(cluster.at(1))).toMatchObject([{ type: 'preVoteResponse', granted: true, term: 2 }])
    expect(cluster.at(1).group.status()).toEqual(before)
  })

  it('a vote that is given resets the election timer, and so does a newer term; a pre-vote and a refusal do not', () => {
    const replica = new TestCluster([1, 2, 3]).at(1)
    const ticksElapsed = (): number => replica.group.status().electionTicksElapsed
    const wait = (ticks: number): void => {
      for (let i = 0; i < ticks; i++) replica.step({ type: 'tick' })
    }
    wait(5)
    replica.receive(request('preVote', 2, 2))
    expect(answers(replica)).toMatchObject([{ granted: true }])
    expect(ticksElapsed()).toBe(5)
    // Its log is too short, but its term is newer.
    replica.receive({ ...request('vote', 2, 2), lastIndex: 0, lastTerm: 0 })
    expect(answers(replica)).toMatchObject([{ granted: false, term: 2 }])
    expect(ticksElapsed()).toBe(0)
    wait(5)
    replica.receive({ ...request('vote', 2, 2), lastIndex: 0, lastTerm: 0 })
    expect(answers(replica)).toMatchObject([{ granted: false, term: 2 }])
    expect(ticksElapsed()).toBe(5)
    replica.receive(request('vote', 2, 3))
    expect(answers(replica)).toMatchObject([{ granted: true, term: 2 }])
    expect(ticksElapsed()).toBe(0)
    // The whole timeout for the one who was voted for.
    wait(replica.group.status().electionTimeoutTicks - 1)
    expect(replica.group.status().role).toBe('follower')
    wait(1)
    expect(replica.group.status().role).toBe('preCandidate')
  })

  it('a pre-vote refusal carries the higher term', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.at(1).load([], 9)
    cluster.at(1).receive(request('preVote', 2, 2))
    expect(answers(cluster.at(1))).toMatchObject([{ type: 'preVoteResponse', granted: false, term: 9 }])
    const candidate = cluster.at(2)
    candidate.step({ type: 'campaign' })
    candidate.receive({ type: 'preVoteResponse', from: 1, to: 2, term: 9, granted: false })
    expect(candidate.group.status()).toMatchObject({ role: 'follower', term: 9 })
  })

  it('a pre-candidate clears its leader', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.at(2).step({ type: 'campaign' })
    expect(cluster.at(2).group.status()).toMatchObject({ role: 'preCandidate', leader: 0 })
  })

  it('a pre-vote response that arrives during the campaign itself is no vote', () => {
    const cluster = new TestCluster([1, 2, 3, 4, 5])
    const candidate = cluster.at(1)
    candidate.step({ type: 'campaign' })
    answers(candidate)
    for (const from of [2, 3]) candidate.receive({ type: 'preVoteResponse', from, to: 1, term: 2, granted: true })
    expect(candidate.group.status().role).toBe('candidate')
    answers(candidate)
    for (const from of [4, 5]) candidate.receive({ type: 'preVoteResponse', from, to: 1, term: 2, granted: true })
    expect(candidate.group.status().role).toBe('candidate')
  })

  it('appends of a lower term are answered, so that a stuck candidate is freed', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    // Replica 3 has a higher term, as after a campaign that nobody heard.
    cluster.at(3).load([2], 7)
    cluster.tick(1)
    expect(cluster.at(1).group.status().term).toBe(7)
    cluster.tick(30)
    expect(cluster.leader().group.status().term).toBeGreaterThan(7)
  })

  it('a transfer bypasses pre-vote and leases', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.tick(1)
    cluster.at(1).step({ type: 'transferLeader', target: 3 })
    cluster.settle()
    expect(cluster.at(3).group.status()).toMatchObject({ role: 'leader', term: 3 })
  })

  it('a transfer target that has not flushed refuses', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.stalled.add(3)
    cluster.propose(1, 'a')
    cluster.settle()
    cluster.at(3).receive({ type: 'timeoutNow', from: 1, to: 3, term: 2 })
    expect(cluster.at(3).group.status()).toMatchObject({ role: 'follower', term: 2 })
  })

  it('nothing is sent as leader of a term after stepping down in the same drain', () => {
    const cluster = new TestCluster([1, 2, 3])
    const leader = cluster.elect(1)
    leader.receive({ type: 'heartbeat', from: 2, to: 1, term: 5, commit: 1, context: 0 })
    expect(cluster.propose(1, 'a')).toMatchObject({ type: 'dropped' })
    leader.step({ type: 'tick' })
    leader.receive({
      type: 'appendResponse',
      from: 3,
      to: 1,
      term: 2,
      index: 2,
      rejected: false,
      hintIndex: 0,
      hintTerm: 0,
    })
    expect(answers(leader).filter(message => message.type !== 'heartbeatResponse')).toEqual([])
  })

  it('entries that were never handed to storage leave no more once their leader has stepped down', () => {
    const cluster = new TestCluster([1, 2, 3])
    const leader = cluster.elect(1)
    cluster.propose(1, 'a')
    leader.receive({ type: 'heartbeat', from: 2, to: 1, term: 5, commit: 1, context: 0 })
    expect(leader.drain().filter(message => message.type === 'append')).toEqual([])
  })

  it('nobody leads a term that its own disk may forget', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const candidate = cluster.at(1)
    candidate.step({ type: 'campaign' })
    candidate.drain()
    for (const from of [2, 3]) candidate.receive({ type: 'voteResponse', from, to: 1, term: 2, granted: true })
    expect(candidate.group.status().role).toBe('candidate')
    // After a crash now it could win term 2 again by the same votes, with other entries.
    candidate.completeAppend()
    expect(candidate.group.status().role).toBe('leader')
  })

  it('an old leader never stamps the new term on its entries', () => {
    const cluster = new TestCluster([1, 2, 3])
    const leader = cluster.elect(1)
    cluster.stalled.add(1)
    cluster.isolate(1)
    cluster.propose(1, 'old')
    cluster.settle()
    leader.receive({ type: 'heartbeat', from: 2, to: 1, term: 5, commit: 1, context: 0 })
    leader.drain()
    const written = leader.appendTasks.flatMap(task => task.entries)
    expect(written.map(entry => entry.term)).toEqual([2])
  })

  it('a replica that lost its tail neither votes nor campaigns until it is repaired', () => {
    const cluster = new TestCluster([1, 2, 3])
    cluster.elect(1)
    cluster.propose(1, 'a', 'b')
    cluster.settle()
    const damaged = cluster.at(3)
    damaged.disk.entries.length = 1
    damaged.disk.hard = { ...damaged.disk.hard, commit: 2 }
    damaged.restart({ uncertainUntil: { index: 4, term: 2 } })
    damaged.step({ type: 'campaign' })
    expect(damaged.group.status().role).toBe('follower')
    damaged.receive({ type: 'vote', from: 2, to: 3, term: 9, lastIndex: 9, lastTerm: 9, transfer: true })
    expect(answers(damaged)).toMatchObject([{ type: 'voteResponse', granted: false }])
    damaged.restart({ uncertainUntil: { index: 4, term: 2 } })
    // It keeps the term of the request: a leader above it is elected without it, and sends what is missing.
    cluster.tick(40)
    expect(damaged.group.status().uncertainUntil).toBeUndefined()
    expect(damaged.applied).toEqual(['a', 'b'])
    cluster.leader().step({ type: 'transferLeader', target: 3 })
    cluster.settle()
    expect(damaged.group.status().role).toBe('leader')
  })
})

describe('priority', () => {
  it('prefers, but never leaves the range of timeouts', () => {
    const timeouts = (priority: number): number[] => {
      const drawn: number[] = []
      const randomInt = seededRandom(7)
      for (let i = 0; i < 200; i++) {
        const cluster = new TestCluster([1], { randomInt, config: { priority } })
        drawn.push(cluster.at(1).group.status().electionTimeoutTicks)
      }
      return drawn
    }
    const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
    expect(mean(timeouts(3))).toBeLessThan(mean(timeouts(0)))
    expect(mean(timeouts(-3))).toBeGreaterThan(mean(timeouts(0)))
    for (const timeout of [...timeouts(3), ...timeouts(-3)]) {
      expect(timeout).toBeGreaterThanOrEqual(10)
      expect(timeout).toBeLessThanOrEqual(19)
    }
  })
})
