/** Nodes that are replaced, come and go while producers append: every acknowledged batch is there once, at its offset. */
import type { NodeEvent } from '@millrace/raft-node'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { MemoryStateStore } from './memory-state-store.ts'
import type { Appended } from './partition.ts'
import { MemoryCluster } from './testing/memory-cluster.ts'
import { idempotent } from './testing/partition-fixture.ts'

let cluster: MemoryCluster
let stores: Map<number, MemoryStateStore>

beforeEach(async () => {
  stores = new Map()
  cluster = await MemoryCluster.found(3, node => {
    const store = stores.get(node) ?? new MemoryStateStore()
    stores.set(node, store)
    return store
  })
})
afterEach(() => cluster.stopAll())

const until = <T>(holds: () => T) => vi.waitUntil(holds, { timeout: 20_000, interval: 10 })

class Load {
  readonly acknowledged: Appended[][] = []
  #stopped = false
  #running: Promise<unknown> = Promise.resolve()

  start(producers: number): void {
    const produce = async (producer: number): Promise<void> => {
      const id = new Uint8Array(16).fill(producer + 1)
      for (let sequence = 0; !this.#stopped; sequence++) {
        const batch = idempotent('ab', sequence, 0, id)
        this.acknowledged[producer]!.push(await cluster.appendSurely('orders', producer % 2, batch))
        await new Promise(resolve => setTimeout(resolve, 2))
      }
    }
    this.acknowledged.push(...Array.from({ length: producers }, () => []))
    this.#running = Promise.all(this.acknowledged.map((_, producer) => produce(producer)))
  }

  async acknowledges(more: number): Promise<void> {
    const least = this.acknowledged.flat().length + more
    await until(() => this.acknowledged.flat().length >= least)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }
}

async function underLoad(): Promise<Load> {
  await cluster.surely(topics => topics.create({ name: 'orders', config: { partitions: 2 }, ifNotExists: true }))
  const load = new Load()
  load.start(4)
  await load.acknowledges(20)
  return load
}

/** Loses everything that the node had. */
function lose(node: number): void {
  stores.delete(node)
  cluster.kill(node)
}

/** `node:replica` of the voters of each group, where its leader knows no other members. */
function voters(): Readonly<Record<number, string>> {
  const found: Record<number, string> = {}
  for (const id of cluster.ids) {
    for (const { handle } of cluster.topics(id).replicas()) {
      const { role, configuration } = handle.status()
      const { learners, votersOutgoing, places } = configuration
      if (role !== 'leader' || learners.length + votersOutgoing.length > 0) continue
      const named = places.toSorted((a, b) => a.node - b.node).map(({ node, replica }) => `${node}:${replica}`)
      found[handle.group] = named.join(' ')
    }
  }
  return found
}

async function settle(expected: readonly RegExp[]): Promise<void> {
  await until(() => {
    const found = voters()
    return expected.every((pattern, group) => pattern.test(found[group] ?? ''))
  }).catch(() => expect(voters()).toEqual(expected))
}

async function expectStoredOnce(node: number, load: Load): Promise<void> {
  const end = (partition: number): number =>
    Math.max(...load.acknowledged.flatMap((own, i) => (i % 2 === partition ? own.map(a => a.baseOffset) : [])))
  for (const partition of [0, 1]) {
    await until(() => (cluster.replica(node, 'orders', partition)?.highWatermark ?? 0) > end(partition))
    const { frames } = await cluster.replica(node, 'orders', partition)!.read(0, 100_000_000)
    for (const [producer, own] of load.acknowledged.entries()) {
      if (producer % 2 !== partition) continue
      const stored = frames.filter(f => f.header.producerId[0] === producer + 1)
      expect(stored.map(f => f.header.sequence)).toEqual(stored.map((_, sequence) => sequence))
      expect(own.map(a => a.baseOffset)).toEqual(stored.slice(0, own.length).map(f => f.header.baseOffset))
    }
  }
}

const REPLACED = [/^1:\d 2:4 3:\d$/, /^1:\d 2:4 3:\d$/, /^1:\d 2:4 3:\d$/]

test('a node whose disk is lost is replaced under load; nobody else gets what it was promised', async () => {
  const load = await underLoad()
  await cluster.surely(topics => topics.members.admit(2, true))
  lose(2)
  await cluster.join(2, 'new')
  await settle(REPLACED)
  const claim = { node: 2, clientUrl: 'http://node-2', peerAddress: 'node-2:7080' }
  expect(await cluster.surely(topics => topics.members.claim({ ...claim, folder: 'new' }))).toEqual({
    catalogueReplica: 4,
  })
  await expect(cluster.surely(topics => topics.members.claim({ ...claim, folder: 'other' }))).rejects.toThrow(
    /node 2 is one of the cluster with another data folder/,
  )
  await load.acknowledges(20)
  await load.stop()
  for (const node of [1, 2, 3]) await expectStoredOnce(node, load)
  // It finds itself again when it is started again.
  await cluster.stop(2)
  await cluster.start(2)
  await expectStoredOnce(2, load)
}, 40_000)

