/** Replicas that have lost their state and not their log: others give it back, and nobody loses a vote. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LogStore, openSegmentedLogStore } from '@millrace/log-store'
import { MemorySnapshotStore } from '@millrace/log-store/memory'
import { expect, onTestFinished, test } from 'vitest'
import { BaseMachine, type Durable, nothingDurable, recall } from './testing/base-machine.ts'
import { damageEntries } from './testing/damaged-files.ts'
import {
  SNAPSHOT_GROUP,
  SnapshotCluster,
  type SnapshotClusterOptions,
  type SnapshotNode,
} from './testing/snapshot-cluster.ts'
import { until } from './testing/until.ts'
import type { Transport } from './transport.ts'

const KEYS = 20
const TRIMMED_TO = 10

/** What is changed on the way; 0: nothing. */
interface Tampered {
  chain: number
  checksum: number
  least: number
}

interface StateCluster {
  readonly c: SnapshotCluster
  readonly machines: ReadonlyMap<number, BaseMachine>
  /** Nodes that are not asked for their state. */
  readonly silent: Set<number>
  readonly tampered: Tampered
  /** Stops a node, and its state is gone when it starts again. */
  lose(node: number): Promise<void>
  /** The same for one that is stopped. */
  forget(node: number): void
  /** Starts a node with what is left of its state. */
  again(node: number): Promise<SnapshotNode>
}

async function clusterOf(options: SnapshotClusterOptions = {}): Promise<StateCluster> {
  const machines = new Map<number, BaseMachine>()
  const durables = new Map<number, Durable>()
  const silent = new Set<number>()
  const tampered: Tampered = { chain: 0, checksum: 0, least: 0 }
  const c: SnapshotCluster = new SnapshotCluster({
    transport: node => disturbed(c.network.transport(node), silent, tampered),
    machine: (inner, id, fsm, store) => {
      const durable = durables.get(id) ?? nothingDurable()
      durables.set(id, durable)
      const machine = new BaseMachine(inner, fsm, store, durable)
      machines.set(id, machine)
      return machine
    },
    ...options,
  })
  onTestFinished(() => c.stop())
  for (const id of [1, 2, 3]) await c.startNode(id)
  for (let key = 0; key < KEYS; key++) await c.set(key, 1_000)
  await c.converged()
  const forget = (node: number): void => void durables.set(node, nothingDurable())
  const lose = async (node: number): Promise<void> => {
    await c.kill(node)
    forget(node)
  }
  const again = async (node: number): Promise<SnapshotNode> =>
    c.startNode(node, fsm => recall(fsm, durables.get(node)!))
  return { c, machines, silent, tampered, lose, forget, again }
}

/** A transport that does not ask some nodes, asks for more, and changes what states are said to be. */
function disturbed(transport: Transport, silent: ReadonlySet<number>, tampered: Tampered): Transport {
  const fetch = transport.fetchState.bind(transport)
  transport.fetchState = (node, request) =>
    silent.has(node)
      ? Promise.reject(new Error(`node ${node} says nothing`))
      : fetch(node, { ...request, least: request.least + tampered.least })
  const offer = transport.offerSnapshot.bind(transport)
  transport.offerSnapshot = (node, offered, events) => {
    const { info } = offered
    const [chain, contentChecksum] = [info.chain ^ tampered.chain, info.contentChecksum ^ tampered.checksum]
    return offer(
      node,
      { ...offered, info: { ...info, chain: chain >>> 0, contentChecksum: contentChecksum >>> 0 } },
      events,
    )
  }
  return transport
}

async function trimAll(c: SnapshotCluster): Promise<void> {
  for (const { handle } of c.up.values()) expect(await handle.trimLog(TRIMMED_TO)).toBe(TRIMMED_TO)
}

async function leadOn(c: SnapshotCluster, node: number): Promise<void> {
  for (;;) {
    const { id, handle } = await c.leader()
    if (id === node) return
    handle.transferLeadership(node)
    await until('somebody else leads', () => !handle.leading || c.at(node).handle.leading)
  }
}

function stateOf(c: SnapshotCluster, node: number): unknown {
  return c.at(node).handle.status().state
}

