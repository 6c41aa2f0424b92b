/** Damage of every kind, file by file: what recovery finds, refuses by name, and never returns. */
import { beforeAll, describe, expect, test } from 'vitest'
import type { GroupLog, LogStore } from './log-store.ts'
import { readMark } from './mark-file.ts'
import { decodeRoundRecord, encodeRoundRecord, ROUND_RECORD_BYTES } from './round-record.ts'
import { FaultDisk, openOn, seededRandom, TestLog, testBase, written } from './testing/index.ts'
import { allOf, FOLDER, GROUP, hex, lastRoundLength, makeSample, type Sample } from './testing/sample-log.ts'

let sample: Sample
beforeAll(async () => {
  sample = await makeSample()
})

function newestSegment(disk: FaultDisk): string {
  return disk
    .files()
    .filter(path => path.startsWith(FOLDER) && path.endsWith('.log'))
    .toSorted()
    .at(-1)!
}

function only(store: LogStore): GroupLog {
  expect(store.refused()).toEqual([])
  return store.groups()[0]!
}

/** After whatever happened the log must go on, and survive the next power loss. */
async function expectGoesOn(disk: FaultDisk, log: GroupLog): Promise<void> {
  const before = await allOf(log)
  const [frame] = new TestLog(GROUP, log.end).append(1)
  await written(log, { frames: [frame!] })
  const again = only(await openOn(disk.losePower()))
  expect(await allOf(again)).toEqual([...before, hex(frame!.bytes)])
}

test('the sample spans segments, and its last round is in the middle of one', () => {
  const segments = sample.clean.files().filter(path => path.endsWith('.log'))
  expect(segments.length).toBeGreaterThan(1)
})

test('a last round that is cut at any length is dropped whole', async () => {
  const path = newestSegment(sample.killed)
  const whole = sample.killed.contentOf(path)
  const start = whole.length - lastRoundLength(whole)
  for (let length = start; length < whole.length; length++) {
    const disk = sample.killed.clone()
    disk.replace(path, whole.slice(0, length))
    const log = only(await openOn(disk))
    expect(await allOf(log)).toEqual(sample.frames.slice(0, sample.lastRoundStart))
    expect(log.recovered.uncertainUntil).toBe(undefined)
    if (length % 64 === 0) await expectGoesOn(disk, log)
  }
})

test('a last round with any sector missing is dropped whole', async () => {
  const path = newestSegment(sample.killed)
  const whole = sample.killed.contentOf(path)
  const start = whole.length - lastRoundLength(whole)
  for (let sector = start; sector < whole.length; sector += 512) {
    for (const filler of [0, 0xa5]) {
      const disk = sample.killed.clone()
      disk.replace(path, Uint8Array.from(whole).fill(filler, sector, sector + 512))
      const log = only(await openOn(disk))
      expect(await allOf(log)).toEqual(sample.frames.slice(0, sample.lastRoundStart))
      await expectGoesOn(disk, log)
    }
  }
})

test('a log that ends below the mark has an uncertain end, until the host says otherwise', async () => {
  const disk = sample.clean.clone()
  const path = newestSegment(disk)
  disk.replace(path, disk.contentOf(path).slice(0, -512))
  const { entries } = (await readMark(disk, 'log'))!
  const mark = entries.get(GROUP)!
  const log = only(await openOn(disk))
  expect(await allOf(log)).toEqual(sample.frames.slice(0, sample.lastRoundStart))
  expect(log.recovered.uncertainUntil).toEqual({ index: mark.lastIndex, term: mark.lastTerm })
  // It survives a restart before and after something else is written.
  const again = only(await openOn(disk.losePower().clone()))
  expect(again.recovered.uncertainUntil).toEqual({ index: mark.lastIndex, term: mark.lastTerm })
  const next = disk.clone()
  const writing = only(await openOn(next))
  await written(writing, { frames: new TestLog(GROUP, writing.end).append(1) })
  const later = next.losePower()
  const uncertain = only(await openOn(later))
  expect(uncertain.recovered.uncertainUntil).toEqual({ index: mark.lastIndex, term: mark.lastTerm })
  await written(uncertain, { clearsUncertain: true })
  expect(only(await openOn(later.losePower())).recovered.uncertainUntil).toBe(undefined)
})

