/** Trimmed segments as space for new ones: what is taken, what is not, and that nothing of the old file is ever believed. */
import { expect, test } from 'vitest'
import { positionAfter } from './frame-sequence.ts'
import { decodeSegmentHeader } from './segment-header.ts'
import type { SegmentedLogStoreOptions } from './segmented-log-store.ts'
import { SPARE_FOLDER, SpareSegments } from './spare-segments.ts'
import {
  FaultDisk,
  ManualClock,
  openOn,
  type RunningStore,
  readAll,
  runningStore,
  STORE_DIR,
  seededRandom,
  written,
} from './testing/index.ts'

const SEGMENT_BYTES_MAX = 20_000
const SPARE: string = `${STORE_DIR}/${SPARE_FOLDER}`

const OPTIONS: Partial<SegmentedLogStoreOptions> = { segmentBytesMax: SEGMENT_BYTES_MAX, trashKeepMs: 1 }

function openNew(over: Partial<SegmentedLogStoreOptions> = {}): Promise<RunningStore> {
  return runningStore({ ...OPTIONS, ...over })
}

async function reopen(
  { disk, source }: RunningStore,
  options: Partial<SegmentedLogStoreOptions> = {},
): Promise<RunningStore> {
  const clock = new ManualClock()
  const store = await openOn(disk, { ...OPTIONS, clock, ...options })
  expect(store.refused()).toEqual([])
  return { disk, clock, store, log: store.groups()[0]!, source }
}

/** Fills a segment: the next round is the first of another. */
function fill({ log, source }: RunningStore): Promise<void> {
  return written(log, { frames: source.append(2, { payload: new Uint8Array(11_000).fill(7) }) })
}

async function trimTo({ log }: RunningStore, index: number): Promise<void> {
  const at = positionAfter((await log.read(index, index + 1, 1))[0]!)
  await log.trimPrefix({ ...log.base, ...at })
}

/** Lets the trash be swept. */
async function sweep({ clock }: RunningStore): Promise<void> {
  clock.advance(10)
  await new Promise<void>(resolve => setImmediate(resolve))
}

function recycledBytes(disk: FaultDisk): readonly number[] {
  return disk
    .files(`${STORE_DIR}/groups/`)
    .filter(name => name.endsWith('.log'))
    .sort()
    .map(name => {
      const header = decodeSegmentHeader(disk.contentOf(name))
      return typeof header === 'string' ? -1 : header.recycledBytes
    })
}

/** A log of which the newest segment lies over its first. */
async function recycled(over: Partial<SegmentedLogStoreOptions> = {}): Promise<RunningStore> {
  const running = await openNew(over)
  await fill(running)
  await fill(running)
  await trimTo(running, running.log.base.index + 2)
  await sweep(running)
  await written(running.log, { frames: running.source.append(1) })
  return running
}

async function assertWhole({ log, source }: RunningStore): Promise<void> {
  const found = await readAll(log)
  expect(log.end).toEqual(source.position)
  expect(found.length).toBe(log.end.index - log.base.index)
}

test('a segment that was trimmed becomes the next one, and does not grow', async () => {
  const running = await recycled()
  const { disk, log, source } = running
  const [, bytes] = recycledBytes(disk)
  expect(bytes).toBeGreaterThan(SEGMENT_BYTES_MAX)
  expect(disk.files(SPARE)).toEqual([])
  const newest = disk
    .files(`${STORE_DIR}/groups/`)
    .filter(name => name.endsWith('.log'))
    .sort()
    .at(-1)!
  expect(disk.contentOf(newest).length).toBe(bytes)
  for (let round = 0; round < 20; round++)
    await written(log, { frames: source.append(1, { payload: new Uint8Array(300) }) })
  expect(disk.contentOf(newest).length).toBe(bytes)
  await assertWhole(running)
})

test('a round over an older file fills its page with zeroes', async () => {
  const { disk, log, source } = await recycled()
  await written(log, { frames: source.append(1) })
  const newest = disk
    .files(`${STORE_DIR}/groups/`)
    .filter(name => name.endsWith('.log'))
    .sort()
    .at(-1)!
  const bytes = disk.contentOf(newest)
  expect(bytes.subarray(2_048, 4_096).every(byte => byte === 0)).toBe(true)
  expect(bytes.subarray(4_096, 8_192).some(byte => byte !== 0)).toBe(true)
})