test('a state that is lost comes from another replica, and the log stays', async () => {
  const { c, machines, lose } = await clusterOf()
  await trimAll(c)
  await lose(3)
  await c.set(KEYS, 100)
  const { fsm, store, handle } = await c.startNode(3)
  expect(stateOf(c, 3)).toMatchObject({ missing: true, least: TRIMMED_TO, restored: 0 })
  await c.converged()
  expect([fsm.keys.length, fsm.restores]).toEqual([KEYS + 1, 1])
  expect(stateOf(c, 3)).toEqual({ missing: false, restored: 1, lastSource: expect.any(Number) })
  expect(machines.get(3)!.restored.every(({ index }) => index > TRIMMED_TO)).toBe(true)
  const [log] = store.groups()
  expect([log!.base.index, handle.status().lastIndex - log!.end.index]).toEqual([TRIMMED_TO, 0])
  expect((await log!.read(TRIMMED_TO + 1, log!.end.index + 1, 1e9))[0]!.header.index).toBe(TRIMMED_TO + 1)
  await c.set(KEYS + 1, 100)
  await c.converged()
})

test('without its state a replica votes and stores, and neither applies nor leads', async () => {
  const { c, silent, lose, forget } = await clusterOf()
  await trimAll(c)
  await leadOn(c, 3)
  await lose(2)
  for (const node of [1, 2, 3]) silent.add(node)
  const lost = await c.startNode(2)
  await c.kill(3)
  forget(3)
  // It has the vote of the one without a state, and whatever it commits is stored there.
  expect((await c.leader()).id).toBe(1)
  await c.set(KEYS, 100)
  const { lastIndex } = c.at(1).handle.status()
  expect(lost.handle.status()).toMatchObject({ lastIndex, applied: TRIMMED_TO, state: { missing: true } })
  expect([lost.fsm.keys, lost.handle.leading]).toEqual([[], false])
  silent.clear()
  await c.startNode(3)
  await c.converged()
  expect(lost.fsm.keys).toHaveLength(KEYS + 1)
  await leadOn(c, 2)
  await c.set(KEYS + 1, 100)
  await c.converged()
})

test('two of three that have lost their states, and the third with its log behind theirs, find back together', async () => {
  const { c, lose, silent } = await clusterOf()
  await trimAll(c)
  for (const node of [1, 2, 3]) silent.add(node)
  await leadOn(c, 2)
  c.network.isolate(1)
  for (let key = 0; key < 3; key++) await c.set(KEYS + key, 100)
  for (const node of [2, 3]) await lose(node)
  for (const node of [2, 3]) await c.startNode(node)
  const [behind, ...ahead] = [1, 2, 3].map(node => c.at(node).handle.status().lastIndex)
  expect(ahead).toEqual([behind! + 3, behind! + 3])
  c.network.heal()
  silent.clear()
  await c.converged()
  expect(c.at(1).fsm.keys).toHaveLength(KEYS + 3)
})

test('a transfer of a state that breaks goes on where it was', async () => {
  const { c, lose, silent } = await clusterOf({
    snapshots: { snapshotChunkBytes: 2_000, snapshotBytesPerSecondMax: 40_000 },
  })
  await trimAll(c)
  await leadOn(c, 1)
  await lose(3)
  silent.add(2)
  const { handle, node } = await c.startNode(3)
  await until('a part is there', () => (handle.status().receiving?.bytes ?? 0) >= 6_000)
  expect(c.network.breakSnapshots(1, 3) + c.network.breakSnapshots(2, 3)).toBe(1)
  const bytesTotal = handle.status().receiving!.bytesTotal
  await c.converged()
  const { stateBytesFetched, statesFetched } = node.repairs()
  expect(statesFetched).toBe(1)
  // Whatever was under way may have to come again, and not what was there.
  expect(stateBytesFetched - bytesTotal).toBeLessThan(5 * 2_000)
})

test('a state that contradicts the log here is not taken', async () => {
  const { c, lose, tampered } = await clusterOf()
  await trimAll(c)
  await lose(3)
  tampered.chain = 1
  const { handle, fsm, events } = await c.startNode(3)
  await until('it was offered', () =>
    events.some(({ message }) => /was not taken: it ends in another entry/.test(message)),
  )
  expect([handle.status().state, fsm.restores]).toMatchObject([{ missing: true, restored: 0 }, 0])
  tampered.chain = 0
  await c.converged()
  expect(stateOf(c, 3)).toMatchObject({ missing: false, restored: 1 })
})

test('a state whose content is not what was announced is not taken', async () => {
  const { c, lose, tampered } = await clusterOf()
  await trimAll(c)
  await lose(3)
  tampered.checksum = 1
  const { handle, fsm } = await c.startNode(3)
  const warned = (node: number): boolean =>
    c
      .at(node)
      .events.some(({ message }) => /was not sent: refused: content of the snapshot does not match/.test(message))
  await until('both have sent it', () => warned(1) && warned(2))
  expect([handle.status().state, fsm.restores]).toMatchObject([{ missing: true, restored: 0 }, 0])
  tampered.checksum = 0
  await c.converged()
})

