/** Raft paper, sections 5.3, 5.4.2 and 5.5: one claim, one test. */
import { describe, expect, it } from 'vitest'
import { TestCluster } from '../testing/test-cluster.ts'

const PLAIN = { config: { preVote: false, checkQuorum: false } }

function commits(cluster: TestCluster): number[] {
  return [...cluster.replicas.values()].map(replica => replica.group.status().commit)
}

describe('section 5.3', () => {
  it('an entry is committed once the leader has replicated it on a majority', () => {
    const cluster = new TestCluster([1, 2, 3, 4, 5], PLAIN)
    cluster.elect(1)
    cluster.isolate(3, 4, 5)
    cluster.propose(1, 'a')
    cluster.settle()
    expect(cluster.at(1).group.status().commit).toBe(2)
    cluster.isolate(4, 5)
    cluster.tick(2)
    expect(cluster.at(1).group.status().commit).toBe(3)
  })

  it('committing an entry commits all before it, those of earlier leaders included', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.at(1).load([1, 2, 2])
    cluster.at(2).load([1, 2, 2])
    cluster.elect(1)
    expect(cluster.at(1).group.status()).toMatchObject({ commit: 5, applied: 5, term: 3 })
    expect(cluster.at(3).applied).toEqual(['1.2', '2.3', '2.4'])
  })

  it('followers learn of commits from later messages and apply in log order', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(1)
    for (const value of ['a', 'b', 'c']) cluster.propose(1, value)
    cluster.settle()
    expect(commits(cluster)).toEqual([5, 5, 5])
    expect(cluster.at(3).applied).toEqual(['a', 'b', 'c'])
  })

  it('a follower refuses entries that do not follow from its log', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const replica = cluster.at(1)
    replica.receive({
      type: 'append',
      from: 2,
      to: 1,
      term: 2,
      prevIndex: 5,
      prevTerm: 2,
      commit: 1,
      entries: [{ index: 6, term: 2, kind: 'normal', size: 1, payload: 'x' }],
    })
    replica.drain()
    expect(replica.completeAppend()).toMatchObject([{ type: 'appendResponse', rejected: true, index: 5, hintIndex: 1 }])
    expect(replica.group.status().lastIndex).toBe(1)
  })

  // Figure 7: the leader of term 8 has 1 1 1 4 4 5 5 6 6 6.
  it.each([
    ['(a) missing an entry', [1, 1, 1, 4, 4, 5, 5, 6, 6]],
    ['(b) missing many', [1, 1, 1, 4]],
    ['(c) with an extra entry', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
    ['(d) with extra entries of a later term', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
    ['(e) with both', [1, 1, 1, 4, 4, 4, 4]],
    ['(f) with both over many terms', [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ])('the leader makes the log of a follower equal to its own: figure 7 %s', (_name, terms) => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
    cluster.at(1).load(leaderTerms, 7)
    cluster.at(2).load(terms, 7)
    cluster.at(3).load(leaderTerms, 7)
    cluster.elect(1)
    expect(cluster.at(1).group.status()).toMatchObject({ role: 'leader', term: 8 })
    expect(cluster.at(2).storedTerms).toEqual([...leaderTerms, 8])
    expect(cluster.at(2).applied).toEqual(cluster.at(1).applied)
  })

  it('a leader never overwrites or deletes entries of its own log', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.at(1).load([1, 2, 3], 3)
    cluster.elect(1)
    for (let i = 0; i < 10; i++) cluster.propose(1, `${i}`)
    cluster.settle()
    expect(cluster.at(1).storedTerms.slice(0, 3)).toEqual([1, 2, 3])
  })

  it('a leader goes on with a majority while one follower is slow', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(1)
    cluster.stalled.add(3)
    cluster.propose(1, 'a')
    cluster.settle()
    expect(cluster.at(1).applied).toEqual(['a'])
  })
})

describe('section 5.4.2', () => {
  it('an entry of an earlier term is not committed by counting, but by a later one of the own term (figure 8)', () => {
    // One entry per message, so that entries of one term can arrive without those of the next.
    const cluster = new TestCluster([1, 2, 3, 4, 5], { config: { ...PLAIN.config, messageBytesMax: 1 } })
    for (const [id, terms] of [[1, 2], [1], [1], [1], [1, 3]].entries()) cluster.at(id + 1).load(terms, 4)
    // (c): the leader of term 5 brings the entry of term 2 to a majority, but none of its own term.
    cluster.lose = message => {
      if (message.type !== 'append') return false
      const fits = cluster.at(message.to).group.term(message.prevIndex) === message.prevTerm
      return message.to > 3 || (fits && message.entries.some(entry => entry.term === 5))
    }
    const leader = cluster.elect(1)
    expect(leader.group.status()).toMatchObject({ role: 'leader', term: 5, commit: 1 })
    expect(cluster.at(3).storedTerms).toEqual([1, 2])
    expect(leader.group.status().peers.map(peer => peer.match)).toEqual([4, 3, 3, 0, 0])
    // (e): with an entry of its own term on a majority both are.
    cluster.heal()
    cluster.tick(2)
    expect(leader.group.status().commit).toBe(4)
  })
})

describe('section 5.5', () => {
  it('requests are idempotent: everything delivered twice changes nothing', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(1)
    cluster.propose(1, 'a', 'b')
    for (let i = 0; i < 20; i++) {
      cluster.work()
      cluster.network.push(...cluster.network)
      cluster.deliver()
    }
    cluster.settle()
    for (const replica of cluster.replicas.values()) expect(replica.applied).toEqual(['a', 'b'])
  })

  it('a follower that was down catches up when it is back', () => {
    const cluster = new TestCluster([1, 2, 3], PLAIN)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1, 'a')
    cluster.settle()
    cluster.at(3).restart()
    cluster.heal()
    cluster.tick(2)
    expect(cluster.at(3).applied).toEqual(['a'])
  })
})
