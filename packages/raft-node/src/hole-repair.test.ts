/** Replicas whose segment files are damaged: nothing is lost, and the others give back what the disk cannot. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LogStore, openSegmentedLogStore } from '@millrace/log-store'
import type { MemoryLogStore } from '@millrace/log-store/memory'
import { afterEach, describe, expect, test } from 'vitest'
import type { GroupDamage, GroupStatus } from './group-handle.ts'
import { createGrpcTransport } from './grpc/grpc-transport.ts'
import type { RaftGroupHandle } from './raft-group-handle.ts'
import { damageEntries } from './testing/damaged-files.ts'
import { freePorts } from './testing/free-ports.ts'
import { FAST, propose, TestCluster, type TestClusterOptions } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'
import type { Transport } from './transport.ts'

const GROUP = 7
const ENTRIES = 40
/** Longer than the core keeps in memory for all of them. */
const TEXT = 'x'.repeat(20_000)

const cleanup: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const run of cleanup.splice(0).reverse()) await run()
})

interface DamagedCluster {
  readonly c: TestCluster
  /** Stops a node, and damages these entries of its log. */
  damage(node: number, ...indexes: number[]): Promise<void>
  /** Damages entries under a store that has them open. */
  rot(node: number, ...indexes: number[]): Promise<void>
  /** Nodes that answer no question for frames. */
  readonly silent: Set<number>
}

async function fileCluster(options: TestClusterOptions = {}): Promise<DamagedCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-raft-node-'))
  cleanup.push(() => rm(folder, { recursive: true }))
  const silent = new Set<number>()
  const dirOf = (node: number): string => join(folder, `node-${node}`)
  const c: TestCluster = new TestCluster({
    timing: FAST,
    transport: async node => mute(c.network.transport(node), silent),
    openStore: node => openStore(dirOf(node)),
    crashStore: (_node, store) => store.close(),
    ...options,
  })
  for (const node of c.nodeIds) await c.startNode(node)
  cleanup.push(() => c.stop())
  for (let i = 0; i < ENTRIES; i++) await c.append(`${i}${TEXT}`)
  await c.converged(ENTRIES)
  const damage = async (node: number, ...indexes: number[]): Promise<void> => {
    if (c.up.has(node)) await c.kill(node)
    await damageEntries(dirOf(node), GROUP, indexes)
  }
  const rot = (node: number, ...indexes: number[]): Promise<void> => damageEntries(dirOf(node), GROUP, indexes)
  return { c, damage, rot, silent }
}

function openStore(dir: string): Promise<LogStore> {
  const onFatal = (error: Error): void => {
    throw error
  }
  // No tail cache to speak of: what is read comes from the files.
  const onProblem = (): void => undefined
  return openSegmentedLogStore({ dir, onFatal, onProblem, diskReserveBytes: 0, tailCacheBytesMax: 1 })
}

/** A transport that gets no frames from some nodes. */
function mute(transport: Transport, silent: ReadonlySet<number>): Transport {
  const fetch = transport.fetchFrames.bind(transport)
  transport.fetchFrames = (node, request) =>
    silent.has(node) ? Promise.reject(new Error(`node ${node} says nothing`)) : fetch(node, request)
  return transport
}

function damageOf(c: TestCluster, node: number): GroupDamage | undefined {
  return c.handle(node).status().damage
}

async function repaired(c: TestCluster, node: number): Promise<GroupDamage> {
  await until(`node ${node} is repaired`, () => {
    const damage = damageOf(c, node)
    return damage !== undefined && damage.holes.length === 0
  })
  return damageOf(c, node)!
}

/** Reads every entry of a log from its files. @returns their chains */
async function chains(c: TestCluster, node: number): Promise<number[]> {
  const { log } = c.handle(node)
  const found: number[] = []
  for (let next = log.base.index + 1; next <= log.durable.index; ) {
    const frames = await log.read(next, log.durable.index + 1, 1 << 20)
    for (const { header } of frames) found.push(header.chain)
    next += frames.length
  }
  return found
}

