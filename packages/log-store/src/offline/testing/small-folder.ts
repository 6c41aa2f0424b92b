/** A small data folder made by the real store, with everything in it that a log can have: for tests of offline tools. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { FrameKind } from '@millrace/record'
import { openDataFolder } from '../../data-folder.ts'
import type { GroupLog, LogStore } from '../../log-store.ts'
import { openSegmentedLogStore, type SegmentedLogStoreOptions } from '../../segmented-log-store.ts'
import { SPARE_FOLDER } from '../../spare-segments.ts'
import { written } from '../../testing/log-store-contract.ts'
import { TestLog, testBase } from '../../testing/test-log.ts'
import { type DumpItem, type DumpOptions, dumpLog } from '../dump.ts'

/** What {@link makeSmallFolder} leaves. */
export const SMALL_FOLDER = {
  identity: { clusterId: 'small', nodeId: 3 },
  /** Sealed segments, a replaced suffix (so two generations), a trimmed prefix, configurations, three terms. */
  busyGroup: 7,
  /** One segment, never touched again. */
  quietGroup: 8,
  /** Born and never written. */
  emptyGroup: 9,
} as const

export function openSmallStore(dir: string, options: Partial<SegmentedLogStoreOptions> = {}): Promise<LogStore> {
  return openSegmentedLogStore({
    dir,
    segmentBytesMax: 6_000,
    diskReserveBytes: 0,
    onFatal: error => {
      throw error
    },
    ...options,
  })
}

/** Fills the empty folder `path` and stops in order. */
export async function makeSmallFolder(path: string): Promise<void> {
  const folder = await openDataFolder(path, { create: SMALL_FOLDER.identity })
  const store = await openSmallStore(folder.logDir)
  await fillBusyGroup(await store.create(SMALL_FOLDER.busyGroup, { replicaId: 11, base: testBase() }))
  const quiet = await store.create(SMALL_FOLDER.quietGroup, { replicaId: 12, base: testBase() })
  await appendRounds(quiet, new TestLog(quiet.group, quiet.base), 3)
  await store.create(SMALL_FOLDER.emptyGroup, { replicaId: 13, base: testBase() })
  await store.close()
  await folder.close()
}

/** Fills the empty folder `path` with a log whose newest segment lies over one that was trimmed, and stops in order. */
export async function makeRecycledFolder(path: string): Promise<void> {
  const folder = await openDataFolder(path, { create: SMALL_FOLDER.identity })
  const store = await openSmallStore(folder.logDir, { segmentBytesMax: 30_000, trashKeepMs: 1 })
  const log = await store.create(SMALL_FOLDER.busyGroup, { replicaId: 11, base: testBase() })
  const source = new TestLog(log.group, log.base)
  // Each of these fills a segment.
  await appendRounds(log, source, 15)
  await appendRounds(log, source, 15)
  await trimTo(log, 31)
  while ((await readdir(join(folder.logDir, SPARE_FOLDER))).length === 0) await delay(2)
  await appendRounds(log, source, 2)
  await store.close()
  await folder.close()
}

async function trimTo(log: GroupLog, entry: number): Promise<void> {
  const [frame] = await log.read(entry, entry + 1, 1)
  const { index, term, chain, timestamp, baseOffset, recordCount } = frame!.header
  const at = { index, term, chain, timestamp, nextOffset: baseOffset + recordCount }
  await log.trimPrefix(testBase({ ...at, configurationIndex: 1 }))
}

/** Everything that a dump says. */
export async function dumpedItems(path: string, options?: DumpOptions): Promise<DumpItem[]> {
  const items: DumpItem[] = []
  for await (const item of dumpLog(path, options)) items.push(item)
  return items
}

/** Rounds of two frames each. */
export async function appendRounds(log: GroupLog, source: TestLog, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++)
    await written(log, { frames: source.append(2, { payload: new Uint8Array(700).fill(round + 1) }), commit: 2 })
}

async function fillBusyGroup(log: GroupLog): Promise<void> {
  const source = new TestLog(log.group, log.base)
  await written(log, { frames: [source.next({ kind: FrameKind.noop })], ballot: { term: 1, vote: 11 } })
  await appendRounds(log, source, 4)
  const kept = source.position
  await written(log, { frames: [source.next({ kind: FrameKind.configuration })], commit: 2 })
  await appendRounds(log, source, 2)
  // A leader of another term that knows less.
  source.truncateTo(kept)
  await written(log, { frames: [source.next({ kind: FrameKind.noop, term: 3 })], ballot: { term: 3, vote: 0 } })
  await written(log, { frames: [source.next({ kind: FrameKind.configuration })], commit: 4 })
  await appendRounds(log, source, 9)
  await trimTo(log, 5)
  await appendRounds(log, source, 2)
}
