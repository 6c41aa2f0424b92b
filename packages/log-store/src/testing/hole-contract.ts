/** The part of the contract of `LogStore` that is about damage: holes, what goes on despite them, and patches. */
import { type Frame, FrameKind } from '@millrace/record'
import { positionAfter } from '../frame-sequence.ts'
import { type GroupLog, LogDamaged, type LogStore } from '../log-store.ts'
import type { ContractPlace, ContractRunner } from './log-store-contract.ts'
import { readAll, written } from './log-store-contract.ts'
import { TestLog, testBase } from './test-log.ts'

const GROUP = 7

interface Damaged {
  readonly place: ContractPlace
  readonly store: LogStore
  readonly log: GroupLog
  readonly source: TestLog
  readonly frames: readonly Frame[]
}

/** Declares the tests. Rounds of one entry each: damage in one is a hole of one. */
export function testHoles({ test, expect }: ContractRunner, makePlace: () => Promise<ContractPlace>): void {
  /**
   * A log of the entries 2 to 11 in two terms, entries 5 and 6 damaged and found out by a read. Each was written by itself,
   * but for the damaged ones where `together` is set.
   */
  async function withHole(damage: readonly number[] = [5, 6], together = false): Promise<Damaged> {
    const place = await makePlace()
    const log = await (await place.open()).create(GROUP, { replicaId: 11, base: testBase() })
    const source = new TestLog(GROUP, log.base)
    const frames: Frame[] = []
    for (let index = 2; index <= 11; index++) {
      const kind = index === 6 ? FrameKind.configuration : FrameKind.records
      const frame = source.next({ kind, term: index < 6 ? 1 : 2 })
      frames.push(frame)
      if (together && damage.includes(index + 1) && damage.includes(index)) continue
      const unwritten = frames.slice(log.end.index - 1)
      await written(log, { frames: unwritten, commit: Math.max(1, index - 2), ballot: { term: 2, vote: 1 } })
    }
    const store = await place.damage(
      GROUP,
      damage.map(index => frames[index - 2]!),
    )
    const [again] = store.groups()
    for (const index of damage) await reading(again!, index)
    return { place, store, log: again!, source, frames }
  }

  async function reading(log: GroupLog, index: number): Promise<unknown> {
    try {
      return (await log.read(index, index + 1, 1))[0]?.header.index
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error
      return [error.hole.before.index, error.hole.last.index, error.group]
    }
  }

  async function refused(call: () => unknown): Promise<unknown> {
    try {
      await call()
      return 'not refused'
    } catch (error) {
      return error instanceof LogDamaged ? 'damaged' : error
    }
  }

  function ranges(log: GroupLog): unknown {
    return log.holes.map(({ before, last }) => [before.index, last.index])
  }

  /** The entries of the frames, one by one: a hole of several rounds may be several. */
  async function patchAll(log: GroupLog, frames: readonly Frame[]): Promise<void> {
    for (const { before, last } of log.holes)
      expect(await log.patch(frames.slice(before.index - 1, last.index - 1))).toBe(true)
  }

  test('damage is a hole: what is around it is read, the hole is refused by its range', async () => {
    const { log, frames } = await withHole()
    expect(log.end).toEqual(positionAfter(frames.at(-1)!))
    expect(log.holes[0]!.before).toEqual(positionAfter(frames[2]!))
    expect(log.holes.at(-1)!.last).toEqual(positionAfter(frames[4]!))
    expect(await reading(log, 4)).toBe(4)
    expect((await log.read(2, 12, 100_000)).at(-1)?.header.index).toBe(4)
    expect(await reading(log, 7)).toBe(7)
    expect((await log.read(7, 12, 100_000)).length > 0).toBe(true)
    expect(await refused(() => log.read(5, 12, 100_000))).toBe('damaged')
    expect(await refused(() => log.read(6, 12, 100_000))).toBe('damaged')
    expect(log.readCached(5, 6, 100)).toBe(null)
  })

  test('offsets and times in a hole are refused, others are found', async () => {
    const { log, frames } = await withHole()
    const offsets: unknown[] = []
    for (const { baseOffset } of frames.map(frame => frame.header)) {
      const found = await refused(async () => offsets.push(await log.indexOfOffset(baseOffset)))
      if (found === 'damaged') offsets.push('damaged')
    }
    // Entry 6 is a configuration and takes no offset: that of entry 7 leads to entry 7 or to the hole.
    expect([...offsets.slice(0, 3), ...offsets.slice(6)]).toEqual([2, 3, 4, 8, 9, 10, 11])
    expect(offsets[3]).toBe('damaged')
    const times: unknown[] = []
    for (const { timestamp } of frames.map(frame => frame.header)) {
      const found = await refused(async () => times.push(await log.offsetAtTime(timestamp)))
      if (found === 'damaged') times.push('damaged')
    }
    const own = frames.map(frame => frame.header.baseOffset)
    expect(times).toEqual([...own.slice(0, 3), 'damaged', 'damaged', ...own.slice(5)])
  })

  test('the end goes on despite a hole, and the hole is there after a crash', async () => {
    const { place, log, source } = await withHole()
    const more = source.append(2)
    await written(log, { frames: more })
    expect(log.durable.index).toBe(13)
    const [again] = (await place.crash()).groups()
    expect(again!.end).toEqual(positionAfter(more[1]!))
    expect(await reading(again!, 13)).toBe(13)
    expect(await refused(() => again!.read(5, 6, 1))).toBe('damaged')
    expect(await refused(() => again!.read(6, 7, 1))).toBe('damaged')
    expect(again!.holes[0]!.before.index).toBe(4)
  })

  test('a patch makes the log whole, durably', async () => {
    const { place, log, source, frames } = await withHole()
    await patchAll(log, frames)
    expect(log.holes).toEqual([])
    const expected = frames.map(frame => frame.bytes)
    expect(await readAll(log)).toEqual(expected)
    expect(await log.indexOfOffset(frames[3]!.header.baseOffset)).toBe(5)
    const more = source.append(1)
    await written(log, { frames: more })
    const [again] = (await place.crash()).groups()
    expect(await readAll(again!)).toEqual([...expected, more[0]!.bytes])
    expect(again!.holes).toEqual([])
    expect(again!.recovered.terms).toEqual([
      { first: 2, term: 1 },
      { first: 6, term: 2 },
    ])
    expect(again!.recovered.configurations.map(frame => frame.header.index)).toEqual([6])
    expect(again!.recovered.unreadConfiguration).toBe(undefined)
  })

  test('a patch that does not join on both sides, or is of no hole, changes nothing', async () => {
    const { log, frames } = await withHole([6])
    const other = new TestLog(GROUP, positionAfter(frames[3]!))
    const foreign = new TestLog(GROUP + 1, positionAfter(frames[3]!))
    const kind = FrameKind.configuration
    for (const wrong of [
      [],
      other.append(1, { kind, payload: new Uint8Array([9]) }),
      foreign.append(1, { kind }),
      frames.slice(3, 5),
      frames.slice(4, 6),
      frames.slice(5, 6),
    ]) {
      expect(await log.patch(wrong)).toBe(false)
    }
    expect(ranges(log)).toEqual([[5, 6]])
    expect(await log.patch(frames.slice(4, 5))).toBe(true)
    expect(await log.patch(frames.slice(4, 5))).toBe(false)
    expect(ranges(log)).toEqual([])
  })

  test('a long hole is patched in parts, each durable by itself', async () => {
    const { place, log, frames } = await withHole([4, 5, 6, 7], true)
    expect(ranges(log)).toEqual([[3, 7]])
    // Without a position nobody vouches that these lead to the last entry of the hole.
    expect(await log.patch(frames.slice(2, 4))).toBe(false)
    expect(await log.patch(frames.slice(2, 4), positionAfter(frames[4]!))).toBe(false)
    expect(await log.patch(frames.slice(3, 5), positionAfter(frames[4]!))).toBe(false)
    expect(await log.patch(frames.slice(2, 7), positionAfter(frames[6]!))).toBe(false)
    expect(await log.patch(frames.slice(2, 4), positionAfter(frames[3]!))).toBe(true)
    expect(ranges(log)).toEqual([[5, 7]])
    expect((await log.read(4, 6, 1 << 20)).map(({ header }) => header.index)).toEqual([4, 5])
    const [again] = (await place.crash()).groups()
    await reading(again!, 6)
    expect(ranges(again!)).toEqual([[5, 7]])
    expect((await again!.read(4, 6, 1 << 20)).map(({ header }) => header.index)).toEqual([4, 5])
    expect(await again!.patch(frames.slice(4, 6))).toBe(true)
    expect(await readAll(again!)).toEqual(frames.map(frame => frame.bytes))
    const [third] = (await place.crash()).groups()
    expect(await readAll(third!)).toEqual(frames.map(frame => frame.bytes))
    expect(ranges(third!)).toEqual([])
  })

  test('entries from the first of a hole on may be replaced, not from inside it', async () => {
    const { place, log, frames } = await withHole([5, 6])
    const [first] = log.holes
    // Inside: nobody knows what the frame follows, so any is refused.
    if (first!.last.index === 6)
      expect(await refused(() => written(log, { frames: frames.slice(4, 5) }))).toBe('damaged')
    const source = new TestLog(GROUP, positionAfter(frames[2]!))
    const fresh = source.append(1, { term: 3 })
    log.write({ frames: fresh, commit: 1, ballot: { term: 3, vote: 0 } }, () => undefined)
    expect(log.holes).toEqual([])
    await written(log, {})
    const expected = [...frames.slice(0, 3), ...fresh].map(frame => frame.bytes)
    expect(await readAll(log)).toEqual(expected)
    const [again] = (await place.crash()).groups()
    expect(await readAll(again!)).toEqual(expected)
    expect(again!.holes).toEqual([])
  })

  test('entries after a hole may be replaced from its end on', async () => {
    const { place, log, frames } = await withHole()
    const source = new TestLog(GROUP, positionAfter(frames[4]!))
    const fresh = source.append(2, { term: 3 })
    await written(log, { frames: fresh, ballot: { term: 3, vote: 0 } })
    await patchAll(log, frames)
    const expected = [...frames.slice(0, 5), ...fresh].map(frame => frame.bytes)
    expect(await readAll(log)).toEqual(expected)
    const [again] = (await place.crash()).groups()
    expect(await readAll(again!)).toEqual(expected)
  })

  test('a patched range may be cut in the middle', async () => {
    const { place, log, frames } = await withHole([5, 6, 7])
    await patchAll(log, frames)
    const fresh = new TestLog(GROUP, positionAfter(frames[3]!)).append(3, { term: 3 })
    await written(log, { frames: fresh, ballot: { term: 3, vote: 0 } })
    const expected = [...frames.slice(0, 4), ...fresh].map(frame => frame.bytes)
    expect(await readAll(log)).toEqual(expected)
    const [again] = (await place.crash()).groups()
    expect(await readAll(again!)).toEqual(expected)
    expect(again!.holes).toEqual([])
  })

  test('a base at or above the end of a hole dissolves it, one inside is refused', async () => {
    for (const index of [6, 8]) {
      const { place, log, frames } = await withHole()
      if (log.holes[0]!.last.index === 6) {
        const inside = { ...testBase(), ...positionAfter(frames[3]!) }
        expect(await refused(() => log.trimPrefix(inside))).toBe('damaged')
      }
      await log.trimPrefix({ ...testBase(), ...positionAfter(frames[index - 2]!) })
      expect(log.holes).toEqual([])
      expect(await readAll(log)).toEqual(frames.slice(index - 1).map(frame => frame.bytes))
      const [again] = (await place.crash()).groups()
      expect(again!.holes).toEqual([])
      expect(await readAll(again!)).toEqual(frames.slice(index - 1).map(frame => frame.bytes))
    }
  })

  test('a reset discards holes and patches', async () => {
    const { place, log, frames } = await withHole([5, 8])
    expect(await log.patch(frames.slice(6, 7))).toBe(true)
    const base = testBase({ index: 4, chain: 99, term: 2, timestamp: 5_000, nextOffset: 3 })
    const reset = log.reset(base)
    expect(log.holes).toEqual([])
    const fresh = new TestLog(GROUP, base).append(6)
    log.write({ frames: fresh, commit: 4 }, () => undefined)
    await reset
    await written(log, {})
    expect(await readAll(log)).toEqual(fresh.map(frame => frame.bytes))
    const [again] = (await place.crash()).groups()
    expect(again!.holes).toEqual([])
    expect(await readAll(again!)).toEqual(fresh.map(frame => frame.bytes))
  })

  test('a configuration that cannot be read is told until a patch brings it', async () => {
    const { place, log, frames } = await withHole([6])
    const [damaged] = (await place.crash()).groups()
    // Known from elsewhere, such as the header of a later segment, or told to be unknown.
    const { configurations, unreadConfiguration } = damaged!.recovered
    const known = configurations.map(frame => frame.header.index)
    expect(known).toEqual(unreadConfiguration === undefined ? [6] : [])
    expect(unreadConfiguration ?? 6).toBe(6)
    await reading(damaged!, 6)
    await written(damaged!, { frames: new TestLog(GROUP, log.end).append(3) })
    expect(await damaged!.patch(frames.slice(4, 5))).toBe(true)
    await written(damaged!, { frames: new TestLog(GROUP, damaged!.end).append(3) })
    const { recovered } = (await place.crash()).groups()[0]!
    expect(recovered.unreadConfiguration).toBe(undefined)
    expect(recovered.configurations.map(frame => frame.header.index)).toEqual([6])
  })
}
