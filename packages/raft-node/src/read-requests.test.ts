import type { StepResult } from '@millrace/raft-core'
import { expect, test } from 'vitest'
import { ReadRequests } from './read-requests.ts'

const OK: StepResult = { type: 'ok' }

/** Reads that were asked for, and the contexts of the rounds that left for them. */
function asked(count: number): { reads: ReadRequests; ends: Promise<unknown>[]; contexts: number[] } {
  const reads = new ReadRequests(() => 41)
  const ends = Array.from({ length: count }, () => reads.readIndex().catch((error: unknown) => error))
  const contexts: number[] = []
  reads.flush(context => {
    contexts.push(context)
    return OK
  }, 1_000)
  return { reads, ends, contexts }
}

test('all who ask in a turn share a round, and its answer', async () => {
  const { reads, ends, contexts } = asked(3)
  expect(contexts).toHaveLength(1)
  expect(reads.idle).toBe(false)
  reads.answered({ index: 9, context: contexts[0]! })
  expect(await Promise.all(ends)).toEqual([9, 9, 9])
  expect(reads.idle).toBe(true)
})

test('a round whose leader lost its office is a failure, and no answer at index 0', async () => {
  const { reads, ends, contexts } = asked(2)
  reads.answered({ index: 0, context: contexts[0]!, aborted: true })
  for (const end of ends) expect(await end).toMatchObject({ code: 'NO_LEADER', outcome: 'not_stored' })
})

test('an answer to another round, or one that comes late or twice, answers nobody', async () => {
  const { reads, ends, contexts } = asked(1)
  reads.answered({ index: 5, context: contexts[0]! - 1 })
  reads.answered({ index: 5, context: contexts[0]! + 1 })
  reads.expire(999)
  expect(reads.idle).toBe(false)
  reads.expire(1_000)
  expect(await ends[0]).toMatchObject({ code: 'NO_LEADER' })
  const later = reads.readIndex()
  reads.answered({ index: 6, context: contexts[0]! })
  let next = 0
  reads.flush(context => {
    next = context
    return OK
  }, 2_000)
  expect(next).not.toBe(contexts[0])
  reads.answered({ index: 7, context: next })
  expect(await later).toBe(7)
})

test('a round that the core drops fails at once', async () => {
  const reads = new ReadRequests(() => 0)
  const end = reads.readIndex()
  reads.flush(() => ({ type: 'dropped', reason: 'noLeader', leader: 0, message: 'no leader is known' }), 1_000)
  await expect(end).rejects.toMatchObject({ code: 'NO_LEADER', message: 'no leader is known' })
})

test('who waits for an index is told once it is applied, not before; all are told of the end', async () => {
  const reads = new ReadRequests(() => 0)
  const told: string[] = []
  const wait = (index: number): Promise<unknown> =>
    reads.waitApplied(index, 3).then(
      () => told.push(`${index} is applied`),
      (error: Error) => told.push(`${index}: ${error.message}`),
    )
  const waits = [3, 4, 6].map(wait)
  await waits[0]
  reads.applied(5)
  await waits[1]
  expect(told).toEqual(['3 is applied', '4 is applied'])
  reads.close(new Error('the end'))
  await waits[2]
  expect(told.at(-1)).toBe('6: the end')
})
