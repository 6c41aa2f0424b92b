/**
 * A loss of power, or a death, at any operation of a replica that is behind: from the start of its process over the snapshot
 * that it is sent to the log that follows. The next process finds the old replica or the new one, and catches up.
 */
import type { LogStore, SnapshotStores } from '@millrace/log-store'
import { openSnapshotFolder } from '@millrace/log-store'
import { MemoryLogStore, MemorySnapshotStores } from '@millrace/log-store/memory'
import { FaultDisk, ManualClock, openOn, seededRandom } from '@millrace/log-store/testing'
import { birthGroup, createNode, type GroupHandle, type RaftNode, type Transport } from '@millrace/raft-node'
import { createMemoryNetwork, type MemoryNetwork } from '@millrace/raft-node/memory'
import { until } from '@millrace/raft-node/testing'
import { FrameCodec, FrameKind } from '@millrace/record'
import { afterEach, expect, test } from 'vitest'
import { MemoryStateStore } from './memory-state-store.ts'
import { PartitionMachine } from './partition-machine.ts'
import { loadState } from './stored-state.ts'

const GROUP = 5
const TIMING = { heartbeatMs: 10, electionTimeoutMinMs: 60 }

interface Place {
  readonly logStore: LogStore
  readonly stateStore: MemoryStateStore
  readonly snapshots: SnapshotStores
}

interface TestNode extends Place {
  readonly node: RaftNode
  readonly machine: PartitionMachine
  readonly handle: GroupHandle
}

/** What three nodes have on their disks before the one that is behind comes back. */
interface Before {
  readonly others: readonly { readonly logStore: MemoryLogStore; readonly stateStore: MemoryStateStore }[]
  readonly disk: FaultDisk
  readonly stateStore: MemoryStateStore
  /** Of the log of the node that is behind, and of the logs of the others. */
  readonly oldApplied: number
  readonly newBase: number
}

let running: RaftNode[] = []
afterEach(async () => {
  await Promise.all(running.map(node => node.shutdown()))
  running = []
})

async function openPlace(disk: FaultDisk, stateStore: MemoryStateStore): Promise<Place> {
  const logStore = await openOn(disk, { onFatal: () => undefined })
  const snapshots = await openSnapshotFolder({ dir: 'snapshots', disk, clock: new ManualClock() })
  return { logStore, stateStore, snapshots }
}

/** The state as a process finds it, over what the log says. */
async function openMachine({ logStore, stateStore, snapshots }: Place): Promise<PartitionMachine> {
  const log = logStore.groups().find(({ group }) => group === GROUP)
  if (log === undefined) throw new Error(`refused: ${logStore.refused()[0]?.reason.message}`)
  const snapshotStore = await snapshots.open(GROUP)
  const stored = await loadState({ stateStore, log: () => undefined }, snapshotStore, log)
  return new PartitionMachine({ group: GROUP, stateStore, stored, base: log.base, snapshotStore })
}

async function start(transport: Transport, nodeId: number, place: Place): Promise<TestNode> {
  const snapshots = { snapshotChunkBytes: 200 }
  const node = await createNode({ nodeId, logStore: place.logStore, transport, timing: TIMING, snapshots })
  running.push(node)
  const machine = await openMachine(place)
  return { ...place, node, machine, handle: await node.open(GROUP, machine) }
}

async function propose(nodes: readonly TestNode[], from: number, to: number): Promise<void> {
  await until('one leads', () => nodes.some(({ handle }) => handle.leading))
  const { handle, machine } = nodes.find(each => each.handle.leading)!
  for (let step = from; step < to; step++) {
    const producerId = new Uint8Array(16).fill(step + 1)
    const body = {
      kind: FrameKind.records,
      codec: FrameCodec.none,
      recordCount: 1,
      producerEpoch: 0,
      sequence: 0,
    } as const
    handle.propose({ ...body, producerId, payload: new Uint8Array(50).fill(step) }, { applied() {}, failed() {} })
  }
  await until('all is applied', () => nodes.every(each => each.machine.nextOffset === to && machine.nextOffset === to))
}

async function stop(nodes: readonly TestNode[]): Promise<void> {
  for (const { node } of nodes) await node.shutdown()
  running = running.filter(node => nodes.every(each => each.node !== node))
}

