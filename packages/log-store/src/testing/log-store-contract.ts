/**
 * The contract of `LogStore` as a suite of tests that every implementation passes: one call per implementation. The
 * caller gives the test functions, so that no test framework is imported here.
 */
import { type Frame, FrameKind, nextOffsetAfter } from '@millrace/record'
import { positionAfter } from '../frame-sequence.ts'
import type { GroupLog, LogStore, LogWrite } from '../log-store.ts'
import { TestLog, testBase } from './test-log.ts'

/** What a test run needs of a test framework; vitest's functions fit. */
export interface ContractRunner {
  readonly test: (name: string, run: () => Promise<void>) => void
  readonly expect: (value: unknown) => ContractExpectation
}

export interface ContractExpectation {
  toEqual(expected: unknown): void
  toBe(expected: unknown): void
}

/** One place where a store lives, with segments of at most 4 KiB: the contract writes little, and wants several. */
export interface ContractStore {
  /** The store, opened anew after what was there was stopped in order. */
  open(): Promise<LogStore>
  /** Opened again as after a crash, without `close`. */
  crash(): Promise<LogStore>
}

/** One that can be damaged. */
export interface ContractPlace extends ContractStore {
  /** Opened anew after a stop in order, with what it holds of these frames damaged. */
  damage(group: number, frames: readonly Frame[]): Promise<LogStore>
}

/** Writes and waits until it is durable. */
export function written(log: GroupLog, write: Partial<LogWrite>): Promise<void> {
  return new Promise(resolve => log.write({ frames: [], commit: 0, ...write }, resolve))
}

/** Everything in a log, read in stretches of at most `bytesMax`. */
export async function readAll(log: GroupLog, bytesMax = 100_000): Promise<Uint8Array[]> {
  const all: Uint8Array[] = []
  for (let next = log.base.index + 1; next <= log.end.index; ) {
    const frames = await log.read(next, log.end.index + 1, bytesMax)
    for (const frame of frames) all.push(Uint8Array.from(frame.bytes))
    next += frames.length
  }
  return all
}

