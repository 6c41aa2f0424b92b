import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { openSnapshotStore } from './file-snapshot-store.ts'
import type { LogError } from './log-store.ts'
import { MemorySnapshotStore } from './memory.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import {
  FaultDisk,
  readSnapshot,
  seededRandom,
  snapshotContent,
  snapshotHead,
  takeSnapshot,
  testSnapshotStore,
} from './testing/index.ts'
import { removeTemporaryFolders, temporaryFolder } from './testing/temporary-folder.ts'

afterAll(removeTemporaryFolders)

const DIR = 'snapshots/3'

function openOn(disk: FaultDisk, problems: Error[] = []): Promise<SnapshotStore> {
  return openSnapshotStore({ dir: DIR, group: 3, disk, onProblem: error => problems.push(error) })
}

describe('MemorySnapshotStore', () => {
  testSnapshotStore({ test, expect }, async () => {
    let store = new MemorySnapshotStore()
    return {
      async open() {
        store = store.reopen()
        return store
      },
    }
  })
})

describe('on files', () => {
  testSnapshotStore({ test, expect }, async () => {
    const dir = join(await temporaryFolder(), 'snapshots')
    return {
      open: () =>
        openSnapshotStore({
          dir,
          group: 3,
          onProblem: error => {
            throw error
          },
        }),
    }
  })
})

/** Runs until the process stops; says which commits were acknowledged. */
async function runWorkload(disk: FaultDisk, acknowledged: number[]): Promise<void> {
  const store = await openOn(disk)
  for (const index of [10, 20, 15, 30]) {
    await takeSnapshot(store, index)
    acknowledged.push(index)
  }
  const given = await store.create(snapshotHead(40))
  await given.write(snapshotContent(40))
  await given.abort()
}

async function runUntilStop(disk: FaultDisk): Promise<readonly number[]> {
  const acknowledged: number[] = []
  let over = false
  void runWorkload(disk, acknowledged).then(() => {
    over = true
  })
  while (!over && !disk.stopped) await new Promise<void>(resolve => setImmediate(resolve))
  return acknowledged
}

async function newestOf(disk: FaultDisk): Promise<number> {
  const reader = await (await openOn(disk)).openNewest()
  if (reader === null) return 0
  expect(await readSnapshot(reader)).toEqual(snapshotContent(reader.info.index))
  return reader.info.index
}

test.each([
  ['power loss', 'losePower'],
  ['kill', 'kill'],
] as const)(
  'stopped at every operation by %s: what was committed is there, and nothing half-written',
  async (_, stop) => {
    const whole = new FaultDisk(seededRandom(1))
    await runUntilStop(whole)
    for (let at = 1; at <= whole.operations; at++) {
      const disk = new FaultDisk(seededRandom(at))
      disk.faults.crashAt = at
      const acknowledged = await runUntilStop(disk)
      const after = stop === 'kill' ? disk.kill() : disk.losePower()
      const found = await newestOf(after)
      expect(found).toBeGreaterThanOrEqual(Math.max(0, ...acknowledged))
      expect(after.files().filter(path => path.endsWith('.new'))).toEqual([])
      // What was handed out survives the next power loss.
      expect(await newestOf(after.losePower())).toBe(found)
    }
  },
)

test('a flipped bit anywhere in the newest: the one before it is used, and it is said', async () => {
  const disk = new FaultDisk(seededRandom(1))
  const store = await openOn(disk)
  for (const index of [10, 20]) await takeSnapshot(store, index)
  const path = disk.files().toSorted().at(-1)!
  const whole = disk.contentOf(path)
  for (let at = 0; at < whole.length; at += at < 300 ? 1 : 97) {
    const damaged = disk.clone()
    const bytes = Uint8Array.from(whole)
    bytes[at]! ^= 1 << (at % 8)
    damaged.replace(path, bytes)
    const problems: Error[] = []
    const reader = await (await openOn(damaged, problems)).openNewest()
    expect(reader?.info.index).toBe(10)
    expect(await readSnapshot(reader!)).toEqual(snapshotContent(10))
    expect(problems).toMatchObject([{ code: 'DAMAGED', message: expect.stringContaining(path) }])
  }
})

test('one of another group, and one cut off, are not used', async () => {
  const disk = new FaultDisk(seededRandom(1))
  await takeSnapshot(await openOn(disk), 10)
  const [path] = disk.files()
  const other = await openSnapshotStore({ dir: DIR, group: 4, disk: disk.clone(), onProblem: () => undefined })
  expect(other.list()).toEqual([])
  for (const length of [0, 50, 128, 5_000]) {
    const cut = disk.clone()
    cut.replace(path!, disk.contentOf(path!).slice(0, length))
    expect((await openOn(cut)).list()).toEqual([])
  }
})

test('a damaged one does not count as retained', async () => {
  const disk = new FaultDisk(seededRandom(1))
  const first = await openOn(disk)
  for (const index of [10, 20]) await takeSnapshot(first, index)
  const path = disk.files().toSorted().at(-1)!
  const bytes = Uint8Array.from(disk.contentOf(path))
  bytes[5_000]! ^= 1
  disk.replace(path, bytes)
  const problems: Error[] = []
  const store = await openOn(disk, problems)
  await takeSnapshot(store, 30)
  expect(store.list().map(info => info.index)).toEqual([30, 10])
  expect(problems.length).toBe(1)
})

test('a full disk fails the snapshot and nothing else; the next attempt succeeds', async () => {
  const disk = new FaultDisk(seededRandom(1))
  const store = await openOn(disk)
  await takeSnapshot(store, 10)
  disk.faults.failing = operation => (operation === 'writev' ? 'ENOSPC' : undefined)
  const sink = await store.create(snapshotHead(20))
  await expect(sink.write(snapshotContent(20))).rejects.toMatchObject({ code: 'ENOSPC' })
  await sink.abort()
  disk.faults.failing = () => undefined
  expect(disk.files().filter(path => path.endsWith('.new'))).toEqual([])
  await takeSnapshot(store, 20)
  expect(store.list().map(info => info.index)).toEqual([20, 10])
})

test.each(['datasync', 'rename', 'syncFolder'])('a failed %s commits nothing', async failing => {
  const disk = new FaultDisk(seededRandom(1))
  const store = await openOn(disk)
  await takeSnapshot(store, 10)
  disk.faults.failing = operation => (operation === failing ? 'EIO' : undefined)
  const sink = await store.create(snapshotHead(20))
  await sink.write(snapshotContent(20))
  const error = (await sink.commit().catch((reason: unknown) => reason)) as LogError
  expect(error).toMatchObject({ code: 'IO' })
  disk.faults.failing = () => undefined
  expect(store.list().map(info => info.index)).toEqual([10])
  await takeSnapshot(store, 20)
  expect(await newestOf(disk.losePower())).toBe(20)
})