async function prepare(): Promise<Before> {
  const network = createMemoryNetwork()
  const disk = new FaultDisk(seededRandom(7))
  const founding = { clusterId: 'c', group: GROUP, nodes: [1, 2, 3] }
  const memory = () => ({ logStore: new MemoryLogStore(), stateStore: new MemoryStateStore() })
  const places: Place[] = [1, 2].map(() => ({ ...memory(), snapshots: new MemorySnapshotStores() }))
  places.push(await openPlace(disk, new MemoryStateStore()))
  for (const [i, { logStore }] of places.entries()) await birthGroup(logStore, { ...founding, nodeId: i + 1 })
  const nodes = await Promise.all(places.map((place, i) => start(network.transport(i + 1), i + 1, place)))
  await propose(nodes, 0, 8)
  const third = nodes[2]!
  await until('the third knows it', () => third.handle.log.end.index === third.machine.applied.index)
  await stop([third])
  await third.logStore.close()
  const others = nodes.slice(0, 2)
  await propose(others, 8, 30)
  const newBase = Math.min(...others.map(({ machine }) => machine.applied.index)) - 4
  for (const { handle } of others) expect(await handle.trimLog(newBase)).toBe(newBase)
  await stop(others)
  return {
    others: others.map(({ logStore, stateStore }) => ({ logStore: logStore as MemoryLogStore, stateStore })),
    ...{ disk, stateStore: third.stateStore, oldApplied: third.machine.applied.index, newBase },
  }
}

/** The others as they were, under way again, in a network of their own. */
async function startOthers({ others }: Before): Promise<{ network: MemoryNetwork; nodes: readonly TestNode[] }> {
  const network = createMemoryNetwork()
  const nodes = others.map(({ logStore, stateStore }, i) => {
    const snapshots = new MemorySnapshotStores()
    return start(network.transport(i + 1), i + 1, {
      logStore: logStore.reopen(),
      stateStore: stateStore.crash(0),
      snapshots,
    })
  })
  return { network, nodes: await Promise.all(nodes) }
}

/** The third has everything that the others have, and its log goes on from the snapshot. */
async function caughtUp(third: TestNode, others: readonly TestNode[], newBase: number): Promise<void> {
  const { log } = third.handle
  const isThere = () =>
    log.base.index >= newBase &&
    others.every(({ handle, machine }) => handle.log.end.index === log.durable.index && same(machine, third.machine))
  await until('the third has caught up', isThere)
}

function same(a: PartitionMachine, b: PartitionMachine): boolean {
  return a.applied.index === b.applied.index && a.stateHash() === b.stateHash()
}

/** Lets the third come back, and stops its disk at an operation. @returns operations until it had caught up */
async function comeBack(before: Before, crashAt: number, losesPower: boolean): Promise<number> {
  const disk = before.disk.clone()
  const stateStore = before.stateStore.crash(0)
  disk.faults.crashAt = crashAt
  const { network, nodes } = await startOthers(before)
  let third: TestNode | undefined
  let done = false
  const transport = network.transport(3)
  const coming = (async () => {
    third = await start(transport, 3, await openPlace(disk, stateStore))
    await caughtUp(third, nodes, before.newBase)
    done = true
  })()
  // Where the disk has stopped nothing comes of it any more.
  coming.catch(() => undefined)
  await until('it has caught up, or its disk has stopped', () => done || disk.stopped)
  if (!disk.stopped) {
    await stop([...nodes, third!])
    return disk.operations
  }
  await transport.close()
  // It waits for a disk that answers nothing any more.
  for (const zombie of running.filter(({ nodeId }) => nodeId === 3)) void zombie.shutdown()
  running = running.filter(({ nodeId }) => nodeId !== 3)
  const survivor = losesPower ? disk.losePower() : disk.kill()
  const kept = losesPower ? 0 : stateStore.unflushed
  const place = await openPlace(survivor, stateStore.crash(kept))
  const { base, end } = place.logStore.groups()[0]!
  // Of itself, without the snapshot that would take its place.
  expect(place.stateStore.load(GROUP)!.applied.index).toBeGreaterThanOrEqual(base.index)
  const found = await openMachine(place)
  // The old log with the old state or the one of the snapshot; the new log with the latter only.
  if (base.index !== 1) expect([base.index, found.applied.index >= base.index]).toEqual([before.newBase, true])
  else expect(end.index).toBe(before.oldApplied)
  if (found.applied.index !== before.oldApplied) expect(found.applied.index).toBeGreaterThanOrEqual(before.newBase)
  const next = await start(network.transport(3), 3, place)
  await caughtUp(next, nodes, before.newBase)
  await stop([...nodes, next])
  return disk.operations
}

