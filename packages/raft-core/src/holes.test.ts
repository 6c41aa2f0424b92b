/** A log with ranges that storage cannot read: what the algorithm may still say, and what it must not. */
import { describe, expect, it } from 'vitest'
import type { Entry, Term } from './entry.ts'
import type { InitialHole } from './log/log-holes.ts'
import type { AppendRequest, Message } from './message.ts'
import { TestCluster } from './testing/test-cluster.ts'
import type { TestReplica } from './testing/test-replica.ts'

const PLAIN = { config: { preVote: false, checkQuorum: false } }

/**
 * Replica 3 of three with entries 2 to 9 of terms 1 1 2 2 3 3 4 4, of which [first, last] cannot be read. What storage says
 * of the terms in there is that of the entry before.
 */
function withHole(hole: Partial<InitialHole> & { first: number; last: number }, commit = 1): TestReplica {
  const replica = new TestCluster([1, 2, 3], PLAIN).at(3)
  const terms: Term[] = [1, 1, 2, 2, 3, 3, 4, 4]
  replica.load(terms, 5, commit)
  const told = terms.map((term, i) => (hole.first <= i + 2 && i + 2 < hole.last ? terms[hole.first - 3]! : term))
  const runs: { first: number; term: Term }[] = []
  for (const [i, term] of told.entries()) if (runs.at(-1)?.term !== term) runs.push({ first: i + 2, term })
  const oneTerm = terms[hole.first - 3] === terms[hole.last - 2]
  replica.restart({
    terms: runs,
    entries: replica.disk.entries.filter(({ index }) => index > hole.last),
    holes: [{ oneTerm, mayHoldConfiguration: false, ...hole }],
  })
  return replica
}

function entries(first: number, ...terms: Term[]): Entry<string>[] {
  return terms.map((term, i) => ({ index: first + i, term, kind: 'normal', size: 1, payload: `${term}.${first + i}` }))
}

function append(prevIndex: number, prevTerm: Term, sent: readonly Entry<string>[] = []): AppendRequest<string> {
  return { type: 'append', from: 1, to: 3, term: 5, prevIndex, prevTerm, commit: 1, entries: sent }
}

/** What the replica answers once everything is written. */
function answers(replica: TestReplica, message: Message<string>): Message<string>[] {
  replica.receive(message)
  const sent = replica.drain()
  while (replica.appendTasks.length > 0) sent.push(...replica.completeAppend(), ...replica.drain())
  return sent
}

function terms(replica: TestReplica): (Term | undefined)[] {
  const { lastIndex } = replica.group.status()
  return Array.from({ length: lastIndex - 1 }, (_, i) => replica.group.term(i + 2))
}

