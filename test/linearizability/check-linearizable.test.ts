import { describe, expect, it } from 'vitest'
import { checkLinearizable } from './check-linearizable.ts'
import { randomHistory, seededRandom } from './random-history.ts'
import type { RegisterAction, RegisterOperation, RegisterValue } from './register-history.ts'

const read = (value: RegisterValue): RegisterAction => ({ type: 'read', value })
const write = (value: RegisterValue): RegisterAction => ({ type: 'write', value })
const swap = (expected: RegisterValue, value: RegisterValue, done: boolean = true): RegisterAction => ({
  ...{ type: 'cas', expected, value, done },
})

/** `to` absent: the outcome is unknown. */
function op(from: number, to: number | undefined, action: RegisterAction, key: string = 'x'): RegisterOperation {
  return { key, action, calledAt: from, ...(to !== undefined && { returnedAt: to }) }
}

const LINEARIZABLE: Readonly<Record<string, readonly RegisterOperation[]>> = {
  'nothing at all': [],
  'nothing is there at first': [op(0, 1, read(null))],
  'one after the other': [op(0, 1, write('a')), op(2, 3, read('a')), op(4, 5, write('b')), op(6, 7, read('b'))],
  'a read during a write sees either': [op(0, 9, write('a')), op(1, 2, read(null)), op(3, 4, read('a'))],
  'two writes at a time, in the order that reads show': [
    ...[op(0, 9, write('a')), op(1, 8, write('b')), op(10, 11, read('a')), op(10, 11, read('a'))],
  ],
  'an end and a call at the same moment overlap': [op(0, 5, write('a')), op(5, 9, read(null))],
  'a swap takes what was written': [op(0, 1, write('a')), op(2, 3, swap('a', 'b')), op(4, 5, read('b'))],
  'of two swaps at a time one is refused': [
    ...[op(0, 1, write('a')), op(2, 5, swap('a', 'b')), op(2, 5, swap('a', 'c', false)), op(6, 7, read('b'))],
  ],
  'an unknown write that never happened': [op(0, undefined, write('a')), op(1, 2, read(null))],
  'an unknown write that happened late': [
    ...[op(0, undefined, write('a')), op(1, 2, write('b')), op(3, 4, read('b')), op(99, 100, read('a'))],
  ],
  'an unknown swap that happened late': [
    ...[op(0, 1, write('a')), op(2, undefined, swap('a', 'b')), op(3, 4, read('a')), op(5, 6, read('b'))],
  ],
  'an unknown read says nothing': [op(0, 1, write('a')), op(2, undefined, read('b')), op(3, 4, read('a'))],
  'unknown swaps in a chain, seen at its end only': [
    ...[op(0, undefined, swap(null, 'a')), op(0, undefined, swap('b', 'c')), op(0, undefined, swap('a', 'b'))],
    ...[op(1, 2, read(null)), op(3, 4, read('c'))],
  ],
  'a refused swap shows that an unknown write happened': [
    ...[op(0, 1, write('a')), op(2, undefined, write('b')), op(3, 4, swap('a', 'c', false)), op(5, 6, write('d'))],
  ],
  'the same value twice': [op(0, 1, write('a')), op(2, 3, write('b')), op(4, 5, write('a')), op(6, 7, read('a'))],
  'keys have nothing to do with each other': [op(0, 1, write('a'), 'y'), op(2, 3, read(null))],
}

const VIOLATIONS: Readonly<Record<string, readonly RegisterOperation[]>> = {
  'a value from nowhere': [op(0, 1, read('a'))],
  'a stale read': [op(0, 1, write('a')), op(2, 3, write('b')), op(4, 5, read('a'))],
  'an acknowledged write is not seen': [op(0, 1, write('a')), op(2, 3, read(null))],
  'a read goes back behind another one, during a write': [
    ...[op(0, 9, write('a')), op(1, 2, read('a')), op(3, 4, read(null))],
  ],
  'two readers disagree about the order of two writes': [
    ...[op(0, 1, write('a')), op(0, 1, write('b'))],
    ...[op(2, 3, read('a')), op(4, 5, read('b')), op(6, 7, read('a'))],
  ],
  'two swaps of one value': [op(0, 1, write('a')), op(2, 5, swap('a', 'b')), op(2, 5, swap('a', 'c'))],
  'split brain: two leaders, each with its own writes and reads': [
    ...[op(0, 1, write('a')), op(2, 3, write('b')), op(4, 9, read('a')), op(5, 8, read('b')), op(10, 11, read('a'))],
  ],
  'split brain: both take the same swap': [
    ...[op(0, 1, swap(null, 'a')), op(2, 3, swap(null, 'b')), op(4, 5, read('b')), op(4, 5, read('a'))],
  ],
  'a swap of what was not there': [op(0, 1, write('a')), op(2, 3, swap('b', 'c'))],
  'a swap is refused, though nothing else happened': [op(0, 1, write('a')), op(2, 3, swap('a', 'b', false))],
  'an unknown write is seen before its call': [op(0, 1, read('a')), op(2, undefined, write('a'))],
  'an unknown write is undone': [
    ...[op(0, undefined, write('a')), op(1, 2, read('a')), op(3, 4, read(null)), op(5, 6, read('a'))],
  ],
  'an unknown write happens twice': [
    ...[op(0, undefined, write('a')), op(1, 2, read('a')), op(3, 4, write('b'))],
    ...[op(5, 6, read('b')), op(7, 8, read('a'))],
  ],
  'an unknown swap that cannot have been done is seen': [
    ...[op(0, 1, write('a')), op(2, undefined, swap('b', 'c')), op(3, 4, read('c'))],
  ],
  'one key of two': [op(0, 1, write('a'), 'y'), op(2, 3, read('a'), 'y'), op(4, 5, read('a'))],
}

