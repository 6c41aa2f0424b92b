/** Recovery that reads the log from the mark on finds what a scan of everything finds, and reads far less. */
import { FrameKind } from '@millrace/record'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Disk, DiskFile } from './disk.ts'
import type { GroupLog, LogStore } from './log-store.ts'
import { FaultDisk, ManualClock, openOn, readAll, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const GROUP = 3
const EVERYTHING = 1 << 30
const ROUNDS = 280
/** Two segments of some 144 rounds of 17 KB: an index is saved every 64 entries. */
const OPTIONS = { segmentBytesMax: 2_500_000 }

let killed: FaultDisk
/** Both copies of the mark, as they were when the newest segment was young. */
let earlyMark: ReadonlyMap<string, Uint8Array>
let frames: readonly string[]

/** Terms change and configurations come inside of every segment; the last five rounds are above the mark. */
beforeAll(async () => {
  const disk = new FaultDisk(seededRandom(4))
  const clock = new ManualClock()
  const store = await openOn(disk, { ...OPTIONS, clock })
  const log = await store.create(GROUP, { replicaId: 9, base: testBase() })
  const source = new TestLog(GROUP, log.base)
  for (let round = 0; round < ROUNDS; round++) {
    const term = 1 + Math.floor(round / 25)
    const made = source.append(2, { term, payload: new Uint8Array(8_000).fill(round) })
    if (round % 30 === 7) made.push(source.next({ kind: FrameKind.configuration }))
    await written(log, { frames: made, commit: Math.max(1, source.position.index - 500), ballot: { term, vote: 1 } })
    if (round !== 170 && round !== ROUNDS - 6) continue
    const before = marks(disk)
    clock.advance(1_000)
    while (isSameMark(marks(disk), before)) await new Promise<void>(resolve => setImmediate(resolve))
    if (round === 170) earlyMark = marks(disk)
  }
  frames = (await readAll(log)).map(hex)
  killed = disk.kill()
})

function marks(disk: FaultDisk): ReadonlyMap<string, Uint8Array> {
  return new Map(['log/mark-a', 'log/mark-b'].map(path => [path, disk.contentOf(path)]))
}

function isSameMark(a: ReadonlyMap<string, Uint8Array>, b: ReadonlyMap<string, Uint8Array>): boolean {
  return [...a].every(([path, bytes]) => Buffer.compare(bytes, b.get(path)!) === 0)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function open(disk: FaultDisk, recoveryScanBytesMin: number): Promise<LogStore> {
  return openOn(disk, { ...OPTIONS, recoveryScanBytesMin })
}

function only(store: LogStore): GroupLog {
  expect(store.refused()).toEqual([])
  return store.groups()[0]!
}

function files(disk: FaultDisk, suffix: string): readonly string[] {
  return disk
    .files()
    .filter(path => path.startsWith(`log/groups/${GROUP}/`) && path.endsWith(suffix))
    .toSorted()
}

/** Counts the bytes that are read from segments. */
function counting(disk: FaultDisk): { disk: Disk; read: () => number } {
  let read = 0
  const count = (file: DiskFile): DiskFile => ({
    ...file,
    read: async (into, position) => {
      read += into.length
      return file.read(into, position)
    },
  })
  const open: Disk['open'] = async (path, mode) => {
    const file = await disk.open(path, mode)
    return path.endsWith('.log') ? count(file) : file
  }
  const all: Disk = {
    open,
    list: path => disk.list(path),
    makeFolder: path => disk.makeFolder(path),
    rename: (from, to) => disk.rename(from, to),
    removeFile: path => disk.removeFile(path),
    removeFolder: path => disk.removeFolder(path),
    syncFolder: path => disk.syncFolder(path),
    freeBytes: () => disk.freeBytes(),
  }
  return { disk: all, read: () => read }
}

async function expectWhole(log: GroupLog): Promise<void> {
  const read = (await readAll(log)).map(hex)
  expect(read.length).toBe(frames.length)
  expect(read.findIndex((frame, at) => frame !== frames[at])).toBe(-1)
}

test('both ways find the same, and the log goes on the same', async () => {
  const whole = killed.clone()
  const resumed = killed.clone()
  const a = only(await open(whole, EVERYTHING))
  const b = only(await open(resumed, 0))
  expect(b.recovered).toEqual(a.recovered)
  expect(b.recovered.terms.length).toBe(12)
  expect(b.recovered.configurations.length).toBeGreaterThan(1)
  for (const log of [a, b]) {
    await expectWhole(log)
    await written(log, { frames: new TestLog(GROUP, log.end).append(1) })
  }
  expect(files(resumed, '.log')).toEqual(files(whole, '.log'))
  const again = only(await open(resumed.losePower(), 0))
  expect(again.end).toEqual(a.end)
  expect((await readAll(again)).length).toBe(frames.length + 1)
})

test('it reads the log from the mark on, not every frame', async () => {
  const bytes: number[] = []
  for (const least of [EVERYTHING, 0]) {
    const { disk, read } = counting(killed.clone())
    const store = await openOn(killed.clone(), { ...OPTIONS, disk, recoveryScanBytesMin: least })
    bytes.push(read())
    expect(store.refused()).toEqual([])
  }
  expect(bytes[0]).toBeGreaterThan(4_000_000)
  expect(bytes[1]).toBeLessThan(700_000)
})

test.each([0, 1])('damage below the mark in segment %i is found when it is read, and never served', async at => {
  const disk = killed.clone()
  const path = files(disk, '.log')[at]!
  const bytes = Uint8Array.from(disk.contentOf(path))
  bytes[20_000]! ^= 1
  disk.replace(path, bytes)
  const log = only(await open(disk, 0))
  expect(log.end.index).toBe(frames.length + 1)
  const read: string[] = []
  const readTo = async (): Promise<void> => {
    for (let next = 2; next <= log.end.index; next++) read.push(hex((await log.read(next, next + 1, 1))[0]!.bytes))
  }
  await expect(readTo()).rejects.toMatchObject({ code: 'DAMAGED' })
  expect(read).toEqual(frames.slice(0, read.length))
  expect(read.length).toBeLessThan(frames.length - 10)
})

test('damage above the mark is found at the start', async () => {
  const disk = killed.clone()
  const path = files(disk, '.log').at(-1)!
  const bytes = Uint8Array.from(disk.contentOf(path))
  // From the end of the last round, which prepared space follows.
  bytes[bytes.findLastIndex(byte => byte !== 0) - 60_000]! ^= 1
  disk.replace(path, bytes)
  const found = only(await open(disk, 0)).holes
  expect(found).toHaveLength(1)
  expect(found).toEqual(only(await open(disk, EVERYTHING)).holes)
})

test('damage above an early mark is found, although the index file leads to rounds after it', async () => {
  const disk = killed.clone()
  for (const [path, bytes] of earlyMark) disk.replace(path, bytes)
  expect(only(await open(disk.clone(), 0)).recovered).toEqual(only(await open(disk.clone(), EVERYTHING)).recovered)
  const path = files(disk, '.log').at(-1)!
  const bytes = Uint8Array.from(disk.contentOf(path))
  // Some 30 rounds after the mark, 60 before the last index entry.
  bytes[1_000_000]! ^= 1
  disk.replace(path, bytes)
  const found = only(await open(disk, 0)).holes
  expect(found).toHaveLength(1)
  expect(found).toEqual(only(await open(disk, EVERYTHING)).holes)
})

/** An index file without the entries for which `leavesOut` holds. */
function without(bytes: Uint8Array, leavesOut: (entry: { term: number; isLast: boolean }) => boolean): Uint8Array {
  const kept = [bytes.subarray(0, 64)]
  for (let at = 64; at + 64 <= bytes.length; at += 64) {
    const term = Buffer.from(bytes).readUInt32LE(at + 24)
    if (!leavesOut({ term, isLast: at + 128 > bytes.length })) kept.push(bytes.subarray(at, at + 64))
  }
  return Uint8Array.from(Buffer.concat(kept))
}

describe('an index file is not believed', () => {
  const damages: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array | null>> = {
    missing: () => null,
    empty: () => new Uint8Array(0),
    'only a header': bytes => bytes.slice(0, 64),
    'cut in an entry': bytes => bytes.slice(0, Math.floor(bytes.length / 2) + 13),
    'a flipped bit in its middle': bytes => {
      bytes[Math.floor(bytes.length / 2)]! ^= 1
      return bytes
    },
    'an entry left out': bytes => Uint8Array.of(...bytes.subarray(0, 64 * 9), ...bytes.subarray(64 * 10)),
    'the entries of a term left out': bytes => without(bytes, ({ term }) => term === 3 || term === 9),
    'the entries of the last terms left out, but the last entry': bytes =>
      without(bytes, ({ term, isLast }) => (term === 6 || term > 9) && !isLast),
    'entries in another order': bytes => {
      const moved = bytes.slice()
      moved.set(bytes.subarray(64 * 4, 64 * 5), 64 * 8)
      return moved
    },
  }
  test.each(Object.keys(damages))('%s', async name => {
    const disk = killed.clone()
    for (const path of files(disk, '.index')) disk.replace(path, damages[name]!(Uint8Array.from(disk.contentOf(path))))
    const log = only(await open(disk, 0))
    expect(log.recovered).toEqual(only(await open(killed.clone(), EVERYTHING)).recovered)
    await expectWhole(log)
  })

  test('that of another segment', async () => {
    const disk = killed.clone()
    const [first, ...others] = files(disk, '.index')
    for (const path of others) disk.replace(path, disk.contentOf(first!))
    await expectWhole(only(await open(disk, 0)))
  })
})

test('after a stop in order the file is written on', async () => {
  const disk = killed.clone()
  const first = await open(disk, 0)
  await written(only(first), {
    frames: new TestLog(GROUP, only(first).end).append(4, { payload: new Uint8Array(9_000) }),
  })
  await first.close()
  const before = files(disk, '.log')
  const again = await open(disk, 0)
  const log = only(again)
  await written(log, { frames: new TestLog(GROUP, log.end).append(4, { payload: new Uint8Array(9_000) }) })
  expect(files(disk, '.log')).toEqual(before)
  await again.close()
  expect((await readAll(only(await open(disk, EVERYTHING)))).length).toBe(frames.length + 8)
})
