/** A replica whose state is lost, or comes from elsewhere: its log is whole in the eyes of all others. */
import { describe, expect, it } from 'vitest'
import type { Configuration } from './configuration.ts'
import type { Term } from './entry.ts'
import type { RestoredState } from './input.ts'
import type { InitialHole } from './log/log-holes.ts'
import type { Message } from './message.ts'
import { TestCluster } from './testing/test-cluster.ts'
import type { TestReplica } from './testing/test-replica.ts'

const PLAIN = { config: { preVote: false, checkQuorum: false } }
const TICKS_MAX = 100

/** Replica 3 of three with entries 2 to 9 of terms 1 1 2 2 3 3 4 4, all of them committed. */
function loaded(commit = 9): TestReplica {
  const replica = new TestCluster([1, 2, 3], PLAIN).at(3)
  replica.load([1, 1, 2, 2, 3, 3, 4, 4] satisfies Term[], 5, commit)
  return replica
}

function withoutState(): TestReplica {
  const replica = loaded()
  replica.restart({ stateMissing: true })
  return replica
}

/** Entries 4 to 7 cannot be read. */
function withHole(hole: Partial<InitialHole> = {}, commit = 9): TestReplica {
  const replica = loaded(commit)
  replica.restart({
    entries: replica.disk.entries.filter(({ index }) => index > 7),
    holes: [{ first: 4, last: 7, oneTerm: false, mayHoldConfiguration: false, ...hole }],
  })
  return replica
}

function restoredAt(replica: TestReplica, index: number, term: Term, configurationIndex = 1): RestoredState {
  return { index, term, configuration: replica.group.status().configuration, configurationIndex }
}

function campaigns(replica: TestReplica): boolean {
  for (let ticks = 1; ticks < TICKS_MAX; ticks++) {
    replica.step({ type: 'tick' })
    if (replica.group.status().role !== 'follower') return true
  }
  return false
}

function answers(replica: TestReplica, message: Message<string>): Message<string>[] {
  replica.receive(message)
  const sent = replica.drain()
  while (replica.appendTasks.length > 0) sent.push(...replica.completeAppend(), ...replica.drain())
  return sent
}

/** Applies what can be read, up to the hole. */
function applyToHole(replica: TestReplica): void {
  replica.drain()
  const [request] = replica.fetches
  expect(request).toMatchObject({ purpose: 'apply', from: 2 })
  const entries = replica.disk.entries.slice(0, 2)
  replica.step({ type: 'entriesFetched', request: replica.fetches.shift()!, entries })
  replica.drain()
  replica.completeApply()
  replica.drain()
}

describe('a replica whose state is missing', () => {
  it('never campaigns: neither in time, nor on evidence, nor for a leader that hands over', () => {
    const replica = withoutState()
    expect(campaigns(replica)).toBe(false)
    replica.step({ type: 'campaign' })
    expect(replica.group.status()).toMatchObject({ role: 'follower', term: 5, stateMissing: true })
    answers(replica, { type: 'append', from: 1, to: 3, term: 5, prevIndex: 9, prevTerm: 4, commit: 9, entries: [] })
    replica.receive({ type: 'timeoutNow', from: 1, to: 3, term: 5 })
    expect(replica.group.status()).toMatchObject({ role: 'follower', term: 5 })
  })

  it('votes, and acknowledges entries', () => {
    const replica = withoutState()
    const vote = { type: 'vote', from: 1, to: 3, term: 6, transfer: false, lastIndex: 9, lastTerm: 4 } as const
    expect(answers(replica, vote)).toMatchObject([{ type: 'voteResponse', granted: true }])
    const entry = { index: 10, term: 6, kind: 'normal', size: 1, payload: 'x' } as const
    const append = { type: 'append', from: 1, to: 3, term: 6, prevIndex: 9, prevTerm: 4, commit: 9 } as const
    expect(answers(replica, { ...append, entries: [entry] })).toMatchObject([{ rejected: false, index: 10 }])
    expect(replica.storedTerms).toHaveLength(9)
  })

  it('campaigns like any other once its state is there', () => {
    const replica = withoutState()
    replica.step({ type: 'stateRestored', state: restoredAt(replica, 6, 3) })
    expect(campaigns(replica)).toBe(true)
  })

  it('does so too when a snapshot has replaced state and log', () => {
    const replica = withoutState()
    const { configuration } = replica.group.status()
    const snapshot = { index: 20, term: 5, configuration, payload: '[]' }
    answers(replica, { type: 'snapshot', from: 1, to: 3, term: 5, snapshot })
    expect(replica.group.status()).toMatchObject({ baseIndex: 20, stateMissing: false })
    expect(campaigns(replica)).toBe(true)
  })

  it('is handed its log as ever: the host knows what the state holds', () => {
    const replica = withoutState()
    replica.step({ type: 'stateRestored', state: restoredAt(replica, 6, 3) })
    replica.drain()
    expect(replica.applyTasks[0]!.entries.map(({ index }) => index)).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
  })
})