describe('checkLinearizable', () => {
  for (const [name, history] of Object.entries(LINEARIZABLE))
    it(`accepts: ${name}`, () => expect(checkLinearizable(history)).toMatchObject({ type: 'linearizable' }))

  for (const [name, history] of Object.entries(VIOLATIONS))
    it(`refuses: ${name}`, () => expect(checkLinearizable(history)).toMatchObject({ type: 'violation', key: 'x' }))

  it('shows the violation without what it does not need', () => {
    const history = [
      ...[op(0, 1, write('a')), op(2, 3, write('b')), op(4, 5, read('b')), op(6, undefined, write('c'))],
      ...[op(7, 8, read('a')), op(9, 10, write('d')), op(11, 12, read('d'))],
    ].map(operation => ({ ...operation, client: 'someone' }))
    const verdict = checkLinearizable(history)
    if (verdict.type !== 'violation') throw new Error(verdict.type)
    expect(verdict.message.split('\n').map(line => line.trim())).toEqual([
      'x is not linearizable: no order explains these 3 of its 7 operations',
      ...['0 … 1  someone  write a', '2 … 3  someone  write b', '7 … 8  someone  read a'],
    ])
  })

  it('shows an unknown write that somebody may have noticed', () => {
    const noticed = [op(0, 1, write('a')), op(2, undefined, write('b')), op(3, 4, swap('a', 'c', false))]
    const history = [...noticed, op(5, 6, read('a')), op(5, undefined, write('d'))]
    const verdict = checkLinearizable(history)
    expect(verdict).toMatchObject({ type: 'violation', smallest: expect.arrayContaining(noticed) })
  })

  it('gives up at its bound, and says so', () => {
    const writes = Array.from({ length: 12 }, (_, i) => op(0, 100, write(`v${i}`)))
    const history = [...writes, op(101, 102, read('other'))]
    expect(checkLinearizable(history, { configurationsMax: 100 })).toMatchObject({ type: 'undecided', key: 'x' })
    expect(checkLinearizable(history)).toMatchObject({ type: 'violation' })
  })

  it('refuses an operation that returned before its call', () => {
    expect(() => checkLinearizable([op(2, 1, read(null))])).toThrow(RangeError)
  })
})