test('a state that ends before the log here begins is of no use, and is said to be', async () => {
  const { c, lose, tampered } = await clusterOf()
  await trimAll(c)
  await lose(3)
  tampered.least = 1_000
  const { handle, events } = await c.startNode(3)
  await until('both were asked', () => [1, 2].every(node => events.some(({ message }) => message === behind(node))))
  expect(handle.status().state).toMatchObject({ missing: true, least: TRIMMED_TO })
  tampered.least = 0
  await c.converged()
})

const behind = (node: number): string => `the state of node ${node} does not hold entry ${TRIMMED_TO} either`

test('where the log goes back to the birth, the state is made of it, and nobody is asked', async () => {
  const { c, machines, lose, silent } = await clusterOf()
  for (const node of [1, 2, 3]) silent.add(node)
  await lose(3)
  const { fsm } = await c.startNode(3)
  await c.converged()
  expect([fsm.commands, machines.get(3)!.restored, stateOf(c, 3)]).toEqual([KEYS, [], undefined])
})

test('a state machine whose checkpoint is its snapshot gets one of another replica where all of its own are gone', async () => {
  let isLost = false
  const kept = Array.from({ length: 4 }, () => new MemorySnapshotStore())
  const { c } = await clusterOf({
    snapshots: { trailingEntriesMax: 2 },
    machine: machine => machine,
    openSnapshots: async id => (id === 3 && isLost ? new MemorySnapshotStore() : kept[id]!),
  })
  for (const { handle } of c.up.values()) await handle.takeSnapshot()
  await until('logs are trimmed', () => [...c.up.values()].every(({ store }) => store.groups()[0]!.base.index > 1))
  await c.kill(3)
  isLost = true
  await c.set(KEYS, 100)
  const { fsm, snapshotStore } = await c.startNode(3)
  await c.converged()
  expect([fsm.restores, stateOf(c, 3)]).toEqual([1, { missing: false, restored: 1, lastSource: expect.any(Number) }])
  expect(snapshotStore.list()).toHaveLength(1)
})

test('entries that all others have trimmed are passed over with the state of one that is past them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-raft-node-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const dirOf = (node: number): string => join(folder, `node-${node}`)
  const { c, lose, machines } = await clusterOf({ openStore: node => openStore(dirOf(node)) })
  // A round of its own, which proves that those before it were durable.
  await c.set(KEYS, 100)
  await c.converged()
  await lose(3)
  await damageEntries(dirOf(3), SNAPSHOT_GROUP, [8, 9])
  await trimAll(c)
  const { handle, fsm, store } = await c.startNode(3)
  await c.converged()
  expect(machines.get(3)!.restored).toHaveLength(1)
  expect(stateOf(c, 3)).toMatchObject({ missing: false, restored: 1 })
  expect([fsm.restores, handle.status().damage?.holes[0]?.first]).toEqual([1, 8])
  await expect(store.groups()[0]!.read(8, 10, 1)).rejects.toMatchObject({ code: 'DAMAGED' })
  await c.set(KEYS + 1, 100)
  await c.converged()
})

test('a hole that all replicas have is passed over where one of them is past it, and its entries are refused for good', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-raft-node-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const dirOf = (node: number): string => join(folder, `node-${node}`)
  const { c, forget, again, machines } = await clusterOf({ openStore: node => openStore(dirOf(node)) })
  await c.set(KEYS, 100)
  await c.converged()
  for (const node of [1, 2, 3]) {
    await machines.get(node)!.checkpoint()
    await c.kill(node)
    await damageEntries(dirOf(node), SNAPSHOT_GROUP, [8])
  }
  for (const node of [2, 3]) forget(node)
  for (const node of [1, 2, 3]) await again(node)
  await c.converged()
  for (const node of [2, 3]) expect(stateOf(c, node)).toMatchObject({ missing: false, restored: 1 })
  expect(stateOf(c, 1)).toBeUndefined()
  await c.set(KEYS + 1, 100)
  await c.converged()
  for (const { fsm, handle, store } of c.up.values()) {
    expect(fsm.keys).toHaveLength(KEYS + 2)
    const { last } = store.groups()[0]!.holes[0]!
    await expect(store.groups()[0]!.read(8, 9, 1)).rejects.toMatchObject({ code: 'DAMAGED' })
    const after = await store.groups()[0]!.read(last.index + 1, handle.status().lastIndex + 1, 1e9)
    expect(after[0]!.header.index).toBe(last.index + 1)
  }
})

function openStore(dir: string): Promise<LogStore> {
  const onFatal = (error: Error): void => {
    throw error
  }
  const onProblem = (): void => undefined
  return openSegmentedLogStore({ dir, onFatal, onProblem, diskReserveBytes: 0, tailCacheBytesMax: 1 })
}