describe('garbage after the end', () => {
  const garbage: Readonly<Record<string, (whole: Uint8Array) => Uint8Array>> = {
    random: () => Uint8Array.from({ length: 1_500 }, (_, at) => (at * 7_919) & 0xff),
    'an old round of the same file': whole => whole.slice(512, 2_048),
    'a record of another segment that names this position': whole => {
      const at = whole.length - lastRoundLength(whole)
      const record = decodeRoundRecord(whole.subarray(at))
      if (typeof record === 'string') throw new Error(record)
      const forged = new Uint8Array(1_024)
      forged.set(
        encodeRoundRecord({ ...record, salt: new Uint8Array(8).fill(0xee), position: whole.length + 512 }),
        512,
      )
      return forged
    },
    'a single byte': () => Uint8Array.of(1),
  }
  test.each(Object.keys(garbage))('%s is no part of the log and no corruption', async name => {
    for (const from of [sample.clean, sample.killed]) {
      const disk = from.clone()
      const path = newestSegment(disk)
      const whole = disk.contentOf(path)
      const extra = garbage[name]!(whole)
      disk.replace(path, Uint8Array.of(...whole, ...extra))
      const log = only(await openOn(disk))
      expect(await allOf(log)).toEqual(sample.frames)
      expect(log.recovered.uncertainUntil).toBe(undefined)
      await expectGoesOn(disk, log)
    }
  })
})

test('client bytes that look like a round are not taken for one', async () => {
  const disk = new FaultDisk(seededRandom(2))
  const store = await openOn(disk, { segmentBytesMax: 1 << 20 })
  const log = await store.create(GROUP, { replicaId: 9, base: testBase() })
  const source = new TestLog(GROUP, log.base)
  await written(log, { frames: source.append(1) })
  const path = newestSegment(disk)
  const stolen = disk.contentOf(path).slice(512, 1_024)
  await written(log, {
    frames: source.append(1, { payload: Uint8Array.of(...new Uint8Array(216), ...stolen, ...stolen) }),
  })
  const frames = (await allOf(log)).slice(0, 1)
  // The end of the last round is lost: what is left of it holds records of ours, at other positions.
  const bytes = disk.contentOf(path)
  const lastSector = Math.floor(bytes.findLastIndex(byte => byte !== 0) / 512) * 512
  disk.replace(path, bytes.slice(0, lastSector))
  const again = only(await openOn(disk.clone()))
  expect(await allOf(again)).toEqual(frames)
})

test.each([
  ['whole segments are scanned', 1 << 20],
  ['what is known to be durable is not', 0],
])('every flipped bit is detected: nothing wrong is returned, nothing is lost in silence; %s', async (_, least) => {
  const counts = { harmless: 0, refused: 0, uncertain: 0, damagedRead: 0 }
  for (const path of sample.clean.files()) {
    if (path.startsWith('log/trash/')) continue
    const whole = sample.clean.contentOf(path)
    // Of the vote file the slot in use, in both copies: the rest is 8 KiB of slots that were never given away.
    const used = path === 'log/votes' ? 4_096 + 128 : whole.length
    for (let at = 0; at < used; at = path === 'log/votes' && at === 127 ? 4_096 : at + 1) {
      const bytes = Uint8Array.from(whole)
      bytes[at]! ^= 1 << (at % 8)
      const disk = sample.clean.clone()
      disk.replace(path, bytes)
      counts[await outcomeOf(disk, least)]++
    }
  }
  expect(counts.refused + counts.damagedRead).toBeGreaterThan(1_000)
  expect(counts.refused).toBeGreaterThan(500)
  expect(counts.uncertain).toBeGreaterThan(500)
  expect(counts.harmless).toBeGreaterThan(1_000)
})