describe('checkLinearizable of random histories', () => {
  const shapes = [
    { operations: 40, keys: 1, clients: 3, unknownShare: 0.3 },
    { operations: 300, keys: 2, clients: 6, unknownShare: 0.1 },
    { operations: 4_000, keys: 10, clients: 10, unknownShare: 0.05 },
  ]
  for (const shape of shapes) {
    const what = `${shape.operations} operations of ${shape.clients} clients`
    const seeds = Array.from({ length: 20_000 / shape.operations }, (_, i) => i + 1)

    it(`accepts what happened: ${what}`, () => {
      for (const seed of seeds) {
        const verdict = checkLinearizable(randomHistory(shape, seededRandom(seed)))
        expect(verdict, `seed ${seed}`).toMatchObject({ type: 'linearizable' })
      }
    })

    it(`finds a stale read, and shows it: ${what}`, () => {
      for (const seed of seeds) {
        const random = seededRandom(seed)
        const history = randomHistory(shape, random)
        const stale = staleRead(history, random)
        const verdict = checkLinearizable([...history, stale])
        expect(verdict, `seed ${seed}`).toMatchObject({ type: 'violation', key: stale.key })
        const { smallest } = verdict as { smallest: readonly RegisterOperation[] }
        expect(checkLinearizable(smallest), `seed ${seed}`).toMatchObject({ type: 'violation' })
        expect(smallest.length, `seed ${seed}`).toBeLessThan(20)
      }
    })

    it(`finds an acknowledged write that was lost: ${what}`, () => {
      for (const seed of seeds) {
        const random = seededRandom(seed)
        const history = randomHistory(shape, random)
        const { before } = overwriting(history, random)
        const end = 1e9
        const last = op(end, end + 1, write('last'), before.key)
        const readAfter = op(end + 2, end + 3, read(before.action.value), before.key)
        const verdict = checkLinearizable([...history, last, readAfter])
        expect(verdict, `seed ${seed}`).toMatchObject({ type: 'violation' })
      }
    })
  }

  it('agrees with trying every order, on thousands of small histories of random answers', () => {
    const random = seededRandom(7)
    const verdicts = { linearizable: 0, violation: 0 }
    for (let i = 0; i < 3_000; i++) {
      const history = smallHistory(random)
      const expected = everyOrder(history, null) ? 'linearizable' : 'violation'
      verdicts[expected] += 1
      const verdict = checkLinearizable(history)
      expect(verdict, JSON.stringify(history)).toMatchObject({ type: expected })
      if (verdict.type === 'violation') expect(everyOrder(verdict.smallest, null), verdict.message).toBe(false)
    }
    expect(Math.min(verdicts.linearizable, verdicts.violation)).toBeGreaterThan(300)
  })
})

/**
 * Two changes of one key, both known, the second one called after the first one had returned. No other operation makes the
 * value of the first one.
 */
function overwriting(history: readonly RegisterOperation[], random: () => number): Record<'before' | 'after', Change> {
  const changes = history.filter(
    (operation): operation is Change =>
      operation.returnedAt !== undefined && operation.action.type !== 'read' && operation.action.value !== null,
  )
  const done = changes.filter(({ action }) => action.type === 'write' || action.done)
  const pairs = done.flatMap(before =>
    done
      .filter(after => after.key === before.key && after.calledAt > before.returnedAt)
      .map(after => ({ before, after })),
  )
  return pairs[Math.floor(random() * pairs.length)]!
}

type Change = RegisterOperation & {
  readonly action: Exclude<RegisterAction, { type: 'read' }>
  readonly returnedAt: number
}

/** A read, in the middle of everything, of what was surely overwritten before. */
function staleRead(history: readonly RegisterOperation[], random: () => number): RegisterOperation {
  const { before, after } = overwriting(history, random)
  const calledAt = after.returnedAt + 0.001
  return { key: after.key, action: read(before.action.value), calledAt, returnedAt: calledAt + 10 * random() }
}

function smallHistory(random: () => number): RegisterOperation[] {
  const pick = (...values: readonly RegisterValue[]): RegisterValue => values[Math.floor(random() * values.length)]!
  return Array.from({ length: 2 + Math.floor(random() * 5) }, () => {
    const from = Math.floor(random() * 20)
    const kind = random()
    const to = kind < 0.4 || random() < 0.7 ? from + Math.floor(random() * 10) : undefined
    if (kind < 0.4) return op(from, to, read(pick(null, 'a', 'b', 'c')))
    if (kind < 0.7) return op(from, to, write(pick(null, 'a', 'b', 'c')))
    return op(from, to, swap(pick(null, 'a', 'b'), pick('a', 'b', 'c'), random() < 0.5))
  })
}

/** The definition, without any cleverness. */
function everyOrder(left: readonly RegisterOperation[], held: RegisterValue): boolean {
  if (left.every(({ returnedAt }) => returnedAt === undefined)) return true
  const firstReturn = Math.min(...left.map(({ returnedAt = Number.POSITIVE_INFINITY }) => returnedAt))
  return left.some((operation, i) => {
    if (operation.calledAt > firstReturn) return false
    const after = outcome(operation, held)
    return after !== undefined && everyOrder(left.toSpliced(i, 1), after.value)
  })
}

/** What the register holds afterwards; undefined: it cannot have answered that. */
function outcome({ action, returnedAt }: RegisterOperation, held: RegisterValue): { value: RegisterValue } | undefined {
  const unknown = returnedAt === undefined
  switch (action.type) {
    case 'read':
      return unknown || action.value === held ? { value: held } : undefined
    case 'write':
      return { value: action.value }
    case 'cas': {
      const done = action.expected === held
      if (!unknown && done !== action.done) return undefined
      return { value: done ? action.value : held }
    }
  }
}