/** Declares the tests. `makePlace` gives an empty place for each. */
export function testLogStore(runner: ContractRunner, makePlace: () => Promise<ContractStore>): void {
  const { test, expect } = runner

  async function refusal(call: () => Promise<unknown>): Promise<unknown> {
    try {
      await call()
      return 'not refused'
    } catch (error) {
      return error instanceof Error && 'code' in error ? error.code : error
    }
  }

  async function newGroup(
    group = 7,
  ): Promise<{ place: ContractStore; store: LogStore; log: GroupLog; source: TestLog }> {
    const place = await makePlace()
    const store = await place.open()
    const log = await store.create(group, { replicaId: 11, base: testBase() })
    return { place, store, log, source: new TestLog(group, log.base) }
  }

  test('a new group starts at its base, empty', async () => {
    const { log } = await newGroup()
    expect(log.end.index).toBe(1)
    expect(log.durable.index).toBe(1)
    expect(log.recovered.replicaId).toBe(11)
    expect(log.recovered.ballot).toEqual({ term: 0, vote: 0 })
    expect(log.recovered.terms).toEqual([])
  })

  test('done is called later, once, in the order of the writes', async () => {
    const { log, source } = await newGroup()
    const answers: number[] = []
    log.write({ frames: source.append(1), commit: 1 }, () => answers.push(1))
    log.write({ frames: [], commit: 1 }, () => answers.push(2))
    log.write({ frames: source.append(2), ballot: { term: 2, vote: 11 }, commit: 1 }, () => answers.push(3))
    log.write({ frames: [], ballot: { term: 3, vote: 0 }, commit: 1 }, () => answers.push(4))
    expect(answers).toEqual([])
    expect(log.end.index).toBe(4)
    await Promise.resolve()
    expect(answers).toEqual([])
    await written(log, {})
    expect(answers).toEqual([1, 2, 3, 4])
    expect(log.durable.index).toBe(4)
    expect(log.pendingBytes).toBe(0)
  })

  test('frames that are queued can be read', async () => {
    const { log, source } = await newGroup()
    const frames = source.append(3)
    log.write({ frames, commit: 1 }, () => undefined)
    expect(await readAll(log)).toEqual(frames.map(frame => frame.bytes))
    expect((await log.read(3, 5, 1))[0]?.header.index).toBe(3)
    expect((await log.read(3, 5, 1)).length).toBe(1)
  })

  test('reads outside the log are refused by name', async () => {
    const { log, source } = await newGroup()
    await written(log, { frames: source.append(3) })
    expect(await refusal(() => log.read(1, 3, 1_000))).toBe('COMPACTED')
    expect(await refusal(() => log.read(5, 6, 1_000))).toBe('OUT_OF_RANGE')
    expect(log.readCached(1, 2, 1_000)).toBe(null)
    expect(log.readCached(5, 6, 1_000)).toBe(null)
  })

  test('a write at or below the end replaces everything from there on', async () => {
    const { place, log, source } = await newGroup()
    const first = source.append(5)
    await written(log, { frames: first })
    source.truncateTo(positionAfter(first[1]!))
    const second = source.append(2, { term: 4 })
    log.write({ frames: second, commit: 1 }, () => undefined)
    expect(log.end.index).toBe(5)
    const expected = [...first.slice(0, 2), ...second].map(frame => frame.bytes)
    expect(await readAll(log)).toEqual(expected)
    await written(log, {})
    expect(await readAll(log)).toEqual(expected)
    const [again] = (await place.crash()).groups()
    expect(await readAll(again!)).toEqual(expected)
    expect(again!.recovered.terms).toEqual([
      { first: 2, term: 1 },
      { first: 4, term: 4 },
    ])
  })

  test('what was acknowledged is there after a crash: frames, ballot, commit, configurations', async () => {
    const { place, log, source } = await newGroup()
    const frames = [
      ...source.append(2),
      source.next({ kind: FrameKind.configuration }),
      ...source.append(2),
      source.next({ kind: FrameKind.configuration }),
      ...source.append(1),
    ]
    await written(log, { frames: frames.slice(0, 4), ballot: { term: 1, vote: 11 } })
    await written(log, { frames: frames.slice(4), commit: 5 })
    await written(log, { ballot: { term: 9, vote: 3 } })
    const [again] = (await place.crash()).groups()
    expect(await readAll(again!)).toEqual(frames.map(frame => frame.bytes))
    expect(again!.recovered.ballot).toEqual({ term: 9, vote: 3 })
    expect(again!.recovered.commit).toBe(5)
    expect(again!.recovered.last).toEqual(positionAfter(frames.at(-1)!))
    expect(again!.recovered.configurations.map(frame => frame.header.index)).toEqual([4, 7])
    expect(again!.end).toEqual(again!.recovered.last)
  })

  test('a log goes on after a stop in order', async () => {
    const { place, store, log, source } = await newGroup()
    await written(log, { frames: source.append(3) })
    await store.close()
    const [again] = (await place.open()).groups()
    await written(again!, { frames: source.append(2) })
    expect(again!.durable.index).toBe(6)
    expect((await readAll(again!)).length).toBe(5)
  })

  test('frames that do not join are a broken assertion', async () => {
    const { log, source } = await newGroup()
    const [, second, third] = source.append(3)
    const thrown: string[] = []
    for (const frames of [[second!], [third!], source.append(1)]) {
      try {
        log.write({ frames, commit: 1 }, () => undefined)
      } catch (error) {
        thrown.push(error instanceof Error ? error.name : 'other')
      }
    }
    expect(thrown).toEqual(['RangeError', 'RangeError', 'RangeError'])
    expect(log.end.index).toBe(1)
  })

  test('offsets and times lead to frames', async () => {
    const { log, source } = await newGroup()
    const frames = [
      source.next({ kind: FrameKind.noop }),
      source.next({ recordCount: 3 }),
      source.next({ kind: FrameKind.noop }),
      source.next({ recordCount: 2 }),
    ]
    await written(log, { frames })
    const found = []
    for (const offset of [0, 1, 2, 3, 4, 5, 99]) found.push(await log.indexOfOffset(offset))
    expect(found).toEqual([3, 3, 3, 5, 5, 6, 6])
    const at = frames.map(frame => frame.header.timestamp)
    expect(await log.offsetAtTime(0)).toBe(0)
    expect(await log.offsetAtTime(at[1]!)).toBe(0)
    expect(await log.offsetAtTime(at[1]! + 1)).toBe(3)
    expect(await log.offsetAtTime(at[3]! + 1)).toBe(5)
  })

  test('a trim moves the base, and survives', async () => {
    const { place, log, source } = await newGroup()
    const frames = source.append(6)
    await written(log, { frames, commit: 7 })
    const base = { ...testBase(), ...positionAfter(frames[2]!), configuration: new Uint8Array([9]) }
    await log.trimPrefix(base)
    expect(log.base.index).toBe(4)
    expect(await refusal(() => log.read(4, 8, 1_000))).toBe('COMPACTED')
    expect(await refusal(() => log.indexOfOffset(1))).toBe('COMPACTED')
    expect(await log.indexOfOffset(3)).toBe(5)
    const [again] = (await place.crash()).groups()
    expect(again!.base.index).toBe(4)
    expect(Uint8Array.from(again!.base.configuration)).toEqual(new Uint8Array([9]))
    expect(await readAll(again!)).toEqual(frames.slice(3).map(frame => frame.bytes))
    expect(again!.recovered.terms).toEqual([{ first: 5, term: 1 }])
  })

  test('a log that was trimmed to its end goes on at its next offset', async () => {
    const { place, log, source } = await newGroup()
    const frames = source.append(3)
    await written(log, { frames, commit: 4 })
    await log.trimPrefix({ ...testBase(), ...positionAfter(frames[2]!) })
    await written(log, { frames: source.append(1) })
    const [again] = (await place.crash()).groups()
    expect(again!.base.index).toBe(4)
    expect(again!.end.index).toBe(5)
    expect(again!.end.nextOffset).toBe(4)
  })

  test('segments follow each other without a gap, and say what is in them; a trim takes those below the base', async () => {
    const { place, log, source } = await newGroup()
    expect(log.segments()).toEqual([])
    for (let i = 0; i < 24; i++) await written(log, { frames: source.append(3, { payload: new Uint8Array(300) }) })
    const shown = log.segments()
    expect(shown.length > 3).toBe(true)
    expect(shown[0]!.firstIndex).toBe(2)
    for (const [at, segment] of shown.entries()) {
      if (at > 0) expect(segment.firstIndex).toBe(shown[at - 1]!.lastIndex + 1)
      const { header } = (await log.read(segment.lastIndex, segment.lastIndex + 1, 1))[0]!
      const said = { nextOffset: segment.nextOffset, newestTimestamp: segment.newestTimestamp }
      expect(said).toEqual({ nextOffset: nextOffsetAfter(header), newestTimestamp: header.timestamp })
      const frames = await log.read(segment.firstIndex, segment.lastIndex + 1, 100_000)
      expect(segment.bytes >= frames.reduce((sum, frame) => sum + frame.bytes.length, 0)).toBe(true)
    }
    expect(shown.at(-1)!.lastIndex).toBe(log.durable.index)
    const [again] = (await place.crash()).groups()
    expect(again!.segments()[1]).toEqual({ ...shown[1], bytes: again!.segments()[1]!.bytes })
    const { lastIndex } = shown[1]!
    const at = positionAfter((await again!.read(lastIndex, lastIndex + 1, 1))[0]!)
    await again!.trimPrefix(testBase(at))
    expect(again!.segments()[0]!.firstIndex).toBe(lastIndex + 1)
    await again!.reset(testBase({ index: 500, nextOffset: 500 }))
    expect(again!.segments()).toEqual([])
  })

  test('a segment that is older than its limit is followed by another one, with the next write', async () => {
    const { log, source } = await newGroup()
    log.limitSegmentAge(0)
    for (let i = 0; i < 3; i++) await written(log, { frames: source.append(1) })
    expect(log.segments().map(segment => segment.lastIndex)).toEqual([2, 3, 4])
  })

  test('a reset discards the log', async () => {
    const { place, log, source } = await newGroup()
    await written(log, { frames: source.append(5), ballot: { term: 1, vote: 2 } })
    const base = testBase({ index: 100, term: 6, chain: 77, nextOffset: 50, timestamp: 9_000 })
    await log.reset(base)
    expect(log.end.index).toBe(100)
    const after = new TestLog(7, base)
    const frames = after.append(2)
    await written(log, { frames })
    const [again] = (await place.crash()).groups()
    expect(again!.base.index).toBe(100)
    expect(again!.recovered.ballot).toEqual({ term: 1, vote: 2 })
    expect(await readAll(again!)).toEqual(frames.map(frame => frame.bytes))
  })

  test('a write may follow a reset at once', async () => {
    const { place, log, source } = await newGroup()
    log.write({ frames: source.append(2), commit: 1 }, () => undefined)
    const base = testBase({ index: 100, chain: 77 })
    const reset = log.reset(base)
    const frames = new TestLog(7, base).append(2)
    const later = written(log, { frames })
    await reset
    await later
    const [again] = (await place.crash()).groups()
    expect(await readAll(again!)).toEqual(frames.map(frame => frame.bytes))
  })

  test('groups are apart, and none is made twice', async () => {
    const { place, store, log, source } = await newGroup(1)
    const other = await store.create(2, { replicaId: 5, base: testBase() })
    await Promise.all([
      written(log, { frames: source.append(2) }),
      written(other, { frames: new TestLog(2, other.base).append(3) }),
    ])
    expect(await refusal(() => store.create(2, { replicaId: 6, base: testBase() }))).toBe('EXISTS')
    const again = await place.crash()
    expect(again.groups().map(group => [group.group, group.end.index])).toEqual([
      [1, 3],
      [2, 4],
    ])
  })

  test('a dropped replica is gone and its id stays dead', async () => {
    const { place, store, log, source } = await newGroup()
    await written(log, { frames: source.append(2) })
    await store.drop(7)
    expect(store.groups().length).toBe(0)
    expect(await refusal(() => log.read(2, 3, 1))).toBe('CLOSED')
    expect(await refusal(() => store.create(7, { replicaId: 11, base: testBase() }))).toBe('REPLICA_LOST')
    const again = await place.crash()
    expect(again.groups().length).toBe(0)
    const reborn = await again.create(7, { replicaId: 12, base: testBase() })
    expect(reborn.end.index).toBe(1)
    expect(reborn.recovered.ballot).toEqual({ term: 0, vote: 0 })
  })

  test('a new replica of a dropped group owes nothing to the old one', async () => {
    const { place, store, log, source } = await newGroup()
    const first = source.append(5)
    await written(log, { frames: first, ballot: { term: 7, vote: 2 } })
    source.truncateTo(positionAfter(first[2]!))
    await written(log, { frames: source.append(4) })
    await store.close()
    const again = await place.open()
    await again.drop(7)
    const reborn = await again.create(7, { replicaId: 12, base: testBase() })
    await written(reborn, { frames: new TestLog(7, reborn.base).append(1) })
    const [found] = (await place.crash()).groups()
    expect(found!.recovered.uncertainUntil).toBe(undefined)
    expect(found!.recovered.ballot).toEqual({ term: 0, vote: 0 })
    expect(found!.end.index).toBe(2)
  })

  test('a closed store refuses by name', async () => {
    const { store, log } = await newGroup()
    await store.close()
    expect(await refusal(() => store.create(8, { replicaId: 1, base: testBase() }))).toBe('CLOSED')
    expect(await refusal(() => log.read(2, 3, 1))).toBe('CLOSED')
  })
}
