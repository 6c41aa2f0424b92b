/** Damage inside segment files, byte by byte: the hole is the exact range, nothing else is lost, and a patch mends it. */
import { decodeFrame, type Frame, FrameKind } from '@millrace/record'
import { beforeAll, describe, expect, test } from 'vitest'
import { type GroupLog, LogDamaged, type LogStore } from './log-store.ts'
import { decodeRoundRecord, encodeRoundRecord, lastIndexOf, ROUND_RECORD_BYTES, roundEnd } from './round-record.ts'
import { decodeSegmentHeader, parseSegmentFileName } from './segment-header.ts'
import { FaultDisk, openOn, seededRandom, TestLog, testBase, written } from './testing/index.ts'
import { allOf, FOLDER, GROUP, hex, makeSample, type Sample } from './testing/sample-log.ts'

let sample: Sample
let original: readonly Frame[] = []
beforeAll(async () => {
  sample = await makeSample()
  original = sample.frames.map(text => frameOf(text))
})

function frameOf(text: string): Frame {
  const frame = decodeFrame(Uint8Array.from(Buffer.from(text, 'hex')))
  if (typeof frame === 'string') throw new Error(frame)
  return frame
}

function segmentsOf(disk: FaultDisk): string[] {
  return disk
    .files()
    .filter(path => path.startsWith(FOLDER) && path.endsWith('.log'))
    .toSorted()
}

function only(store: LogStore): GroupLog {
  expect(store.refused()).toEqual([])
  return store.groups()[0]!
}

/** What a damaged byte costs: entries [first, last], nothing, the whole replica, or the end of the log. */
type Cost = Range | 'nothing' | 'refused' | 'end'

interface Range {
  readonly first: number
  readonly last: number
  /** Frames are intact: a read that an index leads straight to one need not notice. */
  readonly isRecord?: boolean
}

/** The cost of each byte of the segment files, from what was written in them. */
function costsOf(disk: FaultDisk): Map<string, Cost[]> {
  const paths = segmentsOf(disk)
  return new Map(paths.map((path, at) => [path, costsIn(disk.contentOf(path), paths[at + 1])]))
}

function costsIn(bytes: Uint8Array, next: string | undefined): Cost[] {
  const header = decodeSegmentHeader(bytes)
  if (typeof header === 'string') throw new Error(header)
  const limit = next === undefined ? undefined : parseSegmentFileName(next.slice(FOLDER.length + 1))!.base
  const costs: Cost[] = []
  const add = (count: number, cost: Cost): void => {
    for (let at = 0; at < count; at++) costs.push(cost)
  }
  add(header.length, limit === undefined ? 'refused' : { first: header.base.index + 1, last: limit })
  while (costs.length < bytes.length) {
    const record = decodeRoundRecord(bytes.subarray(costs.length))
    if (typeof record === 'string') throw new Error(`byte ${costs.length}: ${record}`)
    const last = lastIndexOf(record)
    const end = roundEnd(record)
    const isEnd = end >= bytes.length && limit === undefined
    add(ROUND_RECORD_BYTES, isEnd ? 'end' : { first: record.firstIndex, last, isRecord: true })
    for (let index = record.firstIndex; index <= last; index++)
      add(original[index - 2]!.bytes.length, isEnd ? 'end' : { first: index, last })
    add(end - costs.length, isEnd ? 'end' : 'nothing')
  }
  return costs
}

function isRange(cost: Cost): cost is Range {
  return typeof cost !== 'string'
}

/** Reads every entry by itself. @returns the ranges that cannot be read, each told in full by every read of it */
async function readEach(log: GroupLog): Promise<(readonly [number, number])[]> {
  const ranges: (readonly [number, number])[] = []
  for (let index = log.base.index + 1; index <= log.end.index; index++) {
    try {
      const [frame] = await log.read(index, index + 1, 1)
      expect(hex(frame!.bytes)).toBe(sample.frames[index - 2])
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error
      const { before, last } = error.hole
      expect(before.index < index && index <= last.index).toBe(true)
      const known = ranges.find(([first]) => first === before.index + 1)
      if (known === undefined) ranges.push([before.index + 1, last.index])
      else expect(known[1]).toBe(last.index)
    }
  }
  return ranges
}

/** Patches all holes from the original. */
async function patchAll(log: GroupLog): Promise<void> {
  for (const { before, last } of log.holes)
    expect(await log.patch(original.slice(before.index - 1, last.index - 1))).toBe(true)
  expect(log.holes).toEqual([])
}

