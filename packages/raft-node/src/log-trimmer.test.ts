import type { GroupLog } from '@millrace/log-store'
import { MemoryLogStore } from '@millrace/log-store/memory'
import { expect, test } from 'vitest'
import { decodeGroupConfiguration } from './configuration-codec.ts'
import { ConfigurationTrail } from './configuration-trail.ts'
import { LogTrimmer } from './log-trimmer.ts'
import { ManualTimers } from './testing/manual-timers.ts'
import { BIRTH, framesAfter } from './testing/scripted-leader.ts'
import { SNAPSHOT_GROUP } from './testing/snapshot-cluster.ts'
import { configurationOf, replicaOn } from './testing/test-cluster.ts'

const CONFIGURATION = configurationOf([1, 2, 3])

interface Bench {
  readonly log: GroupLog
  readonly timers: ManualTimers
  readonly trimmer: LogTrimmer
  readonly told: number[]
  /** What followers have. */
  readonly matches: Map<number, number>
}

async function bench(): Promise<Bench> {
  const store = new MemoryLogStore()
  const log = await store.create(SNAPSHOT_GROUP, { replicaId: replicaOn(1), base: BIRTH })
  const frames = framesAfter(
    BIRTH,
    3,
    Array.from({ length: 20 }, (_, key) => key),
  )
  await new Promise<void>(resolve => log.write({ frames, commit: 21 }, resolve))
  const dated = { index: 1, configuration: CONFIGURATION }
  const trail = new ConfigurationTrail({ baseIndex: 1, base: dated, newest: dated, applied: 21 })
  const timers = new ManualTimers()
  const told: number[] = []
  const trimmed = ({ index }: { index: number }): void => void told.push(index)
  const matches = new Map<number, number>()
  const matchOf = (follower: number): number | undefined => matches.get(follower)
  const trimmer = new LogTrimmer({ log, trail, clock: timers, pinMs: 1_000, trimmed, matchOf })
  return { log, timers, told, matches, trimmer }
}

test('the base says where the log stood and which configuration was in force', async () => {
  const { log, trimmer, told } = await bench()
  const [frame] = await log.read(15, 16, 1)
  expect(await trimmer.trimTo(15)).toBe(15)
  const { base } = log
  expect(base).toMatchObject({ index: 15, term: 3, chain: frame!.header.chain, configurationIndex: 1 })
  expect([decodeGroupConfiguration(base.configuration), told]).toEqual([CONFIGURATION, [15]])
})

test('it never goes back, and not beyond the end', async () => {
  const { log, trimmer } = await bench()
  expect(await trimmer.trimTo(10)).toBe(10)
  expect(await trimmer.trimTo(5)).toBe(10)
  expect(await trimmer.trimTo(99)).toBe(21)
  expect(log.base.index).toBe(log.end.index)
})

test('what a snapshot on its way is followed by stays, and for a while after it has arrived', async () => {
  const { timers, trimmer } = await bench()
  const pin = trimmer.pin(12, 10)
  timers.advance(60_000)
  expect(await trimmer.trimTo(20)).toBe(10)
  pin.release()
  timers.advance(999)
  expect(await trimmer.trimTo(20)).toBe(10)
  timers.advance(2)
  expect(await trimmer.trimTo(20)).toBe(20)
})

test('a follower that comes nearer to what is to be trimmed is waited for, and what it has is trimmed', async () => {
  const { timers, trimmer, matches } = await bench()
  const pin = trimmer.pin(12, 4)
  expect(await trimmer.trimTo(10)).toBe(4)
  pin.release()
  for (const [match, wanted] of [
    [6, 11],
    [9, 13],
    [13, 16],
  ] as const) {
    timers.advance(900)
    matches.set(12, match)
    expect(await trimmer.trimTo(wanted)).toBe(match)
  }
  timers.advance(900)
  matches.set(12, 18)
  expect(await trimmer.trimTo(17)).toBe(17)
})

test('a follower that falls further behind, or takes nothing, is not waited for longer than that', async () => {
  const { timers, trimmer, matches } = await bench()
  const pin = trimmer.pin(12, 4)
  expect(await trimmer.trimTo(10)).toBe(4)
  pin.release()
  timers.advance(600)
  matches.set(12, 5)
  // One entry further, while what is to be trimmed went on by two.
  expect(await trimmer.trimTo(12)).toBe(5)
  timers.advance(600)
  expect(await trimmer.trimTo(13)).toBe(13)
})

test('of several followers the one that is furthest behind counts; a later snapshot takes the place of an earlier one', async () => {
  const { trimmer } = await bench()
  trimmer.pin(12, 5)
  trimmer.pin(13, 8)
  expect(await trimmer.trimTo(20)).toBe(5)
  trimmer.pin(12, 15)
  expect(await trimmer.trimTo(20)).toBe(8)
  trimmer.unpin()
  expect(await trimmer.trimTo(20)).toBe(20)
})

test('a trim that fails does not hold up the next one', async () => {
  const { log, trimmer } = await bench()
  const trimPrefix = log.trimPrefix.bind(log)
  log.trimPrefix = () => Promise.reject(new Error('no space left'))
  await expect(trimmer.trimTo(10)).rejects.toThrow('no space left')
  log.trimPrefix = trimPrefix
  expect(await trimmer.trimTo(10)).toBe(10)
})