describe('with damage in its segment files', () => {
  test('a replica takes part, and is repaired from others for good', async () => {
    const { c, damage, silent } = await fileCluster()
    const [other, third] = c.nodeIds.filter(node => node !== 1)
    await damage(1, 10, 11, 20)
    for (const node of c.nodeIds) silent.add(node)
    await c.startNode(1)
    expect(damageOf(c, 1)).toMatchObject({ framesRepaired: 0, lastSource: 0 })
    const holes = damageOf(c, 1)!.holes
    expect(holes.map(({ first }) => first)).toEqual(expect.arrayContaining([10, 20]))
    expect(damageOf(c, 1)!.entriesMissing).toBe(holes.reduce((sum, { first, last }) => sum + last - first + 1, 0))
    // New entries need its acknowledgement.
    await c.kill(third!)
    await c.append('with two')
    expect(c.leaderOf()).toBe(other)
    await until('it has applied up to the hole', () => c.machine(1).lastIndex === 9)
    silent.clear()
    await c.append('again')
    await until('all is applied', () => c.machine(1).entries.length === ENTRIES + 2)
    expect(await repaired(c, 1)).toMatchObject({ entriesMissing: 0, lastSource: other })
    expect(c.up.get(1)!.node.repairs()).toMatchObject({ framesRepaired: 3, running: 0 })
    expect(c.up.get(other!)!.node.repairs().framesServed).toBeGreaterThanOrEqual(3)
    expect(await chains(c, 1)).toEqual(await chains(c, other!))
    await c.kill(1)
    await c.startNode(1)
    expect(damageOf(c, 1)).toBe(undefined)
    expect(await chains(c, 1)).toEqual(await chains(c, other!))
  })

  test('different ranges on all replicas: they elect a leader and repair each other', async () => {
    const { c, damage } = await fileCluster()
    await damage(1, 5, 6)
    await damage(2, 15)
    await damage(3, 25, 26, 27)
    for (const node of c.nodeIds) await c.startNode(node)
    await c.append('after')
    expect(await c.converged(ENTRIES + 1)).toHaveLength(ENTRIES + 1)
    for (const node of c.nodeIds) expect((await repaired(c, node)).framesRepaired).toBeGreaterThan(0)
    const all = await chains(c, 1)
    expect(await chains(c, 2)).toEqual(all)
    expect(await chains(c, 3)).toEqual(all)
  })

  test('a repair needs no leader and no majority', async () => {
    const { c, damage } = await fileCluster({ nodes: [1, 2, 3, 4, 5] })
    for (const node of [3, 4, 5]) await c.kill(node)
    await damage(1, 12)
    await c.startNode(1)
    expect(await repaired(c, 1)).toMatchObject({ framesRepaired: 1, lastSource: 2 })
    expect(c.leaderOf()).toBe(0)
  })

  test('a damaged replica leads where no whole one can, and not before', async () => {
    const { c, damage, silent } = await fileCluster()
    for (const node of c.nodeIds) silent.add(node)
    await damage(1, 12)
    await damage(2, 22)
    await c.kill(3)
    await c.startNode(1)
    await c.startNode(2)
    await until('one leads', () => [1, 2].some(node => c.handle(node).status().role === 'leader'))
    // It cannot apply the first entry of its term, and nobody gives it what is missing.
    const led = [1, 2].find(node => c.handle(node).status().role === 'leader')!
    await until('it steps down', () => c.handle(led).status().role !== 'leader')
    await c.startNode(3)
    await until('the whole one leads', () => c.leaderOf() === 3)
    expect(damageOf(c, 1)!.holes).toHaveLength(1)
    await c.append('after')
    silent.clear()
    await c.converged(ENTRIES + 1)
  })

  test('a read waits for the repair', async () => {
    const { c, damage, silent } = await fileCluster()
    await damage(1, 12)
    for (const node of c.nodeIds) silent.add(node)
    await c.startNode(1)
    const { log } = c.handle(1)
    await expect(log.read(12, 13, 1)).rejects.toMatchObject({ code: 'DAMAGED', hole: { last: { index: 12 } } })
    const reading = log.read(12, 13, 1)
    silent.clear()
    // The repair is asked for again by every read that meets the damage.
    expect((await reading)[0]!.header.index).toBe(12)
  })

  test('damage found by a leader while it feeds a follower is repaired, and it goes on', async () => {
    const { c, rot } = await fileCluster()
    const leader = await c.leader()
    const [behind, third] = c.nodeIds.filter(node => node !== leader)
    await c.kill(behind!)
    for (let i = 0; i < ENTRIES; i++) await c.append(`more ${i}${TEXT}`)
    await rot(leader, ENTRIES + 10)
    await c.startNode(behind!)
    await c.converged(2 * ENTRIES)
    expect(await repaired(c, leader)).toMatchObject({ lastSource: third })
  })

  test('a leader that nobody gives what a follower needs hands over to whoever has it', async () => {
    const { c, rot, silent } = await fileCluster()
    const leader = await c.leader()
    const [behind, third] = c.nodeIds.filter(node => node !== leader)
    await c.kill(behind!)
    for (let i = 0; i < ENTRIES; i++) await c.append(`more ${i}${TEXT}`)
    silent.add(third!)
    await rot(leader, ENTRIES + 10)
    await c.startNode(behind!)
    await until('the other one leads', () => c.leaderOf() === third)
    await until('the follower has all', () => c.machine(behind!).entries.length === 2 * ENTRIES)
    expect(damageOf(c, leader)!.holes.length).toBeGreaterThan(0)
  })
})

