import { type GroupStatus, type Input, type Message, RaftGroup } from '@millrace/raft-core'
import { describe, expect, test } from 'vitest'
import { QuietPeers } from './quiet-peers.ts'
import { Quietness, type QuietSubject } from './quietness.ts'
import type { QuietBeat } from './transport.ts'

/** The core of one replica of three, at rest with the others. */
class Resting implements QuietSubject {
  readonly group = 9
  readonly replica: number
  readonly steps: Input<never>[] = []
  readonly beats: QuietBeat[] = []
  readonly core: RaftGroup<never>
  readonly peers: QuietPeers
  readonly quietness: Quietness
  resting = false
  settled = true
  away = new Set<number>()

  constructor(replica: number) {
    this.replica = replica
    const configuration = { voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
    const base = { index: 1, term: 1 }
    const initial = { base, hardState: { term: 1, vote: 0, commit: 1 }, lastIndex: 1, terms: [], configuration }
    this.core = new RaftGroup(
      { id: replica, electionTicks: 10 },
      { ...initial, configurationIndex: 1, applied: 1 },
      () => 0,
    )
    this.peers = new QuietPeers({
      ...{ randomInt: () => replica, silentTicks: 4, isConnected: () => true },
      send: (_to, beat) => this.beats.push(beat),
      rouse: () => undefined,
    })
    this.quietness = new Quietness(this, this.peers)
  }

  /** Makes it the leader of term 2, whose first entry everybody has. */
  lead(): this {
    this.core.step({ type: 'campaign' })
    for (const type of ['preVoteResponse', 'voteResponse'] as const) {
      this.drain()
      this.core.step({ type: 'message', message: { type, from: 2, to: 1, term: 2, granted: true } })
    }
    this.drain()
    for (const from of [2, 3]) {
      const hint = { rejected: false, index: 2, hintIndex: 0, hintTerm: 0 }
      this.core.step({ type: 'message', message: { type: 'appendResponse', from, to: 1, term: 2, ...hint } })
      this.drain()
    }
    expect(this.core.status()).toMatchObject({ role: 'leader', commit: 2, applied: 2 })
    return this
  }

  drain(): Message[] {
    const sent: Message[] = []
    while (this.core.hasOutput()) {
      const { messages, append, apply } = this.core.takeOutput()
      sent.push(...messages)
      for (const message of [...(append?.responses ?? []), ...(apply?.responses ?? [])]) {
        if (message.to === this.replica) this.core.step({ type: 'message', message })
        else sent.push(message)
      }
    }
    return sent
  }

  /** As a turn does with ticks. */
  tick(): void {
    this.core.step({ type: 'tick' })
    this.quietness.ticked()
  }

  hear(message: Message, mark?: number): void {
    if (mark !== undefined) this.quietness.marked(message, mark)
    this.quietness.hears(message)
    this.core.step({ type: 'message', message: message as Message<never> })
    this.quietness.heard(message)
  }

  status(): GroupStatus {
    return this.core.status()
  }

  step(input: Input<never>): void {
    this.steps.push(input)
    this.core.step(input)
  }

  nodeOf(replica: number): number {
    return replica
  }

  isConnected(node: number): boolean {
    return !this.away.has(node)
  }

  mayRest(): boolean {
    return this.settled
  }

  rests(resting: boolean): void {
    this.resting = resting
  }
}

const SESSION = 77
const answer = (from: number, term = 2): Message => ({ type: 'heartbeatResponse', from, to: 1, term, context: 0 })
const offer = (over: Partial<Extract<Message, { type: 'heartbeat' }>> = {}): Message => ({
  ...{ type: 'heartbeat', from: 1, to: 2, term: 2, commit: 1, context: 0 },
  ...over,
})

function restingLeader(): Resting {
  const leader = new Resting(1).lead()
  leader.tick()
  leader.tick()
  leader.drain()
  for (const peer of [2, 3]) leader.hear(answer(peer), SESSION)
  expect(leader.resting).toBe(true)
  return leader
}

function restingFollower(): Resting {
  const follower = new Resting(2)
  follower.hear(offer(), SESSION)
  expect(follower.resting).toBe(true)
  return follower
}

describe('one replica', () => {
  test('a leader offers after two calm ticks and rests once everybody agrees', () => {
    const leader = new Resting(1).lead()
    leader.tick()
    expect(leader.drain().map(message => leader.quietness.markFor(message))).toEqual([undefined, undefined])
    leader.tick()
    expect(leader.drain().map(message => leader.quietness.markFor(message))).toEqual([2, 2])
    leader.hear(answer(2), SESSION)
    leader.hear(answer(3))
    expect(leader.resting).toBe(false)
    leader.hear(answer(3), SESSION)
    expect(leader.resting).toBe(true)
  })

  test('a leader with a follower that is behind, or with a wish that only ticks would end, does not offer', () => {
    for (const hinder of ['behind', 'waiting'] as const) {
      const leader = new Resting(1).lead()
      if (hinder === 'waiting') leader.settled = false
      else leader.core.step({ type: 'unreachable', peer: 3 })
      for (let i = 0; i < 6; i++) {
        leader.tick()
        expect(leader.drain().every(message => leader.quietness.markFor(message) === undefined)).toBe(true)
      }
    }
  })

  test('a leader without a quorum that agrees does not rest', () => {
    const leader = new Resting(1).lead()
    leader.away.add(2).add(3)
    // Until check-quorum has noticed that they are away, and not until it ends the leadership.
    for (let i = 0; i < 15; i++) leader.tick()
    expect([leader.core.status().role, leader.resting]).toEqual(['leader', false])
  })

  test('a leader does without a follower that is away only when check-quorum has noticed', () => {
    const leader = new Resting(1).lead()
    leader.away.add(3)
    for (let i = 0; i < 4; i++) leader.tick()
    leader.hear(answer(2), SESSION)
    expect(leader.resting).toBe(false)
    for (let i = 0; i < 8; i++) leader.tick()
    leader.hear(answer(2), SESSION)
    expect(leader.resting).toBe(true)
    expect([leader.quietness.concerns(2), leader.quietness.concerns(3)]).toEqual([true, false])
  })

  test('to a leader at rest everybody is active, whoever answered when', () => {
    const leader = new Resting(1).lead()
    leader.tick()
    leader.tick()
    leader.hear(answer(2), SESSION)
    // A check of the quorum comes in between.
    for (let i = 0; i < 9; i++) leader.tick()
    expect(leader.core.status().peers.map(peer => peer.recentActive)).toEqual([true, false, false])
    leader.hear(answer(3), SESSION)
    expect([leader.resting, leader.core.status().role]).toEqual([true, 'leader'])
    expect(leader.core.status().peers.map(peer => peer.recentActive)).toEqual([true, true, true])
  })

  test('a leader that nobody answers steps down within two election timeouts of the last answer', () => {
    const leader = restingLeader()
    let ticks = 0
    for (; leader.resting; ticks++) {
      leader.peers.tick()
      if (leader.peers.silentTicks < ticks) leader.quietness.disturb()
    }
    for (; leader.core.status().role === 'leader'; ticks++) leader.tick()
    expect(ticks).toBeLessThanOrEqual(20)
  })

  test('a follower agrees to an offer of its leader, and says so in its answer', () => {
    const follower = restingFollower()
    expect(follower.drain().map(message => follower.quietness.markFor(message))).toEqual([3])
    follower.hear(offer(), SESSION)
    expect(follower.resting).toBe(true)
  })

  test.each([
    ['whose log the offer does not match', offer({ commit: 0 }), SESSION],
    ['with a round of reads', offer({ context: 4 }), SESSION],
    ['that is not marked', offer(), undefined],
  ])('a follower does not agree to one %s', (_what, heartbeat, mark) => {
    const follower = new Resting(2)
    follower.hear(heartbeat, mark)
    expect(follower.resting).toBe(false)
    expect(follower.drain().map(message => follower.quietness.markFor(message))).toEqual([undefined])
  })

  test('a follower wakes by any other message, with the ticks since the last beat', () => {
    const messages: Message[] = [
      offer(),
      { type: 'append', from: 1, to: 2, term: 2, prevIndex: 1, prevTerm: 1, commit: 1, entries: [] },
      { type: 'preVote', from: 3, to: 2, term: 3, lastIndex: 9, lastTerm: 2, transfer: false },
      { type: 'timeoutNow', from: 1, to: 2, term: 2 },
    ]
    for (const message of messages) {
      const follower = restingFollower()
      for (let i = 0; i < 3; i++) follower.peers.tick()
      follower.quietness.hears(message)
      expect(follower.resting).toBe(false)
      expect(follower.core.status().electionTicksElapsed).toBe(3)
      expect(follower.steps).toEqual([{ type: 'tick' }, { type: 'tick' }, { type: 'tick' }])
    }
  })

  test('a follower at rest refuses a pre-vote, as one that hears heartbeats does', () => {
    const follower = restingFollower()
    follower.drain()
    follower.hear({ type: 'preVote', from: 3, to: 2, term: 3, lastIndex: 9, lastTerm: 2, transfer: false })
    expect(follower.drain()).toEqual([])
  })

  test('one that takes no further part touches its core no more', () => {
    for (const resting of [restingLeader(), restingFollower()]) {
      resting.steps.splice(0)
      resting.quietness.end()
      expect([resting.steps, resting.quietness.rests]).toEqual([[], false])
    }
  })
})