test('the sample has rounds of several frames, sealed segments and a padded round', () => {
  const costs = [...costsOf(sample.clean).values()]
  expect(costs.length).toBeGreaterThan(1)
  const kinds = costs.flat().map(cost => (isRange(cost) ? 'range' : cost))
  for (const kind of ['range', 'nothing', 'refused', 'end']) expect(kinds).toContain(kind)
})

describe.each([
  ['every byte of every segment, flipped, whole segments scanned', 1, 1 << 20],
  ['every third, as little as may be scanned', 3, 0],
])('%s', (_, step, recoveryScanBytesMin) => {
  test('the hole is exactly what is damaged, and a patch mends it', { timeout: 240_000 }, async () => {
    const counts = { range: 0, nothing: 0, refused: 0, end: 0 }
    for (const [path, costs] of costsOf(sample.clean)) {
      for (let at = 0; at < costs.length; at += step) {
        const cost = costs[at]!
        const disk = sample.clean.clone()
        const bytes = Uint8Array.from(disk.contentOf(path))
        bytes[at]! ^= 1 << (at % 8)
        disk.replace(path, bytes)
        await expectCost(disk, cost, { recoveryScanBytesMin }, `${path}, byte ${at}`)
        expect(Buffer.from(disk.contentOf(path)).equals(bytes), `${path} was changed`).toBe(true)
        counts[isRange(cost) ? 'range' : cost]++
      }
    }
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(100 / step)
  })
})

async function expectCost(
  disk: FaultDisk,
  cost: Cost,
  options: { recoveryScanBytesMin: number },
  where: string,
): Promise<void> {
  const store = await openOn(disk, options)
  if (cost === 'refused') {
    expect(store.refused(), where).toMatchObject([{ group: GROUP, reason: { code: 'DAMAGED' } }])
    return
  }
  const log = only(store)
  const ranges = await readEach(log)
  const expected = isRange(cost) ? [[cost.first, cost.last]] : []
  if (cost === 'end') {
    expect([log.recovered.uncertainUntil === undefined, ranges], where).toEqual([false, []])
    return
  }
  expect(log.recovered.uncertainUntil, where).toBe(undefined)
  expect(log.recovered.last.index, where).toBe(sample.frames.length + 1)
  if (!isRange(cost) || cost.isRecord !== true || ranges.length > 0) expect(ranges, where).toEqual(expected)
  expect(
    log.holes.map(({ before, last }) => [before.index + 1, last.index]),
    where,
  ).toEqual(ranges)
  if (ranges.length === 0) return
  await patchAll(log)
  expect(await allOf(log), where).toEqual(sample.frames)
  const again = only(await openOn(disk.losePower(), options))
  expect(await allOf(again), where).toEqual(sample.frames)
  expect(again.holes, where).toEqual([])
}

test('a sealed segment that is cut anywhere lacks what is behind the cut', { timeout: 120_000 }, async () => {
  for (const path of segmentsOf(sample.clean).slice(0, -1)) {
    const whole = sample.clean.contentOf(path)
    const costs = costsOf(sample.clean).get(path)!
    for (let length = 0; length < whole.length; length += 37) {
      const cost = costs.slice(length).find(each => each !== 'nothing')
      if (cost === undefined) continue
      const disk = sample.clean.clone()
      disk.replace(path, whole.slice(0, length))
      const { last } = costs.findLast(isRange)!
      const { first } = cost as Range
      await expectCost(disk, { first, last }, { recoveryScanBytesMin: 0 }, `${path} cut at ${length}`)
    }
  }
})

test('several holes, each with what is between them', async () => {
  const disk = sample.clean.clone()
  const [path] = segmentsOf(disk)
  const bytes = Uint8Array.from(disk.contentOf(path!))
  const costs = costsOf(disk).get(path!)!
  const inFrame = (index: number): number =>
    costs.findIndex(cost => isRange(cost) && cost.isRecord !== true && cost.first === index) + 300
  for (const index of [3, 5]) bytes[inFrame(index)]! ^= 1
  disk.replace(path!, bytes)
  const log = only(await openOn(disk))
  expect(await readEach(log)).toEqual([
    [3, 3],
    [5, 6],
  ])
  const [first, second] = log.holes
  expect(await log.patch(original.slice(1, 5))).toBe(false)
  expect(await log.patch(original.slice(3, 5))).toBe(true)
  expect(log.holes).toEqual([first])
  // More rots around a patch: only that is a hole.
  bytes[inFrame(4)]! ^= 1
  disk.replace(path!, bytes)
  const again = only(await openOn(disk))
  await readEach(again)
  // Next to the hole before it: each is known by its own chains.
  expect(again.holes).toEqual([first, { before: first!.last, last: second!.before }])
  await patchAll(again)
  expect(await allOf(again)).toEqual(sample.frames)
})

