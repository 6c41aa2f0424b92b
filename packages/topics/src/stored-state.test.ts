/** What a replica's state begins with: its checkpoint, a snapshot in its place, the log alone, or nothing at all. */
import type { GroupLog, SnapshotStore } from '@millrace/log-store'
import { MemoryLogStore, MemorySnapshotStore } from '@millrace/log-store/memory'
import { snapshotHead, testBase } from '@millrace/log-store/testing'
import type { NodeEvent } from '@millrace/raft-node'
import { beforeEach, expect, test, vi } from 'vitest'
import { MemoryStateStore } from './memory-state-store.ts'
import { encodeStateSnapshot } from './state-snapshot.ts'
import type { StateEntry, StoredState } from './state-store.ts'
import { StateStoreError } from './state-store.ts'
import { loadState } from './stored-state.ts'

const GROUP = 5

let stateStore: MemoryStateStore
let snapshots: MemorySnapshotStore
let events: NodeEvent[]
beforeEach(() => {
  stateStore = new MemoryStateStore()
  snapshots = new MemorySnapshotStore()
  events = []
})

/** A state that follows from the index. */
const entriesAt = (index: number): StateEntry[] => [{ key: Buffer.from('S'), value: Buffer.from(`state at ${index}`) }]

async function checkpointAt(index: number): Promise<void> {
  await stateStore.commit(GROUP, { applied: { index, term: 1 }, full: true, puts: entriesAt(index), deletes: [] })
  await stateStore.flush()
}

/** @param base of the log, below `index` where the state was ahead of it */
async function snapshotAt(index: number, base = index): Promise<void> {
  const sink = await snapshots.create(snapshotHead(base))
  for await (const piece of encodeStateSnapshot({ index, term: 1 }, entriesAt(index))) await sink.write(piece)
  await sink.commit()
}

function damageCheckpoint(): void {
  vi.spyOn(stateStore, 'load').mockImplementationOnce(() => {
    throw new StateStoreError('CORRUPT', GROUP, 'a value does not match its checksum')
  })
}

async function logFrom(index: number): Promise<GroupLog> {
  return new MemoryLogStore().create(GROUP, { replicaId: 1, base: testBase({ index }) })
}

const shown = (state: StoredState | undefined): unknown =>
  state && [state.applied.index, state.entries.map(({ value }) => Buffer.from(value).toString())]

/** Where the state is that a replica over a log from `base` begins with: as durable as if it had always been there. */
async function loaded(base: number, store: SnapshotStore = snapshots): Promise<number | undefined> {
  const stores = { stateStore, log: (event: NodeEvent) => void events.push(event) }
  const state = await loadState(stores, store, await logFrom(base))
  if (state === undefined) return undefined
  const { index } = state.applied
  for (const found of [state, stateStore.crash(0).load(GROUP)])
    expect(shown(found)).toEqual([index, [`state at ${index}`]])
  return index
}

test('a checkpoint that the log goes on from is it, whatever snapshots there are', async () => {
  await checkpointAt(20)
  await snapshotAt(30)
  expect([await loaded(20), await loaded(10), events]).toEqual([20, 20, []])
})

test('there is none at the birth of a group', async () => {
  expect([await loaded(1), events]).toEqual([undefined, []])
})

test('a damaged checkpoint is dropped where the log goes back to the birth', async () => {
  await checkpointAt(20)
  damageCheckpoint()
  expect([await loaded(1), stateStore.load(GROUP)]).toEqual([undefined, undefined])
  expect(events).toMatchObject([
    { level: 'warn', group: GROUP, message: expect.stringContaining('replayed from its start') },
  ])
})

test.each([
  ['is gone', async () => undefined, 'there is no checkpoint that the log, which begins after 30, goes on from'],
  [
    'is older than the log',
    () => checkpointAt(20),
    'there is no checkpoint that the log, which begins after 30, goes on from',
  ],
  [
    'is damaged',
    async () => {
      await checkpointAt(35)
      damageCheckpoint()
    },
    'a value does not match its checksum',
  ],
])('the newest snapshot takes the place of a checkpoint that %s, durably', async (_, arrange, reason) => {
  await arrange()
  await snapshotAt(25)
  await snapshotAt(40, 30)
  expect(await loaded(30)).toBe(40)
  const [event] = events
  expect(event?.message).toContain(reason)
  expect(event?.message).toContain('the snapshot at index 40 takes its place')
})

test('a snapshot that ends before the log begins takes the place of nothing: the state is lost here', async () => {
  await snapshotAt(25)
  expect(await loaded(30)).toBe(undefined)
  await checkpointAt(28)
  expect(await loaded(30)).toBe(undefined)
  await checkpointAt(35)
  damageCheckpoint()
  expect(await loaded(30)).toBe(undefined)
  // It is as it was: somebody may still want to look at it.
  expect(stateStore.load(GROUP)?.applied.index).toBe(35)
  const lost = { level: 'error', group: GROUP, message: expect.stringContaining('the state is lost here') }
  expect(events).toMatchObject([lost, lost, lost])
  expect(events.at(-1)?.message).toContain('a value does not match its checksum')
})
