/**
 * From any configuration to the wish, whoever leads and however old the wish is that a leader knows: on a model of a group
 * that takes changes as the core does.
 */
import type { GroupConfiguration, MemberChange, ReplicaPlace } from '@millrace/raft-node'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { GroupWish } from './group-wish.ts'
import { extended, replaced, withoutNodes } from './group-wish.ts'
import { type NextChange, nextChange } from './next-member-change.ts'

/** Takes changes by compare-and-set; a joint configuration is left at once. */
class ModelGroup {
  configuration: GroupConfiguration
  index = 1
  /** Every replica that ever voted. */
  readonly voted = new Set<number>()

  constructor(places: readonly ReplicaPlace[]) {
    const voters = places.map(({ replica }) => replica)
    const joint = { votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
    this.configuration = { voters, ...joint, places }
    for (const voter of voters) this.voted.add(voter)
  }

  take({ steps, joining, expectedIndex }: MemberChange): void {
    expect(expectedIndex).toBe(this.index)
    this.index += 1
    const voters = new Set(this.configuration.voters)
    const learners = new Set(this.configuration.learners)
    for (const { kind, id } of steps) {
      voters.delete(id)
      learners.delete(id)
      if (kind === 'addVoter') voters.add(id)
      if (kind === 'addLearner') learners.add(id)
    }
    const known = [...this.configuration.places, ...joining]
    const places = known.filter(({ replica }) => voters.has(replica) || learners.has(replica))
    const lastReplica = Math.max(this.configuration.lastReplica ?? 0, ...known.map(({ replica }) => replica))
    for (const voter of voters) this.voted.add(voter)
    this.configuration = {
      ...{ ...this.configuration, voters: [...voters], learners: [...learners], places },
      ...(lastReplica > 0 && { lastReplica }),
    }
  }
}

const FOUNDING: GroupWish = {
  replicas: [1, 2, 3].map(node => ({ replica: node, node })),
  nextReplica: 4,
}

interface Circumstances {
  readonly caughtUp?: boolean
  readonly votersMax?: number
  readonly gone?: number
}

function next(group: ModelGroup, wish: GroupWish, self: number, circumstances: Circumstances = {}): NextChange {
  const { configuration, index } = group
  const { caughtUp = true, votersMax = Number.POSITIVE_INFINITY, gone } = circumstances
  const at = { self, configuration, configurationIndex: index, votersMax }
  return nextChange(wish, { ...at, isCaughtUp: () => caughtUp, isThere: replica => replica !== gone })
}

/** One step by a leader that knows `wish`. */
function step(group: ModelGroup, wish: GroupWish, self: number, circumstances: Circumstances = {}): NextChange {
  const found = next(group, wish, self, circumstances)
  if (found.type === 'change') group.take(found.change)
  return found
}

describe('a lost replica', () => {
  const wish = replaced(FOUNDING, 2, 2)!

  test('keeps its vote until the new one has everything; then the vote passes in one step', () => {
    const group = new ModelGroup(FOUNDING.replicas)
    expect(step(group, wish, 1)).toMatchObject({
      change: { steps: [{ kind: 'addLearner', id: 4 }], joining: [{ replica: 4, node: 2 }] },
    })
    expect(step(group, wish, 1, { caughtUp: false })).toEqual({ type: 'catchUp', replica: 4 })
    expect(group.configuration.voters).toEqual([1, 2, 3])
    step(group, wish, 3)
    expect(group.configuration).toMatchObject({ voters: [1, 3, 4], learners: [] })
    expect(next(group, wish, 4)).toEqual({ type: 'settled' })
  })

  test('and another one are replaced in the order of the new ids, since a lower id cannot follow a higher one', () => {
    const group = new ModelGroup(FOUNDING.replicas)
    const both = replaced(wish, 1, 1)!
    for (let i = 0; i < 4; i++) step(group, both, 3)
    expect(group.configuration).toMatchObject({ voters: [3, 4, 5], learners: [] })
  })

  test('is replaced by the newest of its successors', () => {
    const group = new ModelGroup(FOUNDING.replicas)
    step(group, wish, 1)
    const again = replaced(wish, 2, 2)!
    expect(step(group, again, 1).type).toBe('change')
    expect(group.configuration.learners).toEqual([])
    for (let i = 0; i < 3; i++) step(group, again, 1)
    expect(group.configuration).toMatchObject({ voters: [1, 3, 5], learners: [], lastReplica: 5 })
  })
})

test('between two configurations nothing is proposed', () => {
  const group = new ModelGroup(FOUNDING.replicas)
  group.configuration = { ...group.configuration, votersOutgoing: [1, 2, 3] }
  expect(next(group, replaced(FOUNDING, 2, 2)!, 1)).toEqual({ type: 'wait' })
})

test('a leader whose catalogue is older than the configuration leaves it alone', () => {
  const wish = replaced(FOUNDING, 2, 2)!
  const group = new ModelGroup(FOUNDING.replicas)
  for (let i = 0; i < 2; i++) step(group, wish, 1)
  expect(next(group, FOUNDING, 1)).toEqual({ type: 'wait' })
})

test('a replica that was removed is not added again under its id', () => {
  const group = new ModelGroup(FOUNDING.replicas)
  step(group, withoutNodes(FOUNDING, new Set([3])), 1)
  expect(group.configuration.voters).toEqual([1, 2])
  expect(next(group, FOUNDING, 1)).toMatchObject({ type: 'stuck' })
})

test('a leader that goes hands over first', () => {
  const group = new ModelGroup(FOUNDING.replicas)
  const wish = withoutNodes(FOUNDING, new Set([1]))
  expect(next(group, wish, 1)).toEqual({ type: 'handOver', toNodes: [2, 3] })
  step(group, wish, 2)
  expect(group.configuration.voters).toEqual([2, 3])
})

test('a leader that goes keeps its vote while its successor gets one', () => {
  const wish = replaced(FOUNDING, 1, 9)!
  const group = new ModelGroup(FOUNDING.replicas)
  step(group, wish, 1)
  expect(step(group, wish, 1)).toMatchObject({ change: { steps: [{ kind: 'addVoter', id: 4 }] } })
  expect(group.configuration.voters).toEqual([1, 2, 3, 4])
  expect(next(group, wish, 1)).toMatchObject({ type: 'handOver' })
})

describe('with a limit of voters', () => {
  const five = extended(extended(FOUNDING, 4), 5)

  test('replicas above it stay learners, until a voter goes', () => {
    const group = new ModelGroup(FOUNDING.replicas)
    for (let i = 0; i < 2; i++) step(group, five, 1, { votersMax: 3 })
    expect(group.configuration).toMatchObject({ voters: [1, 2, 3], learners: [4, 5] })
    expect(next(group, five, 1, { votersMax: 3 })).toEqual({ type: 'settled' })
    const wish = withoutNodes(five, new Set([2]))
    expect(step(group, wish, 1, { votersMax: 3, gone: 4 })).toMatchObject({
      change: {
        steps: [
          { kind: 'addVoter', id: 5 },
          { kind: 'remove', id: 2 },
        ],
      },
    })
    expect(group.configuration).toMatchObject({ voters: [1, 3, 5], learners: [4] })
    expect(next(group, wish, 1, { votersMax: 3 })).toEqual({ type: 'settled' })
  })

  test('voters that there are keep their votes, and those that go are not followed by others', () => {
    const group = new ModelGroup(FOUNDING.replicas)
    for (let i = 0; i < 4; i++) step(group, five, 1)
    expect(group.configuration.voters).toEqual([1, 2, 3, 4, 5])
    const wish = extended(withoutNodes(five, new Set([2])), 6)
    for (let i = 0; i < 2; i++) step(group, wish, 1, { votersMax: 3 })
    expect(group.configuration).toMatchObject({ voters: [1, 3, 4, 5], learners: [6] })
    expect(next(group, wish, 1, { votersMax: 3 })).toEqual({ type: 'settled' })
  })
})

describe('any history of wishes', () => {
  const change = fc.record({ kind: fc.constantFrom('replace', 'move', 'add', 'drop'), from: fc.nat(9), to: fc.nat(9) })

  function wishesOf(changes: readonly { kind: string; from: number; to: number }[]): readonly GroupWish[] {
    const wishes = [FOUNDING]
    for (const { kind, from, to } of changes) {
      const last = wishes.at(-1)!
      const node = last.replicas[from % last.replicas.length]!.node
      const free = 10 + to
      const isFree = !last.replicas.some(place => place.node === free)
      if (kind === 'replace') wishes.push(replaced(last, node, node)!)
      else if (kind === 'move' && isFree) wishes.push(replaced(last, node, free)!)
      else if (kind === 'add' && isFree) wishes.push(extended(last, free))
      else if (kind === 'drop') wishes.push(withoutNodes(last, new Set([node])))
    }
    return wishes
  }

  test('is followed by leaders that know any of them, and the last one is reached', () => {
    const steps = fc.array(fc.record({ wish: fc.nat(100), leader: fc.nat(100), caughtUp: fc.boolean() }), {
      maxLength: 60,
    })
    const limits = fc.constantFrom(Number.POSITIVE_INFINITY, 1, 3, 4)
    fc.assert(
      fc.property(fc.array(change, { maxLength: 8 }), steps, limits, (changes, schedule, votersMax) => {
        const wishes = wishesOf(changes)
        const group = new ModelGroup(FOUNDING.replicas)
        const leaderOf = (n: number): number => group.configuration.voters[n % group.configuration.voters.length]!
        let known = 0
        for (const { wish, leader, caughtUp } of schedule) {
          // Wishes come one after the other; a leader may know any that came.
          known = Math.min(wishes.length - 1, Math.max(known, wish % (known + 2)))
          const before = group.configuration.voters.length
          step(group, wishes[wish % (known + 1)]!, leaderOf(leader), { caughtUp, votersMax })
          expect(group.configuration.voters.length).toBeGreaterThanOrEqual(Math.min(before, 1))
        }
        const last = wishes.at(-1)!
        for (let i = 0; i < 80; i++) {
          const found = step(group, last, leaderOf(i), { votersMax })
          if (found.type === 'stuck' || found.type === 'settled') break
        }
        expect(next(group, last, leaderOf(0), { votersMax })).toEqual({ type: 'settled' })
        const members = [...group.configuration.voters, ...group.configuration.learners].sort((a, b) => a - b)
        const wished = last.replicas.map(({ replica }) => replica).sort((a, b) => a - b)
        expect(members).toEqual(wished)
        expect(group.configuration.voters.length).toBeGreaterThanOrEqual(Math.min(votersMax, wished.length))
        if (group.configuration.voters.length < votersMax) expect(group.configuration.learners).toEqual([])
      }),
      { numRuns: 500 },
    )
  })
})
