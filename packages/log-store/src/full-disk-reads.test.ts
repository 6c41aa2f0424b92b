/** Reading asks nothing of a disk that is full. */
import { expect, test } from 'vitest'
import { FaultDisk, openOn, readAll, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const GROUP = 3

test('a segment whose index is gone is read on a full disk, and the index is a problem only', async () => {
  const disk = new FaultDisk(seededRandom(7))
  const store = await openOn(disk)
  const log = await store.create(GROUP, { replicaId: 1, base: testBase() })
  const frames = new TestLog(GROUP, testBase())
  for (let i = 0; i < 12; i++)
    await written(log, { frames: [frames.next({ payload: new Uint8Array(700) })], commit: 1 })
  await store.close()

  const later = disk.clone()
  for (const path of later.files()) if (path.endsWith('.index')) later.replace(path, null)
  const problems: Error[] = []
  const again = await openOn(later, { onProblem: error => problems.push(error), tailCacheBytesMax: 0 })
  later.faults.failing = operation => (operation === 'writev' ? 'ENOSPC' : undefined)
  const [reopened] = again.groups()
  expect(await readAll(reopened!)).toHaveLength(12)
  expect(problems.map(String).join()).toMatch(/ENOSPC.*\.index/)
})
