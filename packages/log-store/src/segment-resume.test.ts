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
    if (round === ROUNDS - 6) {
      clock.advance(1_000)
      await new Promise<void>(resolve => setTimeout(resolve, 5))
    }
  }
  frames = (await readAll(log)).map(hex)
  killed = disk.kill()
})

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
  expect((await readAll(log)).map(hex)).toEqual(frames)
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

test('damage above the mark is still refused at the start', async () => {
  const disk = killed.clone()
  const path = files(disk, '.log').at(-1)!
  const bytes = Uint8Array.from(disk.contentOf(path))
  bytes[bytes.length - 60_000]! ^= 1
  disk.replace(path, bytes)
  const store = await open(disk, 0)
  expect(store.refused()).toMatchObject([{ group: GROUP, reason: { code: 'DAMAGED' } }])
})

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
