/** A replica that takes the place of one that was dropped, in the same process: it has files of the same names. */
import { expect, test } from 'vitest'
import { FaultDisk, openOn, readAll, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const GROUP = 3

test('what was read of a dropped replica is not taken for the next one', async () => {
  const store = await openOn(new FaultDisk(seededRandom(8)), { tailCacheBytesMax: 0 })
  for (const replicaId of [1, 2]) {
    const log = await store.create(GROUP, { replicaId, base: testBase() })
    const frames = new TestLog(GROUP, testBase())
    const all = Array.from({ length: 12 }, (_, i) => frames.next({ payload: new Uint8Array(700 + i * replicaId) }))
    for (const frame of all) await written(log, { frames: [frame], commit: 1 })
    expect(await readAll(log)).toEqual(all.map(frame => frame.bytes))
    if (replicaId === 1) await store.drop(GROUP)
  }
  await store.close()
})
