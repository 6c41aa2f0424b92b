/** Under random operations, stops and crashes the segmented store shows what the one in memory shows. */

import { FrameKind } from '@millrace/record'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { positionAfter } from './frame-sequence.ts'
import type { GroupLog, LogStore } from './log-store.ts'
import { MemoryLogStore } from './memory.ts'
import { FaultDisk, openOn, readAll, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const GROUP = 5

class Pair {
  disk = new FaultDisk(seededRandom(7))
  memory = new MemoryLogStore()
  segmented!: LogStore
  logs!: readonly [GroupLog, GroupLog]
  readonly source = new TestLog(GROUP, testBase())
  /** No entry at or below it is ever replaced. */
  commit = 1

  async start(): Promise<void> {
    this.segmented = await openOn(this.disk)
    const birth = { replicaId: 1, base: testBase() }
    this.logs = [await this.memory.create(GROUP, birth), await this.segmented.create(GROUP, birth)]
  }

  async both(run: (log: GroupLog) => Promise<unknown>): Promise<void> {
    await Promise.all(this.logs.map(run))
  }

  async reopen(how: 'stop' | 'kill' | 'power'): Promise<void> {
    this.memory = this.memory.reopen()
    if (how === 'stop') await this.segmented.close()
    if (how === 'kill') this.disk = this.disk.kill()
    if (how === 'power') this.disk = this.disk.losePower()
    this.segmented = await openOn(this.disk)
    expect(this.segmented.refused()).toEqual([])
    this.logs = [this.memory.groups()[0]!, this.segmented.groups()[0]!]
    const [expected, found] = this.logs
    const { base: _, last, commit, configurations, ...rest } = expected.recovered
    expect(found.recovered).toMatchObject(rest)
    expect(found.recovered.last).toMatchObject({ index: last.index, chain: last.chain, nextOffset: last.nextOffset })
    // Commit travels with frames only, so it may lag; the configurations follow from it.
    expect(found.recovered.commit).toBeLessThanOrEqual(commit)
    const indexes = found.recovered.configurations.map(frame => frame.header.index)
    const needed = configurations.map(frame => frame.header.index)
    expect(indexes.slice(indexes.length - needed.length)).toEqual(needed)
  }

  async compare(): Promise<void> {
    const [expected, found] = this.logs
    expect(found.base.index).toBe(expected.base.index)
    expect(found.end).toMatchObject({ index: expected.end.index, chain: expected.end.chain })
    expect(await readAll(found, 1_200)).toEqual(await readAll(expected))
    for (let offset = expected.base.nextOffset; offset <= expected.end.nextOffset + 1; offset += 3) {
      expect(await found.indexOfOffset(offset)).toBe(await expected.indexOfOffset(offset))
    }
    for (let time = expected.base.timestamp; time <= expected.end.timestamp + 10; time += 25) {
      expect(await found.offsetAtTime(time)).toBe(await expected.offsetAtTime(time))
    }
  }
}

type Operation = (pair: Pair) => Promise<void>

const append = fc
  .record({
    count: fc.integer({ min: 1, max: 4 }),
    size: fc.integer({ min: 0, max: 1_500 }),
    ballot: fc.boolean(),
    kind: fc.constantFrom(FrameKind.records, FrameKind.records, FrameKind.noop, FrameKind.configuration),
  })
  .map(
    ({ count, size, ballot, kind }): Operation =>
      async pair => {
        const term = pair.source.position.term + (ballot ? 1 : 0)
        const frames = pair.source.append(count, {
          kind,
          term,
          payload: new Uint8Array(size).fill(count),
          recordCount: count,
        })
        pair.commit = Math.max(pair.commit, pair.source.position.index - 3)
        const { commit } = pair
        await pair.both(log => written(log, { frames, commit, ...(ballot ? { ballot: { term, vote: count } } : {}) }))
      },
  )

const truncate = fc.integer({ min: 1, max: 6 }).map(
  (dropped): Operation =>
    async pair => {
      const [log] = pair.logs
      const kept = Math.max(pair.commit, log.base.index, log.end.index - dropped)
      if (kept === log.end.index) return
      pair.source.truncateTo(
        kept === log.base.index ? log.base : positionAfter((await log.read(kept, kept + 1, 1))[0]!),
      )
      const frames = pair.source.append(1, { term: pair.source.position.term + 1 })
      await pair.both(each => written(each, { frames }))
    },
)

const trim = fc.integer({ min: 1, max: 8 }).map(
  (count): Operation =>
    async pair => {
      const [log] = pair.logs
      const index = Math.min(log.end.index, log.base.index + count)
      if (index === log.base.index) return
      const at = positionAfter((await log.read(index, index + 1, 1))[0]!)
      await pair.both(each => each.trimPrefix({ ...testBase(), ...at, configurationIndex: index }))
    },
)

const reset = fc.integer({ min: -2, max: 20 }).map(
  (distance): Operation =>
    async pair => {
      const [log] = pair.logs
      const base = testBase({
        index: Math.max(log.base.index, pair.commit, log.end.index + distance),
        chain: 99,
        nextOffset: log.end.nextOffset,
        term: log.end.term,
        timestamp: log.end.timestamp,
      })
      pair.source.truncateTo(base)
      pair.commit = base.index
      await pair.both(each => each.reset(base))
    },
)

const reopen = fc.constantFrom('stop' as const, 'kill' as const, 'power' as const).map(
  (how): Operation =>
    pair =>
      pair.reopen(how),
)
const compare = fc.constant<Operation>(pair => pair.compare())

test('a segmented log is the log in memory', async () => {
  const operation = fc.oneof(
    { arbitrary: append, weight: 8 },
    { arbitrary: truncate, weight: 2 },
    { arbitrary: trim, weight: 1 },
    { arbitrary: reset, weight: 1 },
    { arbitrary: reopen, weight: 3 },
    { arbitrary: compare, weight: 2 },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 40, size: 'max' }), async operations => {
      const pair = new Pair()
      await pair.start()
      for (const run of operations) await run(pair)
      await pair.compare()
      await pair.reopen('power')
      await pair.compare()
    }),
    { numRuns: 150 },
  )
})
