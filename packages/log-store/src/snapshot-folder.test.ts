/** The snapshots of all groups in one folder: made when they are needed, durable with their folder, and removed whole. */
import { describe, expect, test } from 'vitest'
import { MemorySnapshotStores } from './memory.ts'
import { openSnapshotFolder } from './snapshot-folder.ts'
import type { SnapshotStores } from './snapshot-stores.ts'
import { FaultDisk, ManualClock, readSnapshot, seededRandom, snapshotContent, takeSnapshot } from './testing/index.ts'

const DIR = 'snapshots'

interface Fixture {
  disk: FaultDisk
  stores: SnapshotStores
  readonly clock: ManualClock
  readonly problems: Error[]
}

async function openOn(disk: FaultDisk, retain = 2): Promise<Fixture> {
  const clock = new ManualClock()
  const problems: Error[] = []
  const onProblem = (error: Error): void => void problems.push(error)
  const stores = await openSnapshotFolder({ dir: DIR, disk, clock, retain, onProblem, trashKeepMs: 1_000 })
  return { disk, stores, clock, problems }
}

const newDisk = (): FaultDisk => new FaultDisk(seededRandom(1))

async function indexes(stores: SnapshotStores, group: number): Promise<readonly number[]> {
  return (await stores.open(group)).list().map(({ index }) => index)
}

describe.each([
  ['on files', async () => (await openOn(newDisk())).stores],
  ['in memory', async () => new MemorySnapshotStores()],
] as const)('%s', (_, open) => {
  test('each group has its own, which the next opening finds', async () => {
    const stores = await open()
    for (const group of [3, 4]) await takeSnapshot(await stores.open(group), group * 10)
    expect([await indexes(stores, 3), await indexes(stores, 4), await indexes(stores, 5)]).toEqual([[30], [40], []])
    const reader = await (await stores.open(4)).openNewest()
    expect(await readSnapshot(reader!)).toEqual(snapshotContent(40))
  })

  test('those of a group that is dropped are gone, once and again', async () => {
    const stores = await open()
    for (const group of [3, 4]) await takeSnapshot(await stores.open(group), 10)
    for (let times = 0; times < 2; times++) await stores.drop(3)
    expect([await indexes(stores, 3), await indexes(stores, 4)]).toEqual([[], [10]])
    await takeSnapshot(await stores.open(3), 20)
    expect(await indexes(stores, 3)).toEqual([20])
  })

  test('a store that was empty when it was opened lists and opens what it took since', async () => {
    const store = await (await open()).open(3)
    expect([store.list(), await store.openNewest()]).toEqual([[], null])
    await takeSnapshot(store, 10)
    expect(store.list().map(({ index }) => index)).toEqual([10])
    expect((await store.openNewest())?.info.index).toBe(10)
  })
})

test('a group that has no snapshot costs no file', async () => {
  const { disk, stores } = await openOn(newDisk())
  const before = disk.operations
  const store = await stores.open(3)
  expect([store.list(), await store.openNewest(), disk.operations]).toEqual([[], null, before])
})

test('as many are kept as it was told', async () => {
  const { stores } = await openOn(newDisk(), 1)
  const store = await stores.open(3)
  for (const index of [10, 20, 30]) await takeSnapshot(store, index)
  expect(await indexes(stores, 3)).toEqual([30])
})

test('what was taken survives a loss of power, whatever it left of the names', async () => {
  for (let seed = 1; seed < 30; seed++) {
    const disk = new FaultDisk(seededRandom(seed))
    const { stores } = await openOn(disk)
    await takeSnapshot(await stores.open(3), 10)
    expect(await indexes((await openOn(disk.losePower())).stores, 3)).toEqual([10])
  }
})

test('what was dropped stays dropped after a loss of power', async () => {
  for (let seed = 1; seed < 30; seed++) {
    const disk = new FaultDisk(seededRandom(seed))
    const { stores } = await openOn(disk)
    await takeSnapshot(await stores.open(3), 10)
    await stores.drop(3)
    expect(await indexes((await openOn(disk.losePower())).stores, 3)).toEqual([])
  }
})

test('removed ones stay in the trash for their time', async () => {
  const { disk, stores, clock } = await openOn(newDisk())
  await takeSnapshot(await stores.open(3), 10)
  await stores.drop(3)
  const inTrash = (): number => disk.files().filter(path => path.startsWith(`${DIR}/trash/`)).length
  expect(inTrash()).toBe(1)
  clock.advance(2_500)
  await expect.poll(inTrash).toBe(0)
})

test('a disk that has no room for the folder fails the snapshot; the next attempt succeeds', async () => {
  const { disk, stores } = await openOn(newDisk())
  const store = await stores.open(3)
  disk.faults.failing = (operation, path) => (operation === 'syncFolder' && path === DIR ? 'ENOSPC' : undefined)
  await expect(takeSnapshot(store, 10)).rejects.toMatchObject({ code: 'ENOSPC' })
  disk.faults.failing = () => undefined
  await takeSnapshot(store, 10)
  expect(await indexes(stores, 3)).toEqual([10])
})

test('names that cannot be made durable are not handed out', async () => {
  const { disk } = await openOn(newDisk())
  disk.faults.failing = (operation, path) => (operation === 'syncFolder' && path === DIR ? 'EIO' : undefined)
  await expect(openOn(disk)).rejects.toMatchObject({ code: 'IO', message: expect.stringContaining(DIR) })
})
