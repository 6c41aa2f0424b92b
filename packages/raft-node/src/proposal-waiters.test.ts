import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Frame } from '@millrace/record'
import { expect, test } from 'vitest'
import { ProposalWaiters } from './proposal-waiters.ts'

function setUp(...places: readonly [index: number, term: number][]): { waiters: ProposalWaiters; heard: string[] } {
  const waiters = new ProposalWaiters()
  const heard: string[] = []
  for (const [index, term] of places) {
    waiters.add(index, term, {
      applied: (_frame, result) => heard.push(`${index}/${term} ${String(result)}`),
      failed: outcome => heard.push(`${index}/${term} ${outcome}`),
    })
  }
  return { waiters, heard }
}

function frame(index: number, term: number): Frame {
  return { header: { index, term }, bytes: new Uint8Array(0) } as Frame
}

test('each waiter hears of its own entry', () => {
  const { waiters, heard } = setUp([5, 2], [6, 2])
  waiters.applied(frame(4, 2), 'other')
  waiters.applied(frame(5, 2), 'five')
  waiters.applied(frame(6, 2), 'six')
  expect(heard).toEqual(['5/2 five', '6/2 six'])
  expect(waiters.size).toBe(0)
})

test('an entry of a later term at or below a waiter’s place proves that its entry is not in the log', () => {
  const { waiters, heard } = setUp([5, 2], [6, 2], [9, 2])
  waiters.applied(frame(5, 2), 'five')
  waiters.applied(frame(6, 3), undefined)
  expect(heard).toEqual(['5/2 five', '6/2 not_stored', '9/2 not_stored'])
})

test('elected again, a replica may have older waiters at higher places', () => {
  const { waiters, heard } = setUp([10, 2], [9, 4], [10, 4])
  waiters.applied(frame(7, 2), undefined)
  waiters.applied(frame(8, 4), undefined)
  waiters.applied(frame(9, 4), 'nine')
  waiters.applied(frame(10, 4), 'ten')
  expect(heard).toEqual(['10/2 not_stored', '9/4 nine', '10/4 ten'])
})

test('giving up is by term', () => {
  const { waiters, heard } = setUp([5, 2], [6, 2], [7, 3])
  waiters.expire(2, 'lost')
  expect(heard).toEqual(['5/2 unknown', '6/2 unknown'])
  expect(waiters.size).toBe(1)
})

test('thousands of waiters are let go of', () => {
  const { waiters, heard } = setUp(...Array.from({ length: 5_000 }, (_, i): [number, number] => [i, 1]))
  for (let i = 0; i < 5_000; i++) waiters.applied(frame(i, 1), i)
  expect(heard).toHaveLength(5_000)
  expect(waiters.size).toBe(0)
})

test('what was proposed is let go of as soon as its waiter has heard its end, while others wait', async () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const waiters = new ProposalWaiters()
  const add = (index: number): WeakRef<object> => {
    const payload = new Uint8Array(100)
    waiters.add(index, 1, { applied: () => payload.length, failed: () => payload.length })
    return new WeakRef(payload)
  }
  const payloads = [1, 2, 3].map(add)
  waiters.applied(frame(1, 1), undefined)
  waiters.applied(frame(2, 1), undefined)
  // A weak reference that was made or looked at holds on until the present job is over.
  await new Promise(resolve => setImmediate(resolve))
  collectGarbage()
  expect(payloads.map(payload => payload.deref() === undefined)).toEqual([true, true, false])
  expect(waiters.size).toBe(1)
})