test('over sockets', async () => {
  const ports = await freePorts(3)
  const peers = new Map(ports.map((port, i) => [i + 1, `127.0.0.1:${port}`]))
  const { c, damage } = await fileCluster({
    transport: async node =>
      createGrpcTransport({ nodeId: node, clusterId: 'test', listen: { port: ports[node - 1]! }, peers }),
  })
  await damage(1, 5, 6)
  await damage(2, 15)
  await damage(3, 25, 26, 27)
  for (const node of c.nodeIds) await c.startNode(node)
  await c.append('after')
  await c.converged(ENTRIES + 1)
  for (const node of c.nodeIds) await repaired(c, node)
  const all = await chains(c, 1)
  expect(await chains(c, 2)).toEqual(all)
  expect(await chains(c, 3)).toEqual(all)
})

test('a hole in entries that nobody committed, and that the group went on without, is replaced', async () => {
  // The old leader takes entries for as long as it takes itself for one.
  const { c, damage } = await fileCluster({ timing: { ...FAST, electionTimeoutMinMs: 2_000 } })
  const old = await c.leader()
  c.network.isolate(old)
  const { log } = c.handle(old)
  const first = log.end.index + 1
  for (let i = 0; i < 6; i++) {
    expect(propose(c.handle(old), `lost ${i}`).result.type).toBe('accepted')
    await until('it is on the disk of the old leader', () => log.durable.index === first + i)
  }
  await damage(old, first + 1, first + 2)
  c.network.heal()
  for (let i = 0; i < 3; i++) await c.append(`kept ${i}`)
  await c.startNode(old)
  await c.append('after')
  expect((await c.converged(ENTRIES + 4)).join()).not.toContain('lost')
  expect(c.handle(old).log.holes).toEqual([])
})

test('a hole over several terms: what is in it is applied as everything else', async () => {
  const { c, damage } = await fileCluster()
  const old = await c.leader()
  const lastOfTerm = c.handle(old).log.end.index
  await c.kill(old)
  for (let i = 0; i < 5; i++) await c.append(`later ${i}`)
  await c.startNode(old)
  await c.converged(ENTRIES + 5)
  for (let i = 0; i < 3; i++) await c.append(`latest ${i}`)
  await c.converged(ENTRIES + 8)
  // The first entry of the new term is the one of its leader.
  await damage(old, lastOfTerm - 1, lastOfTerm, lastOfTerm + 1, lastOfTerm + 2)
  await c.startNode(old)
  await c.append('after')
  await c.converged(ENTRIES + 9)
  expect((await repaired(c, old)).framesRepaired).toBeGreaterThanOrEqual(4)
})

