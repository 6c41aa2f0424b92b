import { expect, test } from 'vitest'
import { QuietPeers } from './quiet-peers.ts'
import type { QuietBeat } from './transport.ts'

const SILENT_TICKS = 5

/** Nodes 1 (leads) and 2 (follows), and the beats under way between them. */
class Pair {
  readonly roused: [number, number][] = []
  readonly sent: { from: number; beat: QuietBeat }[] = []
  readonly ends: Map<number, QuietPeers> = new Map()
  connected = true
  #nextSession = 0

  constructor() {
    this.start(1)
    this.start(2)
  }

  start(node: number): QuietPeers {
    const end = new QuietPeers({
      randomInt: () => this.#nextSession++,
      silentTicks: SILENT_TICKS,
      isConnected: () => this.connected,
      send: (_to, beat) => this.sent.push({ from: node, beat }),
      rouse: group => this.roused.push([node, group]),
    })
    this.ends.set(node, end)
    return end
  }

  end(node: number): QuietPeers {
    return this.ends.get(node)!
  }

  /** Delivers everything that is under way, answers included. @returns what was delivered */
  deliver(): QuietBeat[] {
    const delivered: QuietBeat[] = []
    for (let next = this.sent.shift(); next !== undefined; next = this.sent.shift()) {
      delivered.push(next.beat)
      this.end(3 - next.from).receive(next.from, next.beat)
    }
    return delivered
  }

  tick(): void {
    for (const end of this.ends.values()) end.tick()
  }

  agree(...groups: number[]): void {
    for (const group of groups) {
      this.end(1).cover(2, group)
      expect(this.end(2).follow(1, group, this.end(1).session)).toBe(true)
    }
  }
}

test('one beat and one answer per tick, whatever the number of groups, and none where no group is quiet', () => {
  const pair = new Pair()
  pair.tick()
  expect(pair.sent).toEqual([])
  pair.agree(...Array.from({ length: 10_000 }, (_, group) => group))
  for (let i = 1; i <= 20; i++) {
    pair.tick()
    const [beat, answer, ...more] = pair.deliver()
    expect([beat, answer, more]).toMatchObject([{ answer: false, number: i, left: [] }, { answer: true, left: [] }, []])
  }
  expect(pair.roused).toEqual([])
})

test('either side that hears nothing for too long wakes its groups, and not a tick sooner', () => {
  const pair = new Pair()
  pair.agree(5, 6)
  pair.tick()
  pair.deliver()
  for (let i = 0; i < SILENT_TICKS; i++) pair.tick()
  expect(pair.roused).toEqual([])
  pair.tick()
  expect(pair.roused.map(String).sort()).toEqual(['1,5', '1,6', '2,5', '2,6'])
})

test('a leader whose beats arrive and whose answers are lost wakes; its follower does not', () => {
  const pair = new Pair()
  pair.agree(5)
  for (let i = 0; i <= SILENT_TICKS; i++) {
    pair.tick()
    for (const { from, beat } of pair.sent.splice(0)) if (from === 1) pair.end(2).receive(1, beat)
    pair.sent.splice(0)
  }
  expect(pair.roused).toEqual([[1, 5]])
})

test('what is quiet no longer is told in every beat, and in every answer, until it is known to be heard', () => {
  const pair = new Pair()
  pair.agree(5, 6, 7)
  pair.end(1).uncover(2, 5)
  pair.end(2).unfollow(1, 7)
  for (let i = 0; i < 2; i++) {
    pair.tick()
    expect(pair.sent.splice(0).map(({ beat }) => beat.left)).toEqual([[5]])
  }
  pair.tick()
  pair.end(2).receive(1, pair.sent.shift()!.beat)
  expect(pair.roused).toEqual([[2, 5]])
  // It left because its leader did: nothing to tell it.
  pair.end(2).unfollow(1, 5)
  // The first answer is lost.
  expect(pair.sent.shift()!.beat).toMatchObject({ answer: true, left: [7] })
  pair.tick()
  const [beat, answer] = pair.deliver()
  expect(beat!.left).toEqual([5])
  expect(answer!.left).toEqual([7])
  expect(pair.roused).toEqual([
    [2, 5],
    [1, 7],
  ])
  pair.tick()
  expect(pair.deliver()).toMatchObject([{ left: [] }, { left: [] }])
})

test('a departure is told although it was the last group that was quiet', () => {
  const pair = new Pair()
  pair.agree(5)
  pair.end(1).uncover(2, 5)
  pair.tick()
  pair.deliver()
  expect(pair.roused).toEqual([[2, 5]])
  pair.end(2).unfollow(1, 5)
  pair.tick()
  expect(pair.deliver()).toEqual([])
})

test('a group that is offered again is no longer told to have left', () => {
  const pair = new Pair()
  pair.agree(5)
  pair.end(1).uncover(2, 5)
  pair.agree(5)
  pair.tick()
  expect(pair.deliver()[0]!.left).toEqual([])
})

test('an answer to a beat from before an offer does not undo the offer', () => {
  const pair = new Pair()
  pair.agree(5, 6)
  pair.end(2).unfollow(1, 5)
  pair.tick()
  pair.end(1).uncover(2, 5)
  pair.end(1).cover(2, 5)
  pair.deliver()
  expect(pair.roused).toEqual([])
  // Had the follower not agreed again, the next answer would say so.
  pair.tick()
  pair.end(2).unfollow(1, 6)
  pair.deliver()
  expect(pair.roused.at(-1)).toEqual([1, 6])
})

test('another process at the other end wakes everything that was agreed with the one before', () => {
  const follower = new Pair()
  follower.agree(5)
  follower.tick()
  follower.deliver()
  follower.start(1).cover(2, 9)
  follower.tick()
  follower.deliver()
  expect(follower.roused).toEqual([[2, 5]])

  const leader = new Pair()
  leader.agree(5)
  leader.tick()
  leader.deliver()
  leader.start(2)
  leader.tick()
  leader.deliver()
  expect(leader.roused).toEqual([[1, 5]])
})

test('an offer of a process that is no longer heard is refused', () => {
  const pair = new Pair()
  const before = pair.end(1).session
  pair.agree(5)
  pair.start(1).cover(2, 5)
  pair.tick()
  pair.deliver()
  expect(pair.end(2).follow(1, 6, before)).toBe(false)
  expect(pair.end(2).follow(1, 6, pair.end(1).session)).toBe(true)
})

test('beats that come late or twice neither count nor are answered', () => {
  const pair = new Pair()
  pair.agree(5)
  pair.tick()
  const first = pair.sent.shift()!.beat
  pair.tick()
  pair.deliver()
  pair.end(2).receive(1, { ...first, left: [5] })
  pair.end(1).receive(2, { answer: true, session: pair.end(2).session, number: 99, heard: 0, left: [5] })
  expect([pair.sent, pair.roused]).toEqual([[], []])
})

test('nothing is sent to a node that is not connected; what it missed is told later', () => {
  const pair = new Pair()
  pair.agree(5)
  pair.connected = false
  pair.end(1).uncover(2, 5)
  pair.tick()
  expect(pair.sent).toEqual([])
  pair.connected = true
  pair.tick()
  expect(pair.deliver()[0]!.left).toEqual([5])
})