describe('a state that is restored', () => {
  it('commits what it holds where the log has its last entry, and only there', () => {
    const replica = loaded(3)
    replica.step({ type: 'stateRestored', state: restoredAt(replica, 6, 3) })
    expect(replica.group.status().commit).toBe(6)
    for (const [index, term] of [
      [6, 4],
      [12, 4],
    ] as const) {
      const other = loaded(3)
      other.step({ type: 'stateRestored', state: restoredAt(other, index, term) })
      expect(other.group.status().commit).toBe(3)
    }
  })

  it('takes apply past a hole that it is past, when apply has come to that', () => {
    const replica = withHole()
    replica.step({ type: 'stateRestored', state: restoredAt(replica, 8, 4) })
    expect(replica.group.status().applied).toBe(1)
    applyToHole(replica)
    expect(replica.group.status()).toMatchObject({ applied: 7, holes: [{ first: 4, last: 7 }] })
    expect(replica.applyTasks[0]!.entries.map(({ index }) => index)).toEqual([8, 9])
  })

  it('does so at once where apply waits there, whatever became of the question for the entries', () => {
    const replica = withHole()
    applyToHole(replica)
    const request = replica.fetches.shift()!
    expect(request).toMatchObject({ purpose: 'apply', from: 4 })
    replica.step({ type: 'fetchFailed', request, reason: 'damaged' })
    replica.step({ type: 'stateRestored', state: restoredAt(replica, 7, 3) })
    replica.drain()
    expect(replica.applyTasks[0]!.entries.map(({ index }) => index)).toEqual([8, 9])
  })

  it('leaves apply before a hole that it is not past', () => {
    const replica = withHole()
    applyToHole(replica)
    replica.step({ type: 'stateRestored', state: restoredAt(replica, 6, 3) })
    replica.drain()
    expect([replica.group.status().applied, replica.applyTasks]).toEqual([3, []])
  })

  it('leaves apply before a hole whose end is not known to be committed here', () => {
    const replica = withHole({}, 5)
    applyToHole(replica)
    // Of another history than the end of this log.
    replica.step({ type: 'stateRestored', state: restoredAt(replica, 8, 5) })
    expect(replica.group.status()).toMatchObject({ applied: 3, commit: 5 })
  })
})

describe('a configuration in a hole that a state is past', () => {
  const learner = (configuration: Configuration): Configuration => ({ ...configuration, learners: [8] })

  it('is in force when apply is past it, and hides nothing any more', () => {
    const replica = withHole({ mayHoldConfiguration: true })
    applyToHole(replica)
    expect(campaigns(replica)).toBe(false)
    const state = restoredAt(replica, 8, 4, 5)
    replica.step({ type: 'stateRestored', state: { ...state, configuration: learner(state.configuration) } })
    expect(replica.group.status()).toMatchObject({ configuration: { learners: [8] }, configurationIndex: 5 })
    expect(campaigns(replica)).toBe(true)
  })

  it('is none where the one in force is older than the hole', () => {
    const replica = withHole({ mayHoldConfiguration: true })
    applyToHole(replica)
    replica.step({ type: 'stateRestored', state: restoredAt(replica, 8, 4) })
    expect(replica.group.status()).toMatchObject({ configuration: { learners: [] }, configurationIndex: 1 })
    expect(campaigns(replica)).toBe(true)
  })

  it('may be another one than the state says, where that one follows the hole: it is waited for', () => {
    const replica = withHole({ mayHoldConfiguration: true })
    applyToHole(replica)
    const state = restoredAt(replica, 9, 4, 9)
    replica.step({ type: 'stateRestored', state: { ...state, configuration: learner(state.configuration) } })
    expect(replica.group.status()).toMatchObject({ applied: 7, configurationIndex: 1 })
    expect(campaigns(replica)).toBe(false)
  })
})