async function outcomeOf(
  disk: FaultDisk,
  recoveryScanBytesMin: number,
): Promise<'harmless' | 'refused' | 'uncertain' | 'damagedRead'> {
  const store = await openOn(disk, { recoveryScanBytesMin })
  const [log] = store.groups()
  if (log === undefined) {
    expect(store.refused().map(({ group, reason }) => [group, reason.code])).toEqual([[GROUP, 'DAMAGED']])
    return 'refused'
  }
  let read: readonly string[]
  try {
    read = await allOf(log)
  } catch (error) {
    expect(error).toMatchObject({ code: 'DAMAGED' })
    return 'damagedRead'
  }
  expect(read).toEqual(sample.frames.slice(0, read.length))
  expect(log.recovered.ballot.vote).toBe(1)
  if (read.length === sample.frames.length) return 'harmless'
  expect(read.length).toBe(sample.lastRoundStart)
  expect(log.recovered.uncertainUntil?.index).toBe(sample.frames.length + 1)
  return 'uncertain'
}

describe('lost and mixed up files are refused by name', () => {
  const segments = (disk: FaultDisk): string[] =>
    disk
      .files()
      .filter(path => path.endsWith('.log'))
      .toSorted()
  const cases: Readonly<Record<string, readonly [(disk: FaultDisk) => void, string, RegExp]>> = {
    'the first segment is missing': [disk => disk.replace(segments(disk)[0]!, null), 'DAMAGED', /missing/],
    'two segments are swapped': [
      disk => {
        const [a, b] = segments(disk) as [string, string]
        const first = disk.contentOf(a)
        disk.replace(a, disk.contentOf(b))
        disk.replace(b, first)
      },
      'DAMAGED',
      /header is that of/,
    ],
    'the base record is missing': [
      disk => disk.replace(`${FOLDER}/base`, null),
      'REPLICA_LOST',
      /log of replica 9 .* is gone/,
    ],
    'the vote file is missing': [disk => disk.replace('log/votes', null), 'REPLICA_LOST', /vote/],
    'both copies of the vote are damaged': [
      disk => {
        const votes = Uint8Array.from(disk.contentOf('log/votes'))
        votes[33]! ^= 1
        votes[4_096 + 33]! ^= 1
        disk.replace('log/votes', votes)
      },
      'REPLICA_LOST',
      /vote/,
    ],
    'the only rounds of the newest segment are damaged': [
      disk => {
        const path = newestSegment(disk)
        disk.replace(path, Uint8Array.from(disk.contentOf(path)).fill(0xa5, 600))
      },
      'DAMAGED',
      /byte 512/,
    ],
  }
  test.each(Object.keys(cases))('%s', async name => {
    const [damage, code, message] = cases[name]!
    const disk = sample.clean.clone()
    damage(disk)
    const store = await openOn(disk)
    expect(store.groups()).toEqual([])
    const [refused] = store.refused()
    expect(refused).toMatchObject({ group: GROUP, reason: { code } })
    expect(refused!.reason.message).toMatch(message)
    await expect(store.create(GROUP, { replicaId: 9, base: testBase() })).rejects.toMatchObject({ code })
    // Refused again the next time: nothing was cut, deleted or made anew.
    await store.close()
    expect((await openOn(disk)).refused()).toMatchObject([{ group: GROUP, reason: { code } }])
  })
})

test('an old copy of the vote file is refused', async () => {
  const disk = new FaultDisk(seededRandom(3))
  const store = await openOn(disk)
  const log = await store.create(GROUP, { replicaId: 9, base: testBase() })
  const old = disk.contentOf('log/votes')
  await written(log, { frames: new TestLog(GROUP, log.base).append(1), ballot: { term: 5, vote: 1 } })
  const later = disk.clone()
  later.replace('log/votes', old)
  expect((await openOn(later)).refused()).toMatchObject([{ group: GROUP, reason: { code: 'REPLICA_LOST' } }])
})

test('a lost folder is never made again under the same replica id; another id may follow', async () => {
  const disk = sample.clean.clone()
  for (const path of disk.files()) if (path.startsWith(FOLDER)) disk.replace(path, null)
  const store = await openOn(disk)
  expect(store.refused()).toMatchObject([{ group: GROUP, reason: { code: 'REPLICA_LOST' } }])
  await store.drop(GROUP)
  expect(store.refused()).toEqual([])
  await expect(store.create(GROUP, { replicaId: 9, base: testBase() })).rejects.toMatchObject({ code: 'REPLICA_LOST' })
  const log = await store.create(GROUP, { replicaId: 10, base: testBase() })
  expect(log.end.index).toBe(1)
})

