import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { simulate } from '../testing/simulated-partition.ts'
import type { Answer, Failure } from './answer.ts'
import { AppendLane } from './append-lane.ts'
import type { LaneAction } from './lane-action.ts'

const CONFIG = { inflightBatchesMax: 5, attemptTimeoutMs: 1000, backoffMinMs: 20, backoffMaxMs: 200 }

function newLane(): AppendLane {
  let ids = 0
  return new AppendLane(CONFIG, { random: () => 0.5, producerId: () => new Uint8Array(16).fill(++ids) })
}

const batch = (id: number, conditional = false) => ({ id, conditional, deadline: 10_000 })
const stored = (baseOffset = 0): Answer => ({ ok: true, baseOffset, timestamp: 1 })
const failure = (code: Failure['code'], more: Partial<Failure> = {}): Failure => ({
  ok: false,
  code,
  outcome: 'not_stored',
  retryable: false,
  message: code,
  ...more,
})
const notLeader = failure('NOT_LEADER', { retryable: true })
const gap = failure('PRODUCER_SEQUENCE_GAP', { retryable: true })

/** A short form of actions: what was sent as epoch/sequence, what was settled as what. */
function short(actions: readonly LaneAction[]): string[] {
  return actions.flatMap(action => {
    if (action.type === 'send') return [`send ${action.batch.id} ${action.epoch}/${action.sequence}`]
    if (action.type === 'release') return []
    if (action.type !== 'settle') return [action.type]
    const { answer } = action
    return [`${action.batch.id} ${answer.ok ? 'stored' : `${answer.code} ${answer.outcome}`}`]
  })
}

/** A lane with batches 1 to `count` in flight as attempts 1 to `count`. */
function inFlight(count: number): AppendLane {
  const lane = newLane()
  for (let id = 1; id <= count; id++) lane.enqueue(batch(id), 0)
  lane.linked(1, 0)
  lane.takeActions()
  return lane
}

test('batches are numbered from 0 and at most five are in flight', () => {
  const lane = newLane()
  for (let id = 1; id <= 6; id++) lane.enqueue(batch(id), 0)
  expect(short(lane.takeActions())).toEqual(['find'])
  lane.linked(1, 0)
  expect(short(lane.takeActions())).toEqual([1, 2, 3, 4, 5].map(id => `send ${id} 0/${id - 1}`))
  lane.answer(1, stored(), 1)
  expect(short(lane.takeActions())).toEqual(['1 stored', 'send 6 0/5'])
})

describe('a refused batch fails alone', () => {
  test('those behind it get its number where all were answered', () => {
    const lane = inFlight(3)
    lane.answer(1, failure('RECORD_TOO_LARGE'), 1)
    lane.answer(2, gap, 1)
    expect(lane.takeActions()).toEqual([])
    lane.answer(3, gap, 1)
    expect(short(lane.takeActions())).toEqual(['1 RECORD_TOO_LARGE not_stored', 'send 2 0/0', 'send 3 0/1'])
  })

  test('a new epoch begins where an attempt behind it may still be under way', () => {
    const lane = inFlight(2)
    lane.answer(1, notLeader, 1)
    lane.unlinked(1, 2)
    lane.linked(2, 3)
    expect(short(lane.takeActions())).toEqual(['find', 'send 1 0/0', 'send 2 0/1'])
    lane.answer(3, failure('RECORD_TOO_LARGE'), 4)
    lane.answer(4, gap, 4)
    expect(short(lane.takeActions())).toEqual(['1 RECORD_TOO_LARGE not_stored', 'send 2 1/0'])
  })

  test('after an attempt without an answer nobody can tell, for it and for those that needed its number', () => {
    const lane = inFlight(2)
    lane.unlinked(1, 2)
    lane.enqueue(batch(3), 2)
    lane.linked(2, 3)
    lane.takeActions()
    lane.answer(3, failure('RECORD_TOO_LARGE'), 4)
    lane.answer(4, gap, 4)
    lane.answer(5, gap, 4)
    expect(short(lane.takeActions())).toEqual([
      '1 RECORD_TOO_LARGE unknown',
      '2 RECORD_TOO_LARGE unknown',
      'send 3 1/0',
    ])
  })

  test('a conditional batch is in flight alone', () => {
    const lane = newLane()
    lane.enqueue(batch(1), 0)
    lane.enqueue(batch(2, true), 0)
    lane.enqueue(batch(3), 0)
    lane.linked(1, 0)
    expect(short(lane.takeActions())).toEqual(['find', 'send 1 0/0'])
    lane.answer(1, stored(), 1)
    expect(short(lane.takeActions())).toEqual(['1 stored', 'send 2 0/1'])
    lane.answer(2, failure('EXPECTATION_FAILED'), 2)
    expect(short(lane.takeActions())).toEqual(['2 EXPECTATION_FAILED not_stored', 'send 3 0/1'])
  })
})