test('after a clean stop it is written on, whatever the old file left behind its end', async () => {
  const running = await recycled()
  await running.store.close()
  const again = await reopen(running)
  await written(again.log, { frames: again.source.append(1) })
  expect(recycledBytes(running.disk)).toHaveLength(2)
  await assertWhole(again)
})

test('after a kill the log ends where its rounds end', async () => {
  const running = await recycled()
  await written(running.log, { frames: running.source.append(1) })
  const again = await reopen({ ...running, disk: running.disk.kill() })
  await assertWhole(again)
  await written(again.log, { frames: again.source.append(1) })
  expect(recycledBytes(again.disk)).toHaveLength(3)
  await again.store.close()
  await assertWhole(await reopen(again))
})

test('damage before a later round is found in a file that lies over an older one too', async () => {
  const running = await recycled()
  const { log, source, disk } = running
  for (let round = 0; round < 3; round++)
    await written(log, { frames: source.append(1, { payload: new Uint8Array(2_000) }) })
  const killed = disk.kill()
  const newest = killed
    .files(`${STORE_DIR}/groups/`)
    .filter(name => name.endsWith('.log'))
    .sort()
    .at(-1)!
  const bytes = killed.contentOf(newest).slice()
  bytes[4_000]! ^= 1
  killed.replace(newest, bytes)
  const again = await reopen({ ...running, disk: killed })
  expect(again.log.holes).toHaveLength(1)
})

test('a start deletes what the last process kept', async () => {
  const running = await openNew()
  await fill(running)
  await fill(running)
  await trimTo(running, running.log.base.index + 2)
  await sweep(running)
  expect(running.disk.files(SPARE)).toHaveLength(1)
  await running.store.close()
  await reopen(running)
  expect(running.disk.files(SPARE)).toEqual([])
})

test('no more is kept than the limit says, and nothing at all with a limit of 0', async () => {
  for (const spareSegmentsMax of [0, 2]) {
    const running = await openNew({ spareSegmentsMax })
    for (let segment = 0; segment < 5; segment++) await fill(running)
    await trimTo(running, running.log.base.index + 8)
    await sweep(running)
    expect(running.disk.files(SPARE)).toHaveLength(spareSegmentsMax)
    expect(running.disk.files(`${STORE_DIR}/trash`)).toEqual([])
    await running.store.close()
  }
})

test('a full disk gets back what is kept, and nothing is kept on it', async () => {
  const running = await openNew({ diskReserveBytes: 1 })
  const { disk, clock, store, log } = running
  for (let segment = 0; segment < 3; segment++) await fill(running)
  await trimTo(running, log.base.index + 2)
  await sweep(running)
  expect(disk.files(SPARE)).toHaveLength(1)
  disk.faults.failing = operation => (operation === 'freeBytes' ? 'ENOSPC' : undefined)
  clock.advance(1_000)
  await new Promise<void>(resolve => setImmediate(resolve))
  expect(store.acceptsAppends).toBe(false)
  expect(disk.files(SPARE)).toEqual([])
  await trimTo(running, log.base.index + 2)
  await sweep(running)
  expect(disk.files(SPARE)).toEqual([])
  expect(disk.files(`${STORE_DIR}/trash`)).toEqual([])
})

test('short files, long ones and copies by hard links are left alone', async () => {
  const disk = new FaultDisk(seededRandom(1))
  const limits = { segmentBytesMax: 10_000, roundBytesMax: 5_000, spareSegmentsMax: 9 }
  let hasSpace = true
  await disk.makeFolder(STORE_DIR)
  const spares = new SpareSegments(disk, STORE_DIR, limits, () => hasSpace)
  await spares.open()
  for (const [name, bytes] of [
    ['short', 4_999],
    ['long', 15_001],
    ['right', 10_500],
    ['also', 5_000],
  ] as const)
    disk.replace(`${STORE_DIR}/${name}`, new Uint8Array(bytes))
  disk.link(`${STORE_DIR}/also`, `${STORE_DIR}/copy`)
  expect(await spares.offer(`${STORE_DIR}/short`)).toBe(false)
  expect(await spares.offer(`${STORE_DIR}/long`)).toBe(false)
  expect(await spares.offer(`${STORE_DIR}/also`)).toBe(false)
  hasSpace = false
  expect(await spares.offer(`${STORE_DIR}/right`)).toBe(false)
  hasSpace = true
  expect(await spares.offer(`${STORE_DIR}/right`)).toBe(true)
  expect(await spares.take(`${STORE_DIR}/taken`)).toBe(10_500)
  expect(await spares.take(`${STORE_DIR}/taken`)).toBe(0)
})