test('one damaged group does not keep others from running', async () => {
  const disk = sample.clean.clone()
  const first = await openOn(disk)
  const other = await first.create(44, { replicaId: 1, base: testBase() })
  await written(other, { frames: new TestLog(44, other.base).append(2) })
  await first.close()
  disk.replace(`${FOLDER}/base`, new Uint8Array(10))
  const store = await openOn(disk)
  expect(store.groups().map(log => log.group)).toEqual([44])
  expect(store.refused()).toMatchObject([{ group: GROUP, reason: { code: 'DAMAGED' } }])
})

test('damage below the base is skipped: verification starts at the base', async () => {
  const disk = new FaultDisk(seededRandom(5))
  const store = await openOn(disk, { segmentBytesMax: 1 << 20 })
  const log = await store.create(GROUP, { replicaId: 9, base: testBase() })
  const source = new TestLog(GROUP, log.base)
  await written(log, { frames: source.append(2) })
  await written(log, { frames: source.append(1) })
  await written(log, { frames: source.append(2) })
  const at = (await log.read(4, 5, 1))[0]!
  await log.trimPrefix({
    ...testBase(),
    index: 4,
    chain: at.header.chain,
    timestamp: at.header.timestamp,
    nextOffset: 3,
  })
  const frames = await allOf(log)
  await store.close()
  const path = newestSegment(disk)
  const bytes = Uint8Array.from(disk.contentOf(path))
  bytes[512 + ROUND_RECORD_BYTES + 20]! ^= 1
  disk.replace(path, bytes)
  const again = only(await openOn(disk))
  expect(again.end.index).toBe(6)
  expect(await allOf(again)).toEqual(frames)
})

test('a valid frame of another history in a sealed segment is never returned', async () => {
  const disk = new FaultDisk(seededRandom(6))
  const store = await openOn(disk)
  const log = await store.create(GROUP, { replicaId: 9, base: testBase() })
  const source = new TestLog(GROUP, log.base)
  const payload = new Uint8Array(900)
  for (let round = 0; round < 5; round++) await written(log, { frames: source.append(1, { payload }) })
  const [mine] = await log.read(3, 4, 1)
  const [other] = new TestLog(GROUP, { ...testBase(), index: 2, chain: 5, timestamp: 1_010, nextOffset: 1 }).append(1, {
    payload: payload.fill(1),
  })
  await store.close()
  const path = disk.files().find(name => name.endsWith('.log'))!
  const bytes = Buffer.from(disk.contentOf(path))
  bytes.set(other!.bytes, bytes.indexOf(mine!.bytes))
  disk.replace(path, Uint8Array.from(bytes))
  const again = only(await openOn(disk))
  expect((await again.read(2, 3, 1))[0]?.header.index).toBe(2)
  await expect(again.read(3, 4, 1)).rejects.toMatchObject({ code: 'DAMAGED' })
})

test('an index that is missing, cut, wrong or of another segment changes nothing but time', async () => {
  const indexes = sample.clean.files().filter(path => path.endsWith('.index'))
  expect(indexes.length).toBeGreaterThan(1)
  const damages: ((disk: FaultDisk, path: string) => void)[] = [
    (disk, path) => disk.replace(path, null),
    (disk, path) => disk.replace(path, disk.contentOf(path).slice(0, 100)),
    (disk, path) => disk.replace(path, disk.contentOf(indexes.find(other => other !== path)!)),
    (disk, path) => disk.replace(path, new Uint8Array(500).fill(7)),
  ]
  for (const damage of damages) {
    const disk = sample.clean.clone()
    for (const path of indexes) damage(disk, path)
    const log = only(await openOn(disk, { tailCacheBytesMax: 0 }))
    expect(await allOf(log)).toEqual(sample.frames)
    expect(await log.indexOfOffset(3)).toBe(5)
  }
})
