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

test('what either copy of the mark says of a dropped replica is not held against the next one', async () => {
  const disk = new FaultDisk(seededRandom(9))
  const store = await openOn(disk)
  const old = await store.create(GROUP, { replicaId: 1, base: testBase() })
  for (const frame of new TestLog(GROUP, testBase()).append(20)) await written(old, { frames: [frame], commit: 1 })
  await store.close()
  const again = await openOn(disk)
  await again.drop(GROUP)
  const log = await again.create(GROUP, { replicaId: 2, base: testBase() })
  await written(log, { frames: new TestLog(GROUP, testBase()).append(2), commit: 1 })
  const killed = disk.kill()
  for (const copy of ['log/mark-a', 'log/mark-b']) {
    const damaged = killed.clone()
    damaged.replace(copy, new Uint8Array(104))
    const [recovered] = (await openOn(damaged)).groups()
    expect(recovered!.recovered).toMatchObject({ replicaId: 2, last: { index: 3 } })
    expect(recovered!.recovered.uncertainUntil).toBeUndefined()
  }
})
