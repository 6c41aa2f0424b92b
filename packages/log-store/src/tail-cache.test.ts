import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Frame } from '@millrace/record'
import { expect, test } from 'vitest'
import { type GroupTail, TailCache } from './tail-cache.ts'
import { TestLog, testBase } from './testing/index.ts'

const PAYLOAD_BYTES = 10_000

/** Appends frames that only the tail holds from then on. */
function appendWeakly(tail: GroupTail, count: number): { refs: WeakRef<Frame>[]; first: number } {
  const frames = new TestLog(1, testBase()).append(count, { payload: new Uint8Array(PAYLOAD_BYTES) })
  tail.append(frames)
  return { refs: frames.map(frame => new WeakRef(frame)), first: frames[0]!.header.index }
}

/** Indexes of the frames that a garbage collection leaves. */
async function indexesAlive(refs: readonly WeakRef<Frame>[]): Promise<number[]> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // What a WeakRef was made of or gave lives until the end of the job.
  await sleep(0)
  collect()
  return refs.flatMap(ref => ref.deref()?.header.index ?? [])
}

test('a forgotten frame is free at once, although most of its tail stays', async () => {
  const tail = new TailCache(0).newTail()
  const { refs, first } = appendWeakly(tail, 10)
  tail.forgetUpTo(first + 3)
  expect(tail.first).toBe(first + 4)
  expect(await indexesAlive(refs)).toEqual([4, 5, 6, 7, 8, 9].map(at => first + at))
  expect(tail.slice(first + 4, first + 10, 1e9)).toHaveLength(6)
})

test('the frames in memory take what the cache counts, and no more than its budget', async () => {
  const cache = new TailCache(10 * PAYLOAD_BYTES)
  const tail = cache.newTail()
  const { refs, first } = appendWeakly(tail, 16)
  for (let at = 0; at < 16; at++) cache.release(tail, first + at, PAYLOAD_BYTES)
  const alive = await indexesAlive(refs)
  expect(alive.at(0)).toBe(Math.min(tail.first, first + 16))
  expect(cache.bytes).toBeLessThanOrEqual(10 * PAYLOAD_BYTES)
  expect(alive.length * PAYLOAD_BYTES).toBeLessThanOrEqual(cache.bytes)
})
