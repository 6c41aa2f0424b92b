/** What removed segments lie in: for a time, but never so many that they fill the disk. */
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { positionAfter } from './frame-sequence.ts'
import type { SegmentedLogStoreOptions } from './segmented-log-store.ts'
import { SPARE_FOLDER } from './spare-segments.ts'
import { ManualClock, openOn, type RunningStore, runningStore, STORE_DIR, testBase, written } from './testing/index.ts'
import { TRASH_FOLDER } from './trash.ts'

const TRASH: string = `${STORE_DIR}/${TRASH_FOLDER}`
const KEEP_MS = 600_000

function open(options: Partial<SegmentedLogStoreOptions>): Promise<RunningStore> {
  return runningStore({ segmentBytesMax: 20_000, trashKeepMs: KEEP_MS, ...options })
}

/** Fills `count` segments, each with two entries, and removes all but the newest. */
async function fillAndTrim({ log, source, clock }: RunningStore, count: number): Promise<void> {
  for (let segment = 0; segment < count; segment++) {
    await written(log, { frames: source.append(2, { payload: new Uint8Array(11_000).fill(7) }) })
  }
  clock.advance(1)
  const [last] = await log.read(log.end.index - 2, log.end.index - 1, 1)
  await log.trimPrefix({ ...log.base, ...positionAfter(last!) })
  for (let turns = 0; turns < 5; turns++) await turn()
}

function baseIndexes({ disk }: RunningStore): number[] {
  return disk.files(TRASH).map(name => Number.parseInt(name.split('-')[3]!, 16))
}

test('no more segments are kept than the limit says, the newest; the others are not written over while they may be read', async () => {
  const running = await open({ trashSegmentsMax: 3 })
  await fillAndTrim(running, 3)
  const first = baseIndexes(running)
  expect(first).toHaveLength(2)
  await fillAndTrim(running, 4)
  const then = baseIndexes(running)
  expect(then).toHaveLength(3)
  expect(Math.min(...then)).toBeGreaterThan(Math.max(...first))
  expect(running.disk.files(`${STORE_DIR}/${SPARE_FOLDER}`)).toEqual([])
  expect(running.log.base.index).toBeGreaterThan(Math.max(...then))
  running.clock.advance(KEEP_MS)
  for (let turns = 0; turns < 5; turns++) await turn()
  expect(running.disk.files(TRASH)).toEqual([])
  expect(running.disk.files(`${STORE_DIR}/${SPARE_FOLDER}`)).toHaveLength(3)
})

test('what an earlier process left counts too', async () => {
  const running = await open({ trashSegmentsMax: 8 })
  await fillAndTrim(running, 6)
  expect(running.disk.files(TRASH)).toHaveLength(5)
  await running.store.close()
  const clock = new ManualClock()
  clock.advance(1_000)
  const store = await openOn(running.disk, {
    segmentBytesMax: 20_000,
    trashKeepMs: KEEP_MS,
    trashSegmentsMax: 4,
    clock,
  })
  const again = { ...running, clock, store, log: store.groups()[0]! }
  clock.advance(60_000)
  for (let turns = 0; turns < 5; turns++) await turn()
  expect(running.disk.files(TRASH)).toHaveLength(4)
  await fillAndTrim(again, 3)
  expect(running.disk.files(TRASH).length).toBeLessThanOrEqual(5)
})

test('a disk below its reserve gets everything back, within a second', async () => {
  const running = await open({ diskReserveBytes: 1 })
  const { disk, clock, store } = running
  await fillAndTrim(running, 4)
  await store.create(2, { replicaId: 3, base: testBase() })
  await store.drop(2)
  expect(disk.files(TRASH).length).toBeGreaterThan(3)
  disk.faults.failing = operation => (operation === 'freeBytes' ? 'ENOSPC' : undefined)
  clock.advance(1_000)
  for (let turns = 0; turns < 20; turns++) await turn()
  expect(store.acceptsAppends).toBe(false)
  expect(disk.files(TRASH)).toEqual([])
  disk.faults.failing = () => undefined
  clock.advance(1_000)
  for (let turns = 0; turns < 5; turns++) await turn()
  expect(store.acceptsAppends).toBe(true)
})