describe('a follower with a hole in its log', () => {
  it('knows no terms inside, but those of the last entry in it and of everything else', () => {
    const replica = withHole({ first: 4, last: 7 })
    expect(terms(replica)).toEqual([1, 1, undefined, undefined, undefined, 3, 4, 4])
    expect(replica.group.status()).toMatchObject({ lastIndex: 9, holes: [{ first: 4, last: 7 }] })
  })

  it('acknowledges new entries, and those that follow the last one of the hole', () => {
    const replica = withHole({ first: 4, last: 7 })
    expect(answers(replica, append(9, 4, entries(10, 5)))).toMatchObject([{ rejected: false, index: 10 }])
    expect(answers(replica, append(7, 3, entries(8, 4, 4)))).toMatchObject([{ rejected: false, index: 9 }])
  })

  it('refuses a previous entry inside, and sends the leader before the hole', () => {
    for (const prevIndex of [4, 5, 6]) {
      const answered = answers(withHole({ first: 4, last: 7 }), append(prevIndex, 2))
      expect(answered).toMatchObject([{ rejected: true, index: prevIndex, hintIndex: 3, hintTerm: 1 }])
    }
  })

  it('does so where all terms are known too: what follows an entry inside cannot be told', () => {
    const replica = withHole({ first: 4, last: 7 })
    replica.step({
      type: 'holeFilled',
      first: 4,
      last: 7,
      terms: [
        { first: 4, term: 2 },
        { first: 6, term: 3 },
      ],
      configurations: [],
    })
    replica.step({ type: 'holesFound', holes: [{ first: 4, last: 7 }] })
    expect(terms(replica)).toEqual([1, 1, 2, 2, 3, 3, 4, 4])
    expect(answers(replica, append(5, 2))).toMatchObject([{ rejected: true, hintIndex: 3 }])
  })

  it('does not answer entries that end inside while nothing differs: it may or may not have them', () => {
    const replica = withHole({ first: 4, last: 7 })
    expect(answers(replica, append(3, 1, entries(4, 2, 2)))).toEqual([])
    expect(answers(replica, append(3, 1, entries(4, 2, 2, 3)))).toEqual([])
    expect(replica.group.status()).toMatchObject({ lastIndex: 9, holes: [{ first: 4 }] })
  })

  it('takes entries that join the last one of the hole for its own', () => {
    const replica = withHole({ first: 4, last: 7 })
    expect(answers(replica, append(3, 1, entries(4, 2, 2, 3, 3)))).toMatchObject([{ rejected: false, index: 7 }])
    expect(replica.group.status()).toMatchObject({ lastIndex: 9, holes: [{ first: 4 }] })
  })

  it('replaces the hole from its start on where entries do not join its last one', () => {
    const replica = withHole({ first: 4, last: 7 })
    expect(answers(replica, append(3, 1, entries(4, 2, 2, 2, 2)))).toMatchObject([{ rejected: false, index: 7 }])
    expect(replica.storedTerms).toEqual([1, 1, 2, 2, 2, 2])
    expect(replica.group.status()).toMatchObject({ lastIndex: 7, holes: [] })
  })

  it('replaces it where an entry has a term above that of the last one', () => {
    const replica = withHole({ first: 4, last: 7 })
    expect(answers(replica, append(3, 1, entries(4, 2, 4)))).toMatchObject([{ rejected: false, index: 5 }])
    expect(replica.storedTerms).toEqual([1, 1, 2, 4])
    expect(terms(replica)).toEqual([1, 1, 2, 4])
  })

  it('replaces it as usual where something differs before it', () => {
    const replica = withHole({ first: 4, last: 7 })
    answers(replica, append(2, 1, entries(3, 2)))
    expect(replica.storedTerms).toEqual([1, 2])
    expect(replica.group.status().holes).toEqual([])
  })

  it('leaves what is committed inside alone, and does not answer what follows it until it is repaired', () => {
    const replica = withHole({ first: 4, last: 7 }, 5)
    expect(answers(replica, append(3, 1, entries(4, 2, 2)))).toMatchObject([{ rejected: false, index: 5 }])
    expect(answers(replica, append(5, 2, entries(6, 5)))).toEqual([])
    expect(answers(replica, append(6, 3))).toMatchObject([{ rejected: true, hintIndex: 5 }])
    expect(replica.storedTerms).toHaveLength(8)
  })

  it('votes for whoever has what it has', () => {
    const ask = { type: 'vote', from: 1, to: 3, term: 6, transfer: false } as const
    expect(answers(withHole({ first: 4, last: 9 }), { ...ask, lastIndex: 8, lastTerm: 4 })).toMatchObject([
      { granted: false },
    ])
    expect(answers(withHole({ first: 4, last: 9 }), { ...ask, lastIndex: 9, lastTerm: 4 })).toMatchObject([
      { granted: true },
    ])
  })

  it('does not throw its log away for a snapshot inside the hole, which may be of that very entry', () => {
    const replica = withHole({ first: 4, last: 7 })
    const { configuration } = replica.group.status()
    const snapshot = { index: 5, term: 2, configuration, payload: '[]' }
    answers(replica, { type: 'snapshot', from: 1, to: 3, term: 5, snapshot })
    expect(replica.group.status()).toMatchObject({ lastIndex: 9, baseIndex: 1 })
    answers(replica, { type: 'snapshot', from: 1, to: 3, term: 5, snapshot: { ...snapshot, index: 7, term: 5 } })
    expect(replica.group.status()).toMatchObject({ lastIndex: 7, baseIndex: 7, holes: [] })
  })

  it('applies up to the hole, and goes on when that is filled', () => {
    const replica = withHole({ first: 4, last: 7 }, 9)
    replica.drain()
    expect(replica.fetches).toMatchObject([{ purpose: 'apply', from: 2 }])
    replica.disk.entries.length = 2
    replica.completeFetch()
    replica.drain()
    replica.completeApply()
    replica.drain()
    const [request] = replica.fetches
    expect(request).toMatchObject({ from: 4 })
    replica.step({ type: 'fetchFailed', request: request!, reason: 'damaged' })
    expect(replica.group.hasOutput()).toBe(false)
    replica.step({
      type: 'holeFilled',
      first: 4,
      last: 7,
      terms: [
        { first: 4, term: 2 },
        { first: 6, term: 3 },
      ],
      configurations: [],
    })
    replica.drain()
    expect(replica.fetches.at(-1)).toMatchObject({ purpose: 'apply', from: 4 })
    expect(terms(replica)).toEqual([1, 1, 2, 2, 3, 3, 4, 4])
  })

  it('knows lower bounds of the terms that are left when only the first entries are filled', () => {
    const replica = withHole({ first: 4, last: 7 })
    replica.step({ type: 'holeFilled', first: 4, last: 5, terms: [{ first: 4, term: 2 }], configurations: [] })
    expect(terms(replica)).toEqual([1, 1, 2, 2, undefined, 3, 4, 4])
    expect(answers(replica, append(6, 3))).toMatchObject([{ rejected: true, hintIndex: 5, hintTerm: 2 }])
  })

  it('ignores the filling of a hole that was replaced meanwhile', () => {
    const replica = withHole({ first: 4, last: 7 })
    answers(replica, append(3, 1, entries(4, 5, 5)))
    replica.step({ type: 'holeFilled', first: 4, last: 7, terms: [{ first: 4, term: 2 }], configurations: [] })
    expect(terms(replica)).toEqual([1, 1, 5, 5])
  })
})