test.each([
  ['loses its power', true],
  ['is killed', false],
])(
  'a node that %s at any operation has the old replica or the new one',
  { timeout: 120_000 },
  async (_, losesPower) => {
    const before = await prepare()
    const operations = await comeBack(before, Number.POSITIVE_INFINITY, losesPower)
    expect(operations).toBeGreaterThan(30)
    for (let at = 1; at <= operations; at++) await comeBack(before, at, losesPower)
  },
)

/** All three have everything and have trimmed their logs; the state store of the third is gone. */
async function prepareLoss(): Promise<Before & { readonly end: number }> {
  const network = createMemoryNetwork()
  const disk = new FaultDisk(seededRandom(11))
  const founding = { clusterId: 'c', group: GROUP, nodes: [1, 2, 3] }
  const memory = () => ({ logStore: new MemoryLogStore(), stateStore: new MemoryStateStore() })
  const places: Place[] = [1, 2].map(() => ({ ...memory(), snapshots: new MemorySnapshotStores() }))
  places.push(await openPlace(disk, new MemoryStateStore()))
  for (const [i, { logStore }] of places.entries()) await birthGroup(logStore, { ...founding, nodeId: i + 1 })
  const nodes = await Promise.all(places.map((place, i) => start(network.transport(i + 1), i + 1, place)))
  await propose(nodes, 0, 20)
  const third = nodes[2]!
  await until('the third knows it', () => third.handle.log.durable.index === third.machine.applied.index)
  const newBase = Math.min(...nodes.map(({ machine }) => machine.applied.index)) - 8
  for (const { handle } of nodes) expect(await handle.trimLog(newBase)).toBe(newBase)
  const end = third.handle.log.durable.index
  await stop(nodes)
  await third.logStore.close()
  return {
    others: nodes.slice(0, 2).map(each => ({ ...each, logStore: each.logStore as MemoryLogStore })),
    ...{ disk, stateStore: new MemoryStateStore(), oldApplied: 0, newBase, end },
  }
}

/** Lets the third come back without its state, and stops its disk at an operation. @returns operations until it was whole */
async function comeBackWithout(before: Awaited<ReturnType<typeof prepareLoss>>, crashAt: number): Promise<number> {
  const disk = before.disk.clone()
  disk.faults.crashAt = crashAt
  const stateStore = new MemoryStateStore()
  const { network, nodes } = await startOthers(before)
  const transport = network.transport(3)
  let third: TestNode | undefined
  let done = false
  const coming = (async () => {
    third = await start(transport, 3, await openPlace(disk, stateStore))
    await caughtUp(third, nodes, before.newBase)
    done = true
  })()
  coming.catch(() => undefined)
  await until('it has caught up, or its disk has stopped', () => done || disk.stopped)
  if (!disk.stopped) {
    expect(third!.node.repairs().statesFetched).toBe(1)
    await stop([...nodes, third!])
    return disk.operations
  }
  await transport.close()
  for (const zombie of running.filter(({ nodeId }) => nodeId === 3)) void zombie.shutdown()
  running = running.filter(({ nodeId }) => nodeId !== 3)
  const place = await openPlace(disk.losePower(), stateStore.crash(0))
  const { base, end } = place.logStore.groups()[0]!
  // The log is what it was: nothing is trimmed, thrown away or forgotten for a state.
  expect([base.index, end.index >= before.end]).toEqual([before.newBase, true])
  const found = place.stateStore.load(GROUP)
  // None, or a whole one that the log goes on from.
  if (found !== undefined) expect(found.applied.index).toBeGreaterThanOrEqual(base.index)
  const next = await start(network.transport(3), 3, place)
  await caughtUp(next, nodes, before.newBase)
  expect(next.node.repairs().statesFetched).toBe(found === undefined ? 1 : 0)
  await stop([...nodes, next])
  return disk.operations
}

test('a node that loses its power at any operation while a lost state comes has its log, and none or a whole state', {
  timeout: 120_000,
}, async () => {
  const before = await prepareLoss()
  const operations = await comeBackWithout(before, Number.POSITIVE_INFINITY)
  expect(operations).toBeGreaterThan(10)
  for (let at = 1; at <= operations; at++) await comeBackWithout(before, at)
})