test('a patch that rots is a hole again, and a new one takes its name', async () => {
  const disk = sample.clean.clone()
  const [path] = segmentsOf(disk)
  const damaged = Uint8Array.from(disk.contentOf(path!))
  damaged[512 + ROUND_RECORD_BYTES + 200]! ^= 1
  disk.replace(path!, damaged)
  const store = await openOn(disk)
  const log = only(store)
  await readEach(log)
  const { holes } = log
  await patchAll(log)
  const patch = disk.files().find(name => name.endsWith('.patch'))!
  const whole = disk.contentOf(patch)
  for (let at = 0; at < whole.length; at += 61) {
    const later = disk.clone()
    const bytes = Uint8Array.from(whole)
    bytes[at]! ^= 1 << (at % 8)
    later.replace(patch, bytes)
    const again = only(await openOn(later))
    expect((await readEach(again)).length).toBe(1)
    expect(again.holes).toEqual(holes)
    expect(hex(later.contentOf(patch))).toBe(hex(bytes))
    await patchAll(again)
    expect(await allOf(again)).toEqual(sample.frames)
    expect(await allOf(only(await openOn(later.losePower())))).toEqual(sample.frames)
  }
  // While it is in use, too.
  disk.contentOf(patch)[512 + ROUND_RECORD_BYTES + 200]! ^= 1
  expect((await readEach(log)).length).toBe(1)
  expect(log.holes).toEqual(holes)
  await patchAll(log)
  expect(await allOf(log)).toEqual(sample.frames)
})

test('damage that comes while the log is in use is found by the read, to the end of the log', async () => {
  const disk = sample.clean.clone()
  const problems: Error[] = []
  const log = only(await openOn(disk, { tailCacheBytesMax: 0, onProblem: error => problems.push(error) }))
  await written(log, { frames: new TestLog(GROUP, log.end).append(0) })
  expect(await allOf(log)).toEqual(sample.frames)
  const path = segmentsOf(disk).at(-1)!
  const bytes = disk.contentOf(path)
  bytes[bytes.length - 600]! ^= 1
  const damaged = await readEach(log)
  expect(damaged.length).toBe(1)
  expect(damaged[0]![1]).toBe(log.end.index)
  expect(problems).toMatchObject([{ code: 'DAMAGED', group: GROUP, hole: log.holes[0] }])
  expect(problems[0]).toBeInstanceOf(LogDamaged)
  const more = new TestLog(GROUP, log.end).append(2)
  await written(log, { frames: more })
  const expected = [...sample.frames, ...more.map(frame => hex(frame.bytes))]
  await patchAll(log)
  expect(await allOf(log)).toEqual(expected)
  expect(await allOf(only(await openOn(disk.losePower())))).toEqual(expected)
})

test('the last record proves the hole before it although its own round was torn', async () => {
  const disk = sample.killed.clone()
  const path = segmentsOf(disk).at(-1)!
  const whole = Uint8Array.from(disk.contentOf(path))
  const costs = costsOf(sample.killed).get(path)!
  const lastRound = costs.indexOf('end')
  const { first, last } = costs.findLast(isRange)!
  whole[costs.findIndex(cost => isRange(cost) && cost.isRecord !== true && cost.first === first) + 50]! ^= 1
  disk.replace(path, whole.slice(0, lastRound + ROUND_RECORD_BYTES + 50))
  const log = only(await openOn(disk))
  expect(log.end.index).toBe(last)
  expect(log.holes.map(hole => [hole.before.index + 1, hole.last.index])).toEqual([[first, last]])
  const more = new TestLog(GROUP, log.end).append(1)
  await written(log, { frames: more })
  const again = only(await openOn(disk.losePower()))
  await expect(again.read(first, first + 1, 1)).rejects.toBeInstanceOf(LogDamaged)
  await patchAll(again)
  expect(await allOf(again)).toEqual([...sample.frames.slice(0, last - 1), hex(more[0]!.bytes)])
})