describe('campaigns of a replica with a hole', () => {
  function ticksUntilCampaign(replica: TestReplica): number {
    for (let ticks = 1; ticks < 100; ticks++) {
      replica.step({ type: 'tick' })
      if (replica.group.status().role !== 'follower') return ticks
    }
    return Number.POSITIVE_INFINITY
  }

  it('come after those of every whole replica', () => {
    const longest = 2 * 10 - 1
    expect(ticksUntilCampaign(withHole({ first: 4, last: 7 }))).toBeGreaterThan(longest)
    const filled = withHole({ first: 4, last: 7 })
    filled.step({ type: 'holeFilled', first: 4, last: 7, terms: [{ first: 4, term: 2 }], configurations: [] })
    expect(ticksUntilCampaign(filled)).toBeLessThanOrEqual(longest)
  })

  it('never come while the configuration in force may be in the hole', () => {
    const hole = { first: 4, last: 7, mayHoldConfiguration: true }
    expect(ticksUntilCampaign(withHole(hole, 6))).toBe(Number.POSITIVE_INFINITY)
    // What is not committed is not in force.
    expect(ticksUntilCampaign(withHole(hole, 3))).toBeLessThan(100)
  })

  it('know the configuration that was in the hole, once it is filled', () => {
    const replica = withHole({ first: 4, last: 7, mayHoldConfiguration: true }, 9)
    const result = { ...replica.group.status().configuration, learners: [8] }
    const config = { change: { steps: [{ kind: 'addLearner', id: 8 }], transition: 'auto' }, result } as const
    const configurations = [{ index: 5, term: 2, kind: 'config', size: 1, payload: 'c', config }] as const
    replica.step({ type: 'holeFilled', first: 4, last: 7, terms: [{ first: 4, term: 2 }], configurations })
    // It is applied first.
    expect(ticksUntilCampaign(replica)).toBe(Number.POSITIVE_INFINITY)

    const ahead = withHole({ first: 4, last: 7, mayHoldConfiguration: true }, 9)
    ahead.restart({
      holes: [{ first: 4, last: 7, oneTerm: true, mayHoldConfiguration: true }],
      applied: 9,
      entries: [],
    })
    ahead.step({ type: 'holeFilled', first: 4, last: 7, terms: [{ first: 4, term: 2 }], configurations })
    expect(ahead.group.status().configuration).toMatchObject({ learners: [8] })
    expect(ticksUntilCampaign(ahead)).toBeLessThan(100)
  })

  it('do not come at the wish of a leader that hands over', () => {
    const replica = withHole({ first: 4, last: 7 })
    answers(replica, append(9, 4))
    replica.receive({ type: 'timeoutNow', from: 1, to: 3, term: 5 })
    expect(replica.group.status().role).toBe('follower')
  })
})

describe('a leader with a hole', () => {
  /** Leads in term 6; replica 2 has refused the first probe. */
  function leading(hintIndex: number, hintTerm: Term): TestReplica {
    const replica = withHole({ first: 4, last: 7 })
    replica.step({ type: 'campaign' })
    answers(replica, { type: 'voteResponse', from: 1, to: 3, term: 6, granted: true })
    expect(replica.group.status().role).toBe('leader')
    const refusal = { type: 'appendResponse', from: 2, to: 3, term: 6, rejected: true } as const
    replica.receive({ ...refusal, index: 9, hintIndex, hintTerm })
    return replica
  }

  it('probes before it where the logs may differ inside', () => {
    expect(leading(6, 3).drain()).toMatchObject([{ type: 'append', to: 2, prevIndex: 3, prevTerm: 1 }])
  })

  it('says nothing about an entry whose term it does not know, and sends no snapshot in place of it', () => {
    const replica = leading(6, 0)
    expect(replica.drain()).toEqual([])
    expect(replica.group.status().peers[1]).toMatchObject({ state: 'probe', paused: true, next: 7 })
    replica.step({
      type: 'holeFilled',
      first: 4,
      last: 7,
      terms: [
        { first: 4, term: 2 },
        { first: 6, term: 3 },
      ],
      configurations: [],
    })
    replica.receive({ type: 'heartbeatResponse', from: 2, to: 3, term: 6, context: 0 })
    expect(replica.drain()).toMatchObject([{ type: 'append', to: 2, prevIndex: 6, prevTerm: 3 }])
  })

  it('steps down when it is told to, and keeps term and vote', () => {
    const replica = leading(6, 3)
    replica.step({ type: 'stepDown' })
    expect(replica.group.status()).toMatchObject({ role: 'follower', leader: 0, term: 6, vote: 3 })
  })
})

describe('an initial state with holes', () => {
  it.each([[{ first: 1, last: 2 }], [{ first: 8, last: 10 }], [{ first: 5, last: 4 }]])(
    'is refused where a hole is not in the log: %o',
    hole => {
      expect(() => withHole(hole)).toThrow('a hole of entries')
    },
  )
})