/** Three nodes with logs in memory, of which one has lost these entries when it starts again. */
async function memoryCluster(options: TestClusterOptions = {}): Promise<{
  readonly c: TestCluster
  damage(node: number, first: number, last: number): Promise<void>
  readonly silent: Set<number>
}> {
  const silent = new Set<number>()
  const c: TestCluster = new TestCluster({
    transport: async node => mute(c.network.transport(node), silent),
    ...options,
  })
  for (const node of c.nodeIds) await c.startNode(node)
  cleanup.push(() => c.stop())
  const damage = async (node: number, first: number, last: number): Promise<void> => {
    const { store } = c.up.get(node)!
    ;(store as MemoryLogStore).damage(GROUP, first, last)
    await c.kill(node)
  }
  return { c, damage, silent }
}

test('a configuration in a hole: nobody campaigns without it, and it is known once it is repaired', async () => {
  const { c, damage, silent } = await memoryCluster()
  await c.append('a')
  const leader = await c.leader()
  let index = 0
  const change = { steps: [{ kind: 'addLearner', id: 14 }], joining: [{ replica: 14, node: 4 }] } as const
  c.handle(leader).proposeChange(change, {
    applied: frame => {
      index = frame.header.index
    },
    failed: (_outcome, reason) => {
      throw new Error(reason)
    },
  })
  await until('the change is committed', () => index > 0)
  await c.append('b')
  await c.converged(2)
  const node = c.nodeIds.find(id => id !== leader)!
  const { replica } = c.handle(node) as RaftGroupHandle
  // Its state holds what is in the hole.
  await replica.applier.checkpoint()
  for (const id of c.nodeIds) silent.add(id)
  await damage(node, index, index)
  await c.startNode(node)
  await c.append('c')
  const status = (): GroupStatus => c.handle(node).status()
  expect(status()).toMatchObject({ configuration: { learners: [] }, damage: { entriesMissing: 1 } })
  silent.clear()
  await c.kill(leader)
  await c.startNode(leader)
  await until('the change is known', () => status().configuration.learners.length === 1)
  const { configuration, configurationIndex, damage: left } = status()
  expect(configuration.places).toContainEqual({ replica: 14, node: 4 })
  expect(configurationIndex).toBe(index)
  expect(left).toMatchObject({ entriesMissing: 0, framesRepaired: 1 })
  const again = c.handle(node) as RaftGroupHandle
  await until('the core knows it', () => again.replica.status().configurationIndex === index)
})

test('at a start with everybody there a whole replica campaigns first', async () => {
  // Without damage the third node has the first rank in this group, and the election timeout is far away.
  const timing = { heartbeatMs: 50, electionTimeoutMinMs: 60_000, campaignRankDelayMs: 200 }
  const { c, damage, silent } = await memoryCluster({ timing })
  await c.append('a')
  await c.append('b')
  expect(await c.leader()).toBe(3)
  for (const node of c.nodeIds) silent.add(node)
  await damage(3, 3, 3)
  await c.kill(1)
  await c.kill(2)
  for (const node of c.nodeIds) await c.startNode(node)
  await c.append('c')
  expect(await c.leader()).not.toBe(3)
  silent.clear()
  await c.converged(3)
})

test('the same range damaged on all replicas: the group goes on, and nobody serves the range', async () => {
  const { c, damage } = await memoryCluster()
  const { header } = await c.append('a')
  await c.append('b')
  await c.converged(2)
  for (const node of c.nodeIds) await (c.handle(node) as RaftGroupHandle).replica.applier.checkpoint()
  for (const node of c.nodeIds) await damage(node, header.index, header.index)
  for (const node of c.nodeIds) await c.startNode(node)
  await c.append('c')
  await c.converged(3)
  const leader = await c.leader()
  const { term } = c.handle(leader)
  for (const node of c.nodeIds) {
    await expect(c.handle(node).log.read(header.index, header.index + 1, 1)).rejects.toThrow('are damaged on this disk')
    expect(damageOf(c, node)).toMatchObject({ entriesMissing: 1, framesRepaired: 0 })
  }
  await c.append('d')
  expect(c.handle(leader)).toMatchObject({ leading: true, term })
})