describe('a producer that the partition does not know', () => {
  const unknown = failure('PRODUCER_UNKNOWN', { outcome: 'unknown' })

  test('after a first attempt begins a new epoch by itself', () => {
    const lane = inFlight(1)
    lane.answer(1, stored(), 0)
    lane.enqueue(batch(2), 1)
    lane.takeActions()
    lane.answer(2, unknown, 1)
    expect(short(lane.takeActions())).toEqual(['send 2 1/0'])
  })

  test('behind a batch that was refused for now it is a gap: both are sent again in order', () => {
    const lane = inFlight(2)
    lane.answer(1, failure('THROTTLED', { retryable: true }), 1)
    lane.answer(2, unknown, 1)
    lane.tick(100)
    lane.linked(1, 100)
    expect(short(lane.takeActions())).toEqual(['find', 'send 1 0/0', 'send 2 0/1'])
  })

  test('behind a batch that may be stored it says nothing about that one', () => {
    const lane = inFlight(2)
    lane.unlinked(1, 1)
    lane.linked(2, 2)
    lane.takeActions()
    lane.answer(4, unknown, 3)
    lane.answer(3, failure('THROTTLED', { retryable: true }), 3)
    lane.tick(100)
    lane.linked(2, 100)
    expect(short(lane.takeActions())).toEqual(['find', 'send 1 0/0', 'send 2 0/1'])
  })

  test('behind a batch that is acknowledged it is believed when it is said again', () => {
    const lane = inFlight(2)
    lane.answer(2, unknown, 1)
    lane.answer(1, stored(), 1)
    expect(short(lane.takeActions())).toEqual(['1 stored', 'send 2 0/1'])
    lane.answer(3, unknown, 2)
    expect(short(lane.takeActions())).toEqual(['send 2 1/0'])
  })

  test('after a retry the outcome is unknown; those behind it go on', () => {
    const lane = inFlight(1)
    lane.unlinked(1, 1)
    lane.enqueue(batch(2), 1)
    lane.linked(2, 2)
    lane.takeActions()
    lane.answer(2, unknown, 3)
    lane.answer(3, unknown, 3)
    expect(short(lane.takeActions())).toEqual(['1 PRODUCER_UNKNOWN unknown'])
    lane.tick(100)
    lane.linked(2, 100)
    expect(short(lane.takeActions())).toEqual(['find', 'send 2 1/0'])
  })
})

describe('an attempt says that it is a retry', () => {
  const retries = (lane: AppendLane): boolean[] =>
    lane.takeActions().flatMap(action => (action.type === 'send' ? [action.retry] : []))

  test('not where every attempt before it was answered as not stored', () => {
    const lane = newLane()
    lane.enqueue(batch(1), 0)
    lane.linked(1, 0)
    expect(retries(lane)).toEqual([false])
    lane.answer(1, notLeader, 1)
    lane.linked(2, 1)
    expect(retries(lane)).toEqual([false])
  })

  test('after one without an answer, for good', () => {
    const lane = inFlight(1)
    lane.unlinked(1, 1)
    lane.linked(2, 1)
    expect(retries(lane)).toEqual([true])
    lane.answer(2, notLeader, 2)
    lane.tick(100)
    lane.linked(3, 100)
    expect(retries(lane)).toEqual([true])
  })

  test('after an answer that nobody can tell', () => {
    const lane = inFlight(1)
    lane.answer(1, failure('LEADERSHIP_LOST', { retryable: true, outcome: 'unknown' }), 1)
    lane.tick(100)
    lane.linked(2, 100)
    expect(retries(lane)).toEqual([true])
  })

  test('not under a new number', () => {
    const lane = inFlight(2)
    lane.answer(1, failure('RECORD_TOO_LARGE'), 1)
    lane.unlinked(1, 2)
    lane.linked(2, 3)
    const sent = lane.takeActions().filter(action => action.type === 'send')
    expect(sent).toMatchObject([{ epoch: 1, sequence: 0, retry: false }])
  })
})

