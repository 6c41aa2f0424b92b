import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LogStore, openSegmentedLogStore } from '@millrace/log-store'
import { MemoryLogStore } from '@millrace/log-store/memory'
import { afterEach, expect, test } from 'vitest'
import { applyCommand } from './apply-command.ts'
import { GroupBootstrap } from './group-bootstrap.ts'
import { joinGroup } from './group-founding.ts'
import type { GroupHandle } from './group-handle.ts'
import { GroupMembers } from './group-members.ts'
import { createGrpcTransport } from './grpc/grpc-transport.ts'
import { createMemoryNetwork } from './memory-network.ts'
import type { Clock, RaftNode } from './node.ts'
import { createNode } from './raft-host.ts'
import { freePorts } from './testing/free-ports.ts'
import { ListMachine } from './testing/list-machine.ts'
import { FAST } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'
import type { Transport } from './transport.ts'

const GROUP = 5
const FOUNDING = { clusterId: 'c', group: GROUP, nodes: [1, 2, 3] }
const cleanup: (() => Promise<unknown>)[] = []
let network = createMemoryNetwork()

afterEach(async () => {
  for (const run of cleanup.splice(0).reverse()) await run()
  network = createMemoryNetwork()
})

async function start(nodeId: number, logStore: LogStore, transport?: Transport): Promise<RaftNode> {
  const node = await createNode({ nodeId, logStore, transport: transport ?? network.transport(nodeId), timing: FAST })
  cleanup.push(() => node.shutdown())
  return node
}

const write = (handle: GroupHandle): Promise<unknown> => applyCommand(handle, new TextEncoder().encode('a'))

/** Founds the group on three nodes, opens it and writes. */
async function founded(): Promise<{ nodes: RaftNode[]; stores: MemoryLogStore[]; handles: GroupHandle[] }> {
  const stores = [1, 2, 3].map(() => new MemoryLogStore())
  const nodes = await Promise.all(stores.map((store, i) => start(i + 1, store)))
  await Promise.all(nodes.map(node => node.bootstrap(FOUNDING)))
  const handles = await Promise.all(nodes.map(node => node.open(GROUP, new ListMachine())))
  await until('it works', () => handles.some(handle => handle.leading))
  await write(handles.find(handle => handle.leading)!)
  return { nodes, stores, handles }
}

test('all founding nodes together found a group, whoever comes when', async () => {
  const stores = [1, 2, 3].map(() => new MemoryLogStore())
  const first = await start(1, stores[0]!)
  let done = 0
  const foundings = [first.bootstrap(FOUNDING).then(() => done++)]
  const second = await start(2, stores[1]!)
  foundings.push(second.bootstrap(FOUNDING).then(() => done++))
  await until('two wait', () => first.isConnected(2))
  await new Promise(resolve => setTimeout(resolve, 150))
  expect([done, stores[0]!.groups(), stores[1]!.groups()]).toEqual([0, [], []])
  const third = await start(3, stores[2]!)
  foundings.push(third.bootstrap(FOUNDING).then(() => done++))
  await Promise.all(foundings)
  const handles = await Promise.all([first, second, third].map(node => node.open(GROUP, new ListMachine())))
  await until('it works', () => handles.some(handle => handle.leading))
  await write(handles.find(handle => handle.leading)!)
})

test('an interrupted founding is finished', async () => {
  const stores = [1, 2, 3].map(() => new MemoryLogStore())
  const nodes = await Promise.all(stores.map((store, i) => start(i + 1, store)))
  const { birthGroup } = await import('./group-founding.ts')
  // As if node 2 had been stopped after its birth.
  await birthGroup(stores[1]!, { ...FOUNDING, nodeId: 2 })
  await Promise.all(nodes.map(node => node.bootstrap(FOUNDING)))
  expect(stores.map(store => store.groups()[0]?.recovered.replicaId)).toEqual([1, 2, 3])
})

test('a new cluster is refused over existing data', async () => {
  const { nodes, stores } = await founded()
  const before = stores[0]!.groups()[0]!.end
  for (const founding of [FOUNDING, { ...FOUNDING, clusterId: 'other' }, { ...FOUNDING, nodes: [1] }]) {
    await expect(nodes[0]!.bootstrap(founding)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      outcome: 'not_stored',
    })
  }
  expect(stores[0]!.groups()[0]!.end).toEqual(before)
  // Also after a restart, when nothing is open.
  await nodes[0]!.shutdown()
  const again = await start(1, stores[0]!.reopen())
  await expect(again.bootstrap(FOUNDING)).rejects.toMatchObject({ message: expect.stringContaining('has it already') })
})

