/** What a reader is told while a trim is being carried out: what it asks for is there, or it was trimmed, and never damaged. */
import { expect, test } from 'vitest'
import { FaultDisk, openOn, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const GROUP = 3

test('a read below the base that a trim has just made durable is told that it is compacted', async () => {
  const store = await openOn(new FaultDisk(seededRandom(7)), { tailCacheBytesMax: 0, segmentBytesMax: 2_048 })
  const log = await store.create(GROUP, { replicaId: 1, base: testBase() })
  const frames = new TestLog(GROUP, testBase())
  for (let i = 0; i < 40; i++)
    await written(log, { frames: [frames.next({ payload: new Uint8Array(700) })], commit: 1 })
  const first = log.base.index + 1
  const to = log.end.index - 2
  const [frame] = await log.read(to, to + 1, 1)
  const { term, chain, timestamp } = frame!.header
  const trimming = log.trimPrefix({ ...log.base, index: to, term, chain, timestamp, nextOffset: 0 })
  let isTrimmed = false
  void trimming.then(() => {
    isTrimmed = true
  })
  const told = new Set<string>()
  while (!isTrimmed)
    told.add(
      await log.read(first, first + 1, 1).then(
        () => 'read',
        (error: { code: string }) => error.code,
      ),
    )
  await trimming
  expect([...told]).toEqual(['read', 'COMPACTED'])
  await expect(log.read(first, first + 1, 1)).rejects.toMatchObject({ code: 'COMPACTED' })
  await store.close()
})