test('terms in a hole: a lower bound, until the patch tells them', async () => {
  const disk = new FaultDisk(seededRandom(4))
  const store = await openOn(disk, { segmentBytesMax: 1 << 20 })
  const log = await store.create(GROUP, { replicaId: 9, base: testBase() })
  const source = new TestLog(GROUP, log.base)
  const frames: Frame[] = []
  for (const term of [1, 2, 3, 4, 4]) {
    const kind = term === 2 ? FrameKind.configuration : FrameKind.records
    frames.push(source.next({ term, kind, payload: new Uint8Array(400) }), source.next({ term }))
    await written(log, { frames: frames.slice(-2), ballot: { term, vote: 0 }, commit: 1 })
  }
  await store.close()
  const path = segmentsOf(disk)[0]!
  const bytes = Uint8Array.from(disk.contentOf(path))
  // All of the second and third round.
  bytes.fill(0x5a, 512 + 1_024, 512 + 3_072)
  disk.replace(path, bytes)
  const opened = await openOn(disk, { segmentBytesMax: 1 << 20 })
  const damaged = only(opened)
  expect(damaged.holes).toMatchObject([{ before: { index: 3, term: 1 }, last: { index: 7, term: 3 } }])
  expect(damaged.recovered.terms).toEqual([
    { first: 2, term: 1 },
    { first: 7, term: 3 },
    { first: 8, term: 4 },
  ])
  expect(damaged.recovered).toMatchObject({ unreadConfiguration: 4, configurations: [] })
  // A roll must not forget that a configuration was not read.
  await written(damaged, { frames: new TestLog(GROUP, damaged.end).append(1) })
  await opened.close()
  const rolled = await openOn(disk, { segmentBytesMax: 1 })
  await written(only(rolled), { frames: new TestLog(GROUP, only(rolled).end).append(1) })
  await rolled.close()
  const again = only(await openOn(disk))
  expect(again.recovered.unreadConfiguration).toBe(4)
  expect(await again.patch(frames.slice(2, 6))).toBe(true)
  await written(again, { frames: new TestLog(GROUP, again.end).append(1) })
  const { recovered } = only(await openOn(disk.losePower()))
  expect(recovered.unreadConfiguration).toBe(undefined)
  expect(recovered.configurations.map(frame => frame.header.index)).toEqual([4])
  expect(recovered.terms).toEqual([
    { first: 2, term: 1 },
    { first: 4, term: 2 },
    { first: 6, term: 3 },
    { first: 8, term: 4 },
  ])
})

function withSegment(disk: FaultDisk, path: string, bytes: Uint8Array): FaultDisk {
  const copy = disk.clone()
  copy.replace(path, bytes)
  return copy
}

test('a valid record that does not go on from what is valid before it is two histories: refused', async () => {
  const [path] = segmentsOf(sample.clean).slice(-1)
  const whole = sample.clean.contentOf(path!)
  const costs = costsOf(sample.clean).get(path!)!
  const at = costs.indexOf('end')
  const last = decodeRoundRecord(whole.subarray(at))
  if (typeof last === 'string') throw new Error(last)
  const before = decodeRoundRecord(whole.subarray(last.previousPosition))
  if (typeof before === 'string') throw new Error(before)
  expect(before.previousPosition).toBeGreaterThan(0)
  // The round before it is damaged: in its record, or (the first) in nothing but its padding.
  const inRecord = before.position + 100
  const forgeries: Readonly<Record<string, readonly [hurt: number, forged: Partial<typeof last>]>> = {
    'no entry missing, but another chain': [at - 1, { chainBefore: last.chainBefore ^ 1 }],
    'no round missing, but an entry': [at - 1, { firstIndex: last.firstIndex + 1 }],
    'the first index of an older round': [inRecord, { firstIndex: before.firstIndex - 1 }],
    'a round number that was used': [inRecord, { number: last.number - 2 }],
    'a term that is over': [inRecord, { previousTerm: before.previousTerm - 1 }],
    'a time that is over': [inRecord, { previousTimestamp: before.previousTimestamp - 1 }],
    'an offset that is taken': [inRecord, { nextOffset: before.nextOffset - 1 }],
  }
  expect(costs[at - 1]).toBe('nothing')
  for (const [what, [hurt, forged]] of Object.entries(forgeries)) {
    const disk = sample.clean.clone()
    const bytes = Uint8Array.from(whole)
    bytes[hurt]! ^= 1
    const unforged = only(await openOn(withSegment(disk, path!, bytes)))
    expect(unforged.end.index, what).toBe(sample.frames.length + 1)
    bytes.set(encodeRoundRecord({ ...last, ...forged }), at)
    disk.replace(path!, bytes)
    const store = await openOn(disk)
    expect(store.groups(), what).toEqual([])
    expect(store.refused(), what).toMatchObject([{ group: GROUP, reason: { code: 'DAMAGED' } }])
    expect(store.refused()[0]!.reason.message, what).toContain('does not go on from there')
    expect(hex(disk.contentOf(path!)), what).toBe(hex(bytes))
  }
})