test('a node with an empty disk never re-creates a group that its peers know, even if it starts first', async () => {
  const { nodes, stores } = await founded()
  for (const node of nodes) await node.shutdown()
  const empty = new MemoryLogStore()
  const wiped = await start(1, empty)
  const refused = expect(wiped.bootstrap(FOUNDING)).rejects.toMatchObject({
    ...{ code: 'INVALID_ARGUMENT', message: expect.stringContaining('has it already') },
  })
  await new Promise(resolve => setTimeout(resolve, 150))
  expect(empty.groups()).toEqual([])
  await start(2, stores[1]!.reopen())
  await refused
  expect(empty.groups()).toEqual([])
  // With nobody to ask, nothing is founded either.
  await expect(wiped.bootstrap({ ...FOUNDING, nodes: [1, 4] }, { timeoutMs: 50 })).rejects.toMatchObject({
    ...{ message: expect.stringContaining('nodes 4 were not there') },
  })
  expect(empty.groups()).toEqual([])
})

test('whoever waits says for whom, and stops when told to', async () => {
  const first = await start(1, new MemoryLogStore())
  const second = await start(2, new MemoryLogStore())
  const heard: (readonly number[])[] = []
  const stop = new AbortController()
  const waiting = (nodes: readonly number[]): unknown => heard.push(nodes)
  const ended = expect(
    first.bootstrap(FOUNDING, { timeoutMs: Number.POSITIVE_INFINITY, signal: stop.signal, waiting }),
  ).rejects.toBe('enough')
  await until('it waits for two', () => heard.some(nodes => nodes.join() === '2,3'))
  const other = expect(second.bootstrap(FOUNDING)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
  await until('it waits for one', () => heard.at(-1)?.join() === '3')
  stop.abort('enough')
  await ended
  await second.shutdown()
  await other
  // What was left can be begun again.
  await expect(first.bootstrap(FOUNDING, { timeoutMs: 0 })).rejects.toThrow('nodes 2, 3 were not there')
})

test('a node that was born and stopped goes on beside one that works, although the third is lost and a log was trimmed', async () => {
  const { nodes, stores, handles } = await founded()
  const { birthGroup } = await import('./group-founding.ts')
  const leader = handles.findIndex(handle => handle.leading)
  const [gone, late] = [0, 1, 2].filter(i => i !== leader) as [number, number]
  for (const i of [gone, late]) await nodes[i]!.shutdown()
  await nodes[leader]!.closeGroup(GROUP)
  const log = stores[leader]!.groups()[0]!
  await log.reset({ ...log.base, ...log.end })
  const stopped = new MemoryLogStore()
  await birthGroup(stopped, { ...FOUNDING, nodeId: late + 1 })
  await nodes[leader]!.shutdown()
  await start(leader + 1, stores[leader]!.reopen())
  const back = await start(late + 1, stopped)
  expect((await back.bootstrap(FOUNDING)).recovered.replicaId).toBe(late + 1)
})

test.each(['as born', 'gone'])('a founding that is known to be over is never repeated: the log is %s', async left => {
  const stores = [1, 2].map(() => new MemoryLogStore())
  const { birthGroup } = await import('./group-founding.ts')
  if (left !== 'gone') await birthGroup(stores[0]!, { ...FOUNDING, nodes: [1, 2], nodeId: 1 })
  const options = { timing: FAST, isFounded: () => true }
  const first = await createNode({ ...options, nodeId: 1, logStore: stores[0]!, transport: network.transport(1) })
  cleanup.push(() => first.shutdown())
  const second = await start(2, stores[1]!)
  for (const node of [first, second])
    await expect(node.bootstrap({ ...FOUNDING, nodes: [1, 2] })).rejects.toMatchObject({ refusal: 'exists', node: 1 })
  expect(stores[1]!.groups()).toEqual([])
})

test('a removed node that is started again re-creates nothing, and comes back under a new replica id only', async () => {
  const { nodes, stores, handles } = await founded()
  const leader = handles.findIndex(handle => handle.leading)
  const gone = [0, 1, 2].find(i => i !== leader)!
  await new GroupMembers(handles[leader]!).remove(gone + 1)
  await nodes[gone]!.shutdown()
  const store = stores[gone]!.reopen()
  await store.drop(GROUP)
  const back = await start(gone + 1, store)
  await expect(back.bootstrap(FOUNDING)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await expect(joinGroup(store, { group: GROUP, replica: gone + 1 })).rejects.toMatchObject({ code: 'REPLICA_LOST' })
  await joinGroup(store, { group: GROUP, replica: 9 })
  const machine = new ListMachine()
  const handle = await back.open(GROUP, machine)
  await new GroupMembers(handles[leader]!).addVoter({ replica: 9, node: gone + 1 })
  await until('it has all', () => machine.entries.length === 1)
  await until('it is a voter', () => handle.status().configuration.voters.includes(9))
})

test('nodes that found different groups under one number find out', async () => {
  const one = await start(1, new MemoryLogStore())
  const two = await start(2, new MemoryLogStore())
  const first = one.bootstrap({ ...FOUNDING, nodes: [1, 2] })
  const second = two.bootstrap({ ...FOUNDING, nodes: [1, 2, 3] })
  const different = { message: expect.stringContaining('another one of that number') }
  const ends = await Promise.allSettled([first, second])
  expect(ends.filter(end => end.status === 'rejected').map(end => end.reason)).toContainEqual(
    expect.objectContaining(different),
  )
  expect(ends.map(({ status }) => status)).not.toContain('fulfilled')
}, 90_000)

test('over sockets and files: founding, lease reads, and a node that knows one address only', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-bootstrap-'))
  cleanup.push(() => rm(folder, { recursive: true }))
  const ports = await freePorts(4)
  const addresses = new Map([1, 2, 3].map(id => [id, `127.0.0.1:${ports[id - 1]}`]))
  const run = async (
    nodeId: number,
    peers: ReadonlyMap<number, string>,
  ): Promise<{ node: RaftNode; store: LogStore }> => {
    const onFatal = (error: Error): void => {
      throw error
    }
    const store = await openSegmentedLogStore({ dir: join(folder, String(nodeId)), onFatal, diskReserveBytes: 0 })
    cleanup.push(() => store.close())
    const listen = { port: ports[nodeId - 1]! }
    const node = await start(nodeId, store, createGrpcTransport({ nodeId, clusterId: 'c', listen, peers }))
    return { node, store }
  }
  const started = await Promise.all([1, 2, 3].map(id => run(id, addresses)))
  const founding = { ...FOUNDING, addresses, leaseReads: true }
  await Promise.all(started.map(({ node }) => node.bootstrap(founding)))
  const handles = await Promise.all(started.map(({ node }) => node.open(GROUP, new ListMachine())))
  const leader = (): GroupHandle | undefined => handles.find(handle => handle.leading)
  await until('it works', () => leader() !== undefined)
  // A node on a machine that stalls gives its leadership away, and says so.
  await expect.poll(() => write(leader()!).then(() => 'written', String), { timeout: 20_000 }).toBe('written')
  await expect(started[0]!.node.bootstrap(founding)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })

  const newcomer = await run(4, new Map([[1, addresses.get(1)!]]))
  await joinGroup(newcomer.store, { group: GROUP, replica: 4 })
  const machine = new ListMachine()
  await newcomer.node.open(GROUP, machine)
  await new GroupMembers(leader()!).addVoter({ replica: 4, node: 4, address: `127.0.0.1:${ports[3]}` })
  await until('it has all', () => machine.entries.length >= 1)
  await until('it knows everybody', () => [1, 2, 3].every(id => newcomer.node.isConnected(id)))
})

test('a founding that waits asks again when a node has come, and not only when its time is over', async () => {
  let isThere = false
  let asked = 0
  const clock = { monotonicMs: () => 0, setTimer: () => ({ cancel: () => undefined }) } as unknown as Clock
  const bootstrap: GroupBootstrap = new GroupBootstrap({
    ...{ nodeId: 1, store: new MemoryLogStore(), clock, isLive: () => false },
    // The other node does what this one does.
    transport: {
      describeGroup: async () => {
        asked++
        return isThere ? bootstrap.presence(GROUP) : { state: 'absent', birth: 0 }
      },
    },
  })
  const founded = bootstrap.found({ ...FOUNDING, nodes: [1, 2] }, {})
  await until('it waits', () => asked === 1)
  isThere = true
  // Before its first question is answered nobody waits yet.
  await new Promise(resolve => setImmediate(resolve))
  bootstrap.connected()
  expect((await founded).group).toBe(GROUP)
})