describe('time', () => {
  test('what was never sent is not stored', () => {
    const lane = newLane()
    lane.enqueue(batch(1), 0)
    expect(lane.wakeAt()).toBe(10_000)
    lane.tick(10_000)
    expect(short(lane.takeActions())).toEqual(['find', '1 APPEND_TIMEOUT not_stored'])
  })

  test('what was refused and waits for its next try is not stored', () => {
    const lane = inFlight(1)
    lane.answer(1, failure('NO_LEADER', { retryable: true }), 9_990)
    lane.tick(10_000)
    expect(short(lane.takeActions())).toEqual(['1 APPEND_TIMEOUT not_stored'])
  })

  test('what is in flight is unknown, and its late answer is nobody’s', () => {
    const lane = inFlight(1)
    lane.tick(900)
    lane.tick(10_000)
    expect(short(lane.takeActions())).toContain('1 APPEND_TIMEOUT unknown')
    lane.answer(1, stored(), 10_001)
    expect(short(lane.takeActions())).toEqual([])
    expect(lane.size).toBe(0)
  })

  test('a link that does not answer is suspected, and a late success counts', () => {
    const lane = inFlight(1)
    lane.tick(1000)
    expect(short(lane.takeActions())).toEqual(['suspect', 'find'])
    lane.answer(1, stored(7), 1001)
    expect(short(lane.takeActions())).toEqual(['1 stored'])
  })

  test('a link that is lost is looked for at once, then ever more slowly', () => {
    const lane = inFlight(1)
    lane.unlinked(1, 5)
    expect(short(lane.takeActions())).toEqual(['find'])
    lane.notFound(5)
    // The second of them is in [15, 30).
    expect(lane.wakeAt()).toBe(5 + 22.5)
    lane.tick(27.5)
    expect(short(lane.takeActions())).toEqual(['find'])
  })
})

test('not leader: nothing is sent elsewhere before all in flight is answered', () => {
  const lane = inFlight(2)
  lane.answer(1, notLeader, 1)
  expect(lane.takeActions()).toEqual([])
  lane.answer(2, notLeader, 1)
  expect(short(lane.takeActions())).toEqual(['find'])
  lane.linked(2, 2)
  expect(short(lane.takeActions())).toEqual(['send 1 0/0', 'send 2 0/1'])
})

test('a batch is taken back only before it was sent', () => {
  const lane = inFlight(1)
  expect(lane.withdraw(1)).toBe(false)
  lane.enqueue(batch(2, true), 0)
  expect(lane.withdraw(2)).toBe(true)
})

test('closing settles what is left, truly', () => {
  const lane = inFlight(5)
  lane.enqueue(batch(6), 0)
  lane.close(failure('SHUTTING_DOWN'))
  expect(short(lane.takeActions())).toEqual([
    ...[1, 2, 3, 4, 5].map(id => `${id} SHUTTING_DOWN unknown`),
    '6 SHUTTING_DOWN not_stored',
  ])
})

// Connections that lose, delay and outlive their clients; leaders that change and lose what is not committed; refusals,
// throttling, producers that are forgotten. The seed decides which of them and when.
test('against a simulated partition: no duplicates, order kept, every batch settled once and truly', () => {
  const seeds = Number(process.env.MILLRACE_SIMULATIONS ?? 1500)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x7fff_ffff }), seed => {
      expect(simulate(seed).problems).toEqual([])
    }),
    { numRuns: seeds },
  )
})

test('the simulation finds a client that never says that it tries again', () => {
  const problems: string[] = []
  for (let seed = 0; seed < 600; seed++) problems.push(...simulate(seed, { flagged: false }).problems)
  expect(problems.filter(problem => problem.endsWith('stored twice')).length).toBeGreaterThan(0)
})

test('the simulation reaches what it is for', () => {
  const total = { stored: 0, unknown: 0, notStored: 0, duplicatesRefused: 0, epochs: 0 }
  for (let seed = 0; seed < 300; seed++) {
    const { counts } = simulate(seed)
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += counts[key]
  }
  for (const count of Object.values(total)) expect(count).toBeGreaterThan(50)
})
