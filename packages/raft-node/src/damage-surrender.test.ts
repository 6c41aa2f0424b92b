/** Entries that every replica has lost and none has applied: given up at an operator's word, and by nothing else. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type GroupLog, type LogStore, openSegmentedLogStore } from '@millrace/log-store'
import { MemoryLogStore } from '@millrace/log-store/memory'
import { testBase } from '@millrace/log-store/testing'
import { expect, onTestFinished, test } from 'vitest'
import { DamageSurrender } from './damage-surrender.ts'
import type { FrameAnswer } from './frame-calls.ts'
import type { StateAnswer } from './state-calls.ts'
import { systemClock } from './system-clock.ts'
import { BaseMachine, type Durable, nothingDurable, recall } from './testing/base-machine.ts'
import { damageEntries } from './testing/damaged-files.ts'
import { SNAPSHOT_GROUP, SnapshotCluster } from './testing/snapshot-cluster.ts'
import { until } from './testing/until.ts'
import type { Transport } from './transport.ts'

const KEYS = 12
const DAMAGED = 8

interface LostCluster {
  readonly c: SnapshotCluster
  /** Starts a node. */
  start(node: number): Promise<void>
  /** Nodes that ask nobody for a state. */
  readonly silent: Set<number>
  /** Stops all nodes; their states are gone. */
  forgetAll(): Promise<void>
}

/** Three nodes that are stopped, each with the same entry damaged; those in `past` have applied it. */
async function lostCluster(past: readonly number[] = []): Promise<LostCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-raft-node-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const dirOf = (node: number): string => join(folder, `node-${node}`)
  const machines = new Map<number, BaseMachine>()
  const durables = new Map([1, 2, 3].map((node): [number, Durable] => [node, nothingDurable()]))
  const silent = new Set<number>()
  const c: SnapshotCluster = new SnapshotCluster({
    transport: node => quietAbout(c.network.transport(node), node, silent),
    openStore: node => openStore(dirOf(node)),
    machine: (inner, id, fsm, store) => {
      const machine = new BaseMachine(inner, fsm, store, durables.get(id)!)
      machines.set(id, machine)
      return machine
    },
  })
  onTestFinished(() => c.stop())
  for (const id of [1, 2, 3]) await c.startNode(id)
  for (let key = 0; key < KEYS; key++) await c.set(key, 100)
  await c.converged()
  // A round of its own, which proves that those before it were durable.
  await c.set(KEYS, 100)
  await c.converged()
  for (const node of past) await machines.get(node)!.checkpoint()
  for (const node of [1, 2, 3]) {
    await c.kill(node)
    if (!past.includes(node)) durables.set(node, nothingDurable())
    await damageEntries(dirOf(node), SNAPSHOT_GROUP, [DAMAGED])
  }
  const start = async (node: number): Promise<void> => {
    await c.startNode(node, fsm => recall(fsm, durables.get(node)!))
  }
  const forgetAll = async (): Promise<void> => {
    for (const node of [1, 2, 3]) {
      await c.kill(node)
      durables.set(node, nothingDurable())
    }
  }
  return { c, start, forgetAll, silent }
}

function quietAbout(transport: Transport, node: number, silent: ReadonlySet<number>): Transport {
  const fetch = transport.fetchState.bind(transport)
  transport.fetchState = (to, request) =>
    silent.has(node) ? Promise.reject(new Error(`node ${node} asks nobody`)) : fetch(to, request)
  return transport
}

function openStore(dir: string): Promise<LogStore> {
  const onFatal = (error: Error): void => {
    throw error
  }
  const onProblem = (): void => undefined
  return openSegmentedLogStore({ dir, onFatal, onProblem, diskReserveBytes: 0, tailCacheBytesMax: 1 })
}

