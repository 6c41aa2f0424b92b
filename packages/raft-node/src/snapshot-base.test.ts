/** State machines whose log is the data: a snapshot is of the log's base, and may hold a later state. */
import { expect, onTestFinished, test } from 'vitest'
import { BIRTH_INDEX } from './birth-record.ts'
import type { SnapshotOptions } from './snapshot-options.ts'
import { BaseMachine, nothingDurable } from './testing/base-machine.ts'
import { SnapshotCluster } from './testing/snapshot-cluster.ts'
import { until } from './testing/until.ts'

async function baseCluster(
  joining: readonly number[] = [],
  snapshots: SnapshotOptions = {},
): Promise<{ c: SnapshotCluster; machines: Map<number, BaseMachine> }> {
  const machines = new Map<number, BaseMachine>()
  const c = new SnapshotCluster({
    ...{ joining, snapshots },
    machine: (inner, id, fsm, store) => {
      const machine = new BaseMachine(inner, fsm, store, nothingDurable())
      machines.set(id, machine)
      return machine
    },
  })
  onTestFinished(() => c.stop())
  for (const id of [1, 2]) await c.startNode(id)
  return { c, machines }
}

test('a late follower gets the state as it is and the log from its base on, and applies none of it twice', async () => {
  const { c, machines } = await baseCluster()
  for (let key = 0; key < 20; key++) await c.set(key, 1_000)
  const leader = await c.leader()
  const { applied } = leader.handle.status()
  expect(await leader.handle.trimLog(10)).toBe(10)
  expect(leader.snapshotStore.list()).toEqual([])
  const late = await c.startNode(3)
  await c.converged()
  expect(machines.get(3)!.restored.map(info => info.index)).toEqual([10])
  expect([late.fsm.commands, late.fsm.keys.length]).toEqual([0, 20])
  const [log] = late.store.groups()
  expect([log!.base.index, log!.end.index]).toEqual([10, applied])
  expect((await log!.read(11, applied + 1, 1e9)).length).toBe(applied - 10)
  await c.set(20, 10)
  await c.converged()
  expect([late.fsm.commands, late.fsm.keys.length]).toEqual([1, 21])
})

test('a snapshot of the base is made when a follower needs it, of the base as it is then', async () => {
  const { c } = await baseCluster()
  for (let key = 0; key < 10; key++) await c.set(key, 100)
  const leader = await c.leader()
  for (const index of [4, 6]) await leader.handle.trimLog(index)
  await c.startNode(3)
  await c.converged()
  expect(leader.snapshotStore.list().map(info => info.index)).toEqual([6])
  await until('the sender knows', () => leader.node.snapshots().sending === 0)
  expect(leader.node.snapshots().sent).toBe(1)
})

test('a log is not trimmed beyond what is applied, and a state without thresholds takes no snapshot by itself', async () => {
  const { c } = await baseCluster()
  for (let key = 0; key < 5; key++) await c.set(key, 100)
  await c.converged()
  const leader = await c.leader()
  const { applied } = leader.handle.status()
  expect(await leader.handle.trimLog(1_000)).toBe(applied)
  await expect(leader.handle.takeSnapshot()).rejects.toThrow('group 7 takes no snapshots')
})

test('a replica that joins begins with the birth of the group: an empty state, and all of the log', async () => {
  const { c, machines } = await baseCluster([3])
  for (let key = 0; key < 5; key++) await c.set(key, 100)
  const late = await c.startNode(3)
  await c.converged()
  expect(machines.get(3)!.restored).toMatchObject([{ index: BIRTH_INDEX, contentBytes: 0 }])
  expect([late.fsm.commands, late.store.groups()[0]!.base.index]).toEqual([5, BIRTH_INDEX])
  expect(late.handle.status().configuration.voters).toHaveLength(3)
})

test('a transfer is cut three times while its log is trimmed all the time: one snapshot is enough', async () => {
  const chunkBytes = 64 * 1024
  const { c, machines } = await baseCluster([], {
    ...{ snapshotChunkBytes: chunkBytes, snapshotBytesPerSecondMax: 8 * 1024 * 1024, snapshotPinMs: 30_000 },
  })
  for (let key = 0; key < 16; key++) await c.set(key, 256 * 1024)
  const leader = await c.leader()
  const { handle } = leader
  const pinned = await handle.trimLog(10)
  let loading = true
  const load = async (): Promise<void> => {
    for (let key = 0; loading; key++) {
      await c.set(100 + (key % 20), 100)
      await handle.trimLog(handle.status().applied - 5)
    }
  }
  const loaded = load()
  const late = await c.startNode(3)
  const sent = (): number => handle.status().followers.find(({ node }) => node === 3)?.snapshot?.bytes ?? 0
  let needed = 0
  for (const chunks of [10, 25, 40]) {
    await until(`${chunks} chunks are there`, () => sent() >= chunks * chunkBytes)
    needed = handle.log.base.index
    expect(c.network.breakSnapshots(leader.id, 3)).toBe(1)
  }
  await until('it is installed', () => late.fsm.keys.length > 0)
  // Trims that were asked for meanwhile went no further than what follows the snapshot.
  expect(needed).toBeGreaterThanOrEqual(pinned)
  await until('the log is trimmed again', () => handle.log.base.index > needed)
  loading = false
  await loaded
  await c.converged()
  expect(machines.get(3)!.restored.map(({ index }) => index)).toEqual([needed])
  await until('the sender knows', () => leader.node.snapshots().sending === 0)
  expect(leader.node.snapshots()).toMatchObject({ sent: 1, waiting: 0 })
  // Each break costs at most the chunks that had no answer, and one that was being written.
  const { contentBytes } = leader.snapshotStore.list()[0]!
  expect(leader.node.snapshots().bytesSent).toBeLessThanOrEqual(contentBytes + 3 * 5 * chunkBytes)
})

test('a trim that is under way when a snapshot is asked for is waited for: what is sent is what the log goes on from', async () => {
  const { c, machines } = await baseCluster()
  for (let key = 0; key < 20; key++) await c.set(key, 1_000)
  const leader = await c.leader()
  expect(await leader.handle.trimLog(5)).toBe(5)
  const { log } = leader.handle
  const trimPrefix = log.trimPrefix.bind(log)
  let goOn: () => void = () => undefined
  const gate = new Promise<void>(resolve => {
    goOn = resolve
  })
  log.trimPrefix = async base => {
    await gate
    await trimPrefix(base)
  }
  const trimming = leader.handle.trimLog(10)
  await c.startNode(3)
  await until('a snapshot is asked for', () => leader.node.snapshots().sending === 1)
  goOn()
  expect(await trimming).toBe(10)
  await c.converged()
  expect(machines.get(3)!.restored.map(({ index }) => index)).toEqual([10])
  await until('the sender knows', () => leader.node.snapshots().sending === 0)
  expect(leader.node.snapshots().sent).toBe(1)
})