test('a folder whose place another one has taken opens no partition, and says so', async () => {
  const load = await underLoad()
  await load.stop()
  await cluster.surely(topics => topics.members.admit(2, true))
  lose(2)
  await cluster.join(2, 'new')
  await settle(REPLACED)
  await until(() => cluster.topics(2).replicas().length === 3)
  await cluster.stop(2)
  await cluster.start(2, '')
  await until(() => cluster.events.some(({ message }) => message.includes('another data folder has taken the place')))
  expect(
    cluster
      .topics(2)
      .replicas()
      .map(({ topic }) => topic),
  ).toEqual([''])
  await cluster.stop(2)
  await cluster.start(2)
  await until(() => cluster.topics(2).replicas().length === 3)
}, 40_000)

test.each([
  ['after the new replica was added', /is added$/],
  ['while the vote passes', /takes the vote of/],
])(
  'the leader of each group is killed %s: the next one goes on',
  async (_, step) => {
    const load = await underLoad()
    const struck = new Set<number>()
    cluster.onEvent = ({ node, group, message }: NodeEvent & { readonly node: number }) => {
      // One at a time, so that most come back before the next.
      if (group === undefined || !step.test(message) || struck.has(group) || cluster.ids.length < 3) return
      struck.add(group)
      setImmediate(() => {
        if (!cluster.ids.includes(node)) return
        stores.set(node, stores.get(node)!.crash())
        cluster.kill(node)
        setTimeout(() => void cluster.start(node), 100)
      })
    }
    await cluster.surely(topics => topics.members.admit(2, true))
    lose(2)
    await cluster.join(2, 'new')
    await settle(REPLACED)
    cluster.onEvent = () => undefined
    expect(struck.size).toBeGreaterThan(0)
    await until(() => cluster.ids.length === 3)
    await load.acknowledges(20)
    await load.stop()
    for (const node of [1, 2, 3]) await expectStoredOnce(node, load)
  },
  40_000,
)

test('a sixth and a seventh node follow the catalogue without a vote; one gets it when a voter goes', async () => {
  for (const node of [4, 5, 6, 7]) {
    await cluster.surely(topics => topics.members.admit(node, false))
    await cluster.join(node, 'new')
    await until(() => members().split(' ').length === node)
  }
  await until(() => members() === '1 2 3 4 5 6? 7?')
  await cluster.surely(topics => topics.create({ name: 'orders', config: { partitions: 7 }, ifNotExists: true }))
  for (const node of [6, 7]) {
    await cluster.topics(node).waitCatalogue()
    expect(cluster.topics(node).describe('orders').partitions).toHaveLength(7)
  }
  await cluster.surely(topics => topics.members.remove(1))
  await until(() => /^2 3 4 5 6 7\?$|^2 3 4 5 6\? 7$/.test(members()))
}, 40_000)

/** Nodes with a replica of the catalogue, as its leader sees them; `?` behind those without a vote. */
function members(): string {
  const configuration = cluster.catalogueLeader()?.replicas()[0]?.handle.status().configuration
  if (configuration === undefined || configuration.votersOutgoing.length > 0) return ''
  const named = configuration.places.toSorted((a, b) => a.node - b.node)
  return named.map(({ node, replica }) => `${node}${configuration.learners.includes(replica) ? '?' : ''}`).join(' ')
}

test('from three nodes to five and back to three others, one at a time', async () => {
  const load = await underLoad()
  const single = { partitions: 3, replication: 1 }
  await cluster.surely(topics => topics.create({ name: 'single', config: single, ifNotExists: true }))
  for (const node of [4, 5]) {
    await cluster.surely(topics => topics.members.admit(node, false))
    await cluster.join(node, 'new')
    await settle([new RegExp(` ${node}:`)])
  }
  expect(voters()[0]).toBe('1:1 2:2 3:3 4:4 5:5')
  for (const node of [1, 2]) {
    await cluster.surely(topics => topics.members.remove(node))
    // It does not forget what it has to do until then: what it alone has is still to be handed over.
    await cluster.stop(node)
    await cluster.start(node)
    await settle([new RegExp(`^(?!${node}:).+`), new RegExp(`^(?!.*${node}:).+`), new RegExp(`^(?!.*${node}:).+`)])
    await load.acknowledges(10)
  }
  const [shared, alone] = [/^3:\d 4:\d 5:\d$/, /^[345]:\d$/]
  await settle([/^3:3 4:4 5:5$/, shared, shared, alone, alone, alone])
  // Those that were removed still run, and ask for votes that nobody gives.
  const terms = () =>
    [3, 4, 5].flatMap(id =>
      cluster
        .topics(id)
        .replicas()
        .map(({ handle }) => handle.term),
    )
  const before = terms()
  await load.acknowledges(200)
  expect(terms()).toEqual(before)
  expect(Object.keys(voters())).toEqual(['0', '1', '2', '3', '4', '5'])
  await load.stop()
  for (const node of [3, 4, 5]) await expectStoredOnce(node, load)
}, 40_000)
