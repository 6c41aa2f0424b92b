/** The contract of `SnapshotStore` as a suite of tests that every implementation passes: one call per implementation. */
import type { SnapshotHead, SnapshotReader, SnapshotStore } from '../snapshot-store.ts'
import type { ContractRunner } from './log-store-contract.ts'
import { testBase } from './test-log.ts'

/** One place where a store of two retained snapshots lives. */
export interface ContractSnapshots {
  /** The store, as the next process finds it. */
  open(): Promise<SnapshotStore>
}

/** Where a log might stand. */
export function snapshotHead(index: number, term = 1): SnapshotHead {
  const { voidBelow: _, ...head } = testBase({ index, term, chain: index * 3, nextOffset: index * 10 })
  return head
}

/** Content that follows from the index. */
export function snapshotContent(index: number, length = 10_000): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + index) & 0xff)
}

/** Writes and commits a whole snapshot, in pieces. */
export async function takeSnapshot(store: SnapshotStore, index: number, term = 1): Promise<void> {
  const sink = await store.create(snapshotHead(index, term))
  const content = snapshotContent(index)
  for (let at = 0; at < content.length; at += 3_000) await sink.write(content.subarray(at, at + 3_000))
  await sink.commit()
}

/** All of the content. */
export async function readSnapshot(reader: SnapshotReader): Promise<Uint8Array> {
  const all = new Uint8Array(reader.info.contentBytes)
  for (let at = 0; at < all.length; ) {
    const bytes = await reader.read(at, 4_096)
    all.set(bytes, at)
    at += bytes.length
  }
  return all
}

/** Declares the tests. `makePlace` gives an empty place for each. */
export function testSnapshotStore(runner: ContractRunner, makePlace: () => Promise<ContractSnapshots>): void {
  const { test, expect } = runner

  function indexes(store: SnapshotStore): readonly number[] {
    return store.list().map(info => info.index)
  }

  async function newest(store: SnapshotStore): Promise<SnapshotReader> {
    const reader = await store.openNewest()
    if (reader === null) throw new Error('there is no snapshot')
    return reader
  }

  test('there is none at first', async () => {
    const store = await (await makePlace()).open()
    expect(indexes(store)).toEqual([])
    expect(await store.openNewest()).toBe(null)
  })

  test('what was committed is there, whole, also for the next process', async () => {
    const place = await makePlace()
    const store = await place.open()
    await takeSnapshot(store, 7)
    for (const each of [store, await place.open()]) {
      const reader = await newest(each)
      const { contentBytes, contentChecksum, ...head } = reader.info
      expect(head).toEqual(snapshotHead(7))
      expect(contentBytes).toBe(10_000)
      expect(contentChecksum > 0).toBe(true)
      expect(await readSnapshot(reader)).toEqual(snapshotContent(7))
      expect((await reader.read(9_999, 50)).length).toBe(1)
      expect((await reader.read(10_000, 50)).length).toBe(0)
      await reader.close()
    }
  })

  test('one without content is one', async () => {
    const store = await (await makePlace()).open()
    await (await store.create(snapshotHead(3))).commit()
    const reader = await newest(store)
    expect([reader.info.index, reader.info.contentBytes]).toEqual([3, 0])
    await reader.close()
  })

  test('one that is not finished is never seen', async () => {
    const place = await makePlace()
    const store = await place.open()
    await takeSnapshot(store, 5)
    const unfinished = await store.create(snapshotHead(9))
    await unfinished.write(snapshotContent(9))
    expect(indexes(store)).toEqual([5])
    expect(indexes(await place.open())).toEqual([5])
  })

  test('one that was given up leaves room for another at the same index', async () => {
    const store = await (await makePlace()).open()
    const first = await store.create(snapshotHead(9))
    await first.write(new Uint8Array(500))
    await first.abort()
    await takeSnapshot(store, 9)
    const reader = await newest(store)
    expect(await readSnapshot(reader)).toEqual(snapshotContent(9))
    await reader.close()
  })

  test('two at the same index at once are refused', async () => {
    const store = await (await makePlace()).open()
    const sink = await store.create(snapshotHead(9))
    let code: unknown
    try {
      await store.create(snapshotHead(9))
    } catch (error) {
      code = error instanceof Error && 'code' in error ? error.code : error
    }
    expect(code).toBe('EXISTS')
    await sink.abort()
  })

  test('the newest two by index are retained, in whatever order they come', async () => {
    const place = await makePlace()
    const store = await place.open()
    for (const index of [20, 10, 40, 30]) await takeSnapshot(store, index)
    expect(indexes(store)).toEqual([40, 30])
    expect(indexes(await place.open())).toEqual([40, 30])
  })

  test('an open one can be read to its end although it is removed', async () => {
    const store = await (await makePlace()).open()
    await takeSnapshot(store, 1)
    const reader = await newest(store)
    for (const index of [2, 3, 4]) await takeSnapshot(store, index)
    expect(indexes(store)).toEqual([4, 3])
    expect(await readSnapshot(reader)).toEqual(snapshotContent(1))
    await reader.close()
  })
}
