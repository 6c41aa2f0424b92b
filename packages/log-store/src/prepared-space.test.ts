/** Zeroes behind a round: rounds lie over them, they cost nobody anything, and no reader takes them for a log. */
import { expect, test } from 'vitest'
import type { GroupLog, LogStore } from './log-store.ts'
import { zeroesBehind } from './prepared-space.ts'
import type { SegmentedLogStoreOptions } from './segmented-log-store.ts'
import { FaultDisk, openOn, readAll, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const SEGMENT_BYTES_MAX = 1 << 20
const SECTOR_BYTES = 512

interface Opened {
  readonly disk: FaultDisk
  readonly store: LogStore
  readonly log: GroupLog
  readonly source: TestLog
  readonly problems: Error[]
}

async function openNew(over: Partial<SegmentedLogStoreOptions> = {}): Promise<Opened> {
  const disk = new FaultDisk(seededRandom(1))
  const problems: Error[] = []
  const onProblem = (error: Error): void => void problems.push(error)
  const store = await openOn(disk, { segmentBytesMax: SEGMENT_BYTES_MAX, onProblem, ...over })
  const log = await store.create(1, { replicaId: 9, base: testBase() })
  return { disk, store, log, source: new TestLog(1, log.base), problems }
}

function segment(disk: FaultDisk): { readonly path: string; readonly size: number } {
  const path = disk.files().find(name => name.endsWith('.log'))!
  return { path, size: disk.contentOf(path).length }
}

/** Bytes at the end of the only segment that are zero. */
function zeroTail(disk: FaultDisk): number {
  const bytes = disk.contentOf(segment(disk).path)
  return bytes.length - 1 - bytes.findLastIndex(byte => byte !== 0)
}

test('a round prepares whole sectors, no more than the segment holds, nothing past its limit, and a large one none', () => {
  const behind = (start: number, end: number, segmentBytesMax = SEGMENT_BYTES_MAX): number =>
    zeroesBehind({ start, end, segmentBytesMax, recycledBytes: 0, preparedEnd: 0 }).length
  expect(behind(1_024, 1_536)).toBe(1_024)
  expect(behind(500_000, 500_512)).toBe(65_536)
  expect(behind(500_000, 500_000 + 20_480)).toBe(65_536)
  expect(behind(500_000, 500_000 + 20_992)).toBe(0)
  expect(behind(4_096, 4_608, 5_200)).toBe(SECTOR_BYTES)
  expect(behind(4_096, 4_608, 4_608)).toBe(0)
  expect(behind(4_096, 6_144, 5_000)).toBe(0)
  const extent = { start: 500_000, end: 500_512, segmentBytesMax: SEGMENT_BYTES_MAX, recycledBytes: 0 }
  expect(zeroesBehind({ ...extent, preparedEnd: 500_000 }).every(b => b === 0)).toBe(true)
  expect(zeroesBehind({ ...extent, preparedEnd: 500_512 }).length).toBe(0)
})

test('most small rounds do not make the file grow, and it is never prepared beyond twice its size', async () => {
  const { disk, log, source } = await openNew()
  const sizes = new Set<number>()
  let bytes = 0
  for (let round = 0; round < 200; round++) {
    const before = log.end
    await written(log, { frames: source.append(1) })
    bytes += 512
    expect(log.end.index).toBe(before.index + 1)
    const { size } = segment(disk)
    sizes.add(size)
    expect(size).toBeLessThanOrEqual(2 * (SECTOR_BYTES + bytes) + SECTOR_BYTES)
  }
  expect(sizes.size).toBeLessThan(12)
  expect((await readAll(log)).length).toBe(200)
})

test('a log that ends in zeroes is written on after a clean stop, in the same file and over them', async () => {
  const { disk, store, log, source } = await openNew()
  for (let round = 0; round < 20; round++) await written(log, { frames: source.append(1) })
  await store.close()
  const { path, size } = segment(disk)
  expect(zeroTail(disk)).toBeGreaterThan(SECTOR_BYTES * 2)
  const again = await openOn(disk, { segmentBytesMax: SEGMENT_BYTES_MAX })
  await written(again.groups()[0]!, { frames: source.append(1) })
  expect(segment(disk)).toEqual({ path, size })
  const third = await openOn(disk.losePower(), { segmentBytesMax: SEGMENT_BYTES_MAX })
  expect((await readAll(third.groups()[0]!)).length).toBe(21)
})

test('whatever a crash leaves of the zeroes, every round is there and the file is not written again', async () => {
  for (const leave of ['garbage', 'half', 'nothing'] as const) {
    const { disk, log, source } = await openNew()
    for (let round = 0; round < 20; round++) await written(log, { frames: source.append(1) })
    const { path } = segment(disk)
    const bytes = Uint8Array.from(disk.contentOf(path))
    const tail = zeroTail(disk)
    expect(tail).toBeGreaterThan(SECTOR_BYTES * 2)
    const from = bytes.length - Math.floor(tail / SECTOR_BYTES) * SECTOR_BYTES
    if (leave === 'garbage') for (let at = from; at < bytes.length; at++) bytes[at] = 1 + (at % 255)
    const left = leave === 'half' ? bytes.slice(0, from + 700) : leave === 'nothing' ? bytes.slice(0, from) : bytes
    const after = disk.clone()
    after.replace(path, left)
    const again = await openOn(after, { segmentBytesMax: SEGMENT_BYTES_MAX })
    expect(again.refused(), leave).toEqual([])
    expect((await readAll(again.groups()[0]!)).length, leave).toBe(20)
    await written(again.groups()[0]!, { frames: new TestLog(1, again.groups()[0]!.end).append(1) })
    expect(after.contentOf(path), leave).toEqual(left)
  }
})

test('a copy of an older round of the same place in another segment is no round here', async () => {
  const { disk, store, log, source } = await openNew()
  for (let round = 0; round < 20; round++) await written(log, { frames: source.append(1) })
  await store.close()
  const { path } = segment(disk)
  const before = Uint8Array.from(disk.contentOf(path))
  const other = await openNew({ random: bytes => void bytes.fill(99) })
  for (let round = 0; round < 40; round++) await written(other.log, { frames: other.source.append(1) })
  const foreign = other.disk.contentOf(segment(other.disk).path)
  const end = before.length - Math.floor(zeroTail(disk) / SECTOR_BYTES) * SECTOR_BYTES
  before.set(foreign.subarray(end, before.length), end)
  disk.replace(path, before)
  const again = await openOn(disk, { segmentBytesMax: SEGMENT_BYTES_MAX })
  expect(again.refused()).toEqual([])
  expect((await readAll(again.groups()[0]!)).length).toBe(20)
})

test('where there is space for the round alone it is written alone, and nobody waits', async () => {
  const { disk, log, source, problems } = await openNew()
  await written(log, { frames: source.append(1) })
  let refused = 0
  disk.faults.failing = (operation, path) =>
    operation === 'writev' && path.endsWith('.log') && refused++ === 0 ? 'ENOSPC' : undefined
  await written(log, { frames: source.append(1) })
  expect(refused).toBe(2)
  expect(problems).toEqual([])
  expect((await readAll(log)).length).toBe(2)
})

test('below the reserve nothing is prepared', async () => {
  const { disk, log, source } = await openNew({ diskReserveBytes: 2 ** 50 })
  for (let round = 0; round < 10; round++) await written(log, { frames: source.append(1) })
  expect(zeroTail(disk)).toBeLessThan(SECTOR_BYTES)
})