/** Asks whoever leads, until the answer is another one than that it does not, or has nothing to give up yet. */
async function ask(c: SnapshotCluster, without: readonly number[], accept: boolean): Promise<unknown> {
  for (let attempt = 0; attempt < 500; attempt++) {
    for (const { handle } of c.up.values()) {
      try {
        return await handle.giveUpDamage(without, accept)
      } catch (error) {
        const { code, message } = error as { code?: string; message: string }
        if (code !== 'NOT_LEADER' && code !== 'INVALID_ARGUMENT') return message
      }
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error('nobody leads')
}

const isStuck = (c: SnapshotCluster): boolean =>
  [...c.up.values()].every(({ handle }) => handle.status().applied < DAMAGED)

test('what nobody has is given up by its leader, on every replica, and everything else is kept', async () => {
  const { c, start } = await lostCluster()
  for (const node of [1, 2, 3]) await start(node)
  const range = { first: DAMAGED, last: expect.any(Number), firstOffset: 0, nextOffset: 0 }
  expect(await ask(c, [], false)).toMatchObject(range)
  // To look changes nothing.
  expect(isStuck(c)).toBe(true)
  const given = (await ask(c, [], true)) as { readonly last: number }
  expect(given).toMatchObject(range)
  await c.converged()
  const lost = given.last - DAMAGED + 1
  for (const { fsm, handle, store } of c.up.values()) {
    expect(fsm.keys).toHaveLength(KEYS + 1 - lost)
    await expect(store.groups()[0]!.read(DAMAGED, DAMAGED + 1, 1)).rejects.toMatchObject({ code: 'DAMAGED' })
    expect(handle.status().halted).toBeUndefined()
  }
  await c.set(KEYS + 1, 100)
  await c.converged()
})

test('a replica that is not asked for its word finds it in its log, whoever leads then', async () => {
  const { c, start, forgetAll } = await lostCluster()
  for (const node of [1, 2]) await start(node)
  expect(await ask(c, [], true)).toMatch(/nothing was given up: node 3 cannot be asked/)
  expect(isStuck(c)).toBe(true)
  expect(await ask(c, [3], true)).toMatchObject({ first: DAMAGED })
  await c.converged()
  await start(3)
  await c.converged()
  // Nobody has a state to give then.
  await forgetAll()
  for (const node of [1, 2, 3]) await start(node)
  await c.converged()
  expect([...c.up.values()].some(({ events }) => events.some(({ message }) => /gives them up/.test(message)))).toBe(
    true,
  )
  await c.set(KEYS + 1, 100)
  await c.converged()
})

test('nothing is given up while a replica has a state that is past it: the leader takes that, and leads from then on', async () => {
  const { c, start, silent } = await lostCluster([3])
  for (const node of [1, 2]) silent.add(node)
  for (const node of [1, 2]) await start(node)
  const inOffice = (): number[] => [1, 2].filter(node => c.at(node).handle.status().role === 'leader')
  await until('one is elected', () => inOffice().length === 1)
  await start(3)
  // What the leader takes holds the first entry of its term already.
  await until('the third has everything', () => {
    const [leader] = inOffice().map(node => c.at(node).handle.status())
    const { applied } = c.at(3).handle.status()
    return leader !== undefined && applied === leader.lastIndex
  })
  silent.clear()
  await c.converged()
  for (const { fsm } of c.up.values()) expect(fsm.keys).toHaveLength(KEYS + 1)
  const leader = await c.leader()
  await expect(leader.handle.giveUpDamage([], true)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('each replica is asked anew, and one that may still help is named', async () => {
  const position = { term: 1, chain: 1, timestamp: 1 }
  const hole = { before: { ...position, index: 7, nextOffset: 10 }, last: { ...position, index: 9, nextOffset: 14 } }
  const asked: number[] = []
  let frames: FrameAnswer['status'] = 'damaged'
  let state: StateAnswer = 'behind'
  let leads = true
  const surrender = new DamageSurrender({
    log: (await new MemoryLogStore().create(7, { replicaId: 1, base: testBase({}) })) satisfies GroupLog,
    ...{ clock: systemClock, patienceMs: 1, hole: () => hole, commit: () => 9, applied: () => 7 },
    ...{
      leads: () => leads,
      hidesConfiguration: () => false,
      propose: () => 'not in this test',
      pass: () => undefined,
    },
    peers: () => [2, 3].map(node => ({ node, replica: 10 + node })),
    askFrames: async ({ node }) => {
      asked.push(node)
      return frames
    },
    askState: async () => state,
  })
  const range = { first: 8, last: 9, firstOffset: 10, nextOffset: 14 }
  expect([await surrender.examine([]), asked.splice(0)]).toEqual([range, [2, 3]])
  expect([await surrender.examine([2]), asked.splice(0)]).toEqual([range, [3]])
  for (const has of ['frames', 'busy'] as const) {
    frames = has
    await expect(surrender.giveUp([])).rejects.toThrow('nothing was given up: node 2 has the entries')
  }
  frames = 'absent'
  state = 'coming'
  await expect(surrender.giveUp([2])).rejects.toThrow('nothing was given up: node 3 has a state that is past them')
  leads = false
  await expect(surrender.giveUp([2, 3])).rejects.toMatchObject({ code: 'NOT_LEADER' })
})
