/** Nodes that are killed: every acknowledged batch is there once, at its offset, and retries find it. */
import { MillraceError } from '@millrace/record'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { MemoryStateStore } from './memory-state-store.ts'
import type { Appended } from './partition.ts'
import { MemoryCluster } from './testing/memory-cluster.ts'
import { idempotent } from './testing/partition-fixture.ts'

let cluster: MemoryCluster
let stores: Map<number, MemoryStateStore>

beforeEach(async () => {
  stores = new Map()
  const openState = (node: number): MemoryStateStore => {
    const store = stores.get(node) ?? new MemoryStateStore()
    stores.set(node, store)
    return store
  }
  // Often, so that kills hit states of every age.
  cluster = await MemoryCluster.found(3, openState, { checkpointIntervalMs: 40 })
})
afterEach(() => cluster.stopAll())

const until = <T>(holds: () => T) => vi.waitUntil(holds, { timeout: 20_000, interval: 10 })

/** Appends its batches one after another, each until it is answered. */
async function produce(producer: number, count: number, acknowledged: Appended[]): Promise<void> {
  const id = new Uint8Array(16).fill(producer)
  for (let sequence = 0; sequence < count; sequence++) {
    acknowledged.push(await cluster.appendSurely('orders', 0, idempotent('ab', sequence, 0, id)))
  }
}

/** Whether all nodes have the same groups at the same index with the same state. */
function converged(): boolean {
  const states = cluster.ids.map(id => cluster.topics(id).stateHashes())
  return new Set(states.map(hashes => hashes.map(h => `${h.group}@${h.index}: ${h.hash}`).join())).size === 1
}

async function restart(nodes: readonly number[]): Promise<void> {
  for (const id of nodes) {
    // What was committed and not flushed is lost, at some point in between at best.
    const store = stores.get(id)!
    stores.set(id, store.crash(Math.floor(store.unflushed / 2)))
    cluster.kill(id)
  }
  await new Promise(resolve => setTimeout(resolve, 30))
  await Promise.all(nodes.map(id => cluster.start(id)))
}

test('everything acknowledged survives kills of one node and of all at once', async () => {
  const catalogue = await until(() => cluster.catalogueLeader())
  await catalogue.create({ name: 'orders', config: { partitions: 1 }, ifNotExists: false })
  const answers: Appended[][] = [[], [], []]
  const producing = Promise.all(answers.map((acknowledged, i) => produce(i + 1, 60, acknowledged)))
  for (const victims of [[1], [1, 2, 3], [2], [1, 2, 3], [3, 1]]) {
    const sofar = answers.flat().length
    await until(() => answers.flat().length > sofar + 5 || answers.flat().length === 180)
    await restart(victims)
  }
  await producing

  const leader = await until(() => cluster.leader('orders', 0))
  expect(leader.highWatermark).toBe(360)
  const { frames } = await leader.read(0, 10_000_000)
  for (const [i, acknowledged] of answers.entries()) {
    const own = frames.filter(f => f.header.producerId[0] === i + 1)
    expect(own.map(f => f.header.sequence)).toEqual(Array.from({ length: 60 }, (_, sequence) => sequence))
    expect(own.map(f => f.header.baseOffset)).toEqual(acknowledged.map(a => a.baseOffset))
    const last = idempotent('ab', 59, 0, new Uint8Array(16).fill(i + 1))
    expect(await cluster.appendSurely('orders', 0, last)).toMatchObject({
      baseOffset: acknowledged[59]!.baseOffset,
      duplicate: true,
    })
  }
  await until(converged)
  expect(cluster.events.filter(e => e.level === 'error')).toEqual([])
}, 60_000)

test('an append whose leader loses its majority is unknown, and stored at most once', async () => {
  const catalogue = await until(() => cluster.catalogueLeader())
  await catalogue.create({ name: 'orders', config: { partitions: 1 }, ifNotExists: false })
  await until(() => cluster.leader('orders', 0))
  const first = await cluster.appendSurely('orders', 0, idempotent('ab', 0))
  const [old] = cluster.leaders('orders', 1)
  cluster.network.isolate(old!)
  const lost = cluster.append('orders', 0, idempotent('cd', 1))
  await expect(lost).rejects.toSatisfy(e => e instanceof MillraceError && e.retryable)
  cluster.network.heal()
  const again = await cluster.appendSurely('orders', 0, idempotent('cd', 1))
  expect([first.baseOffset, again.baseOffset]).toEqual([0, 2])
  expect((await until(() => cluster.leader('orders', 0))).highWatermark).toBe(4)
}, 60_000)

test('messages that are lost, doubled and late change nothing', async () => {
  const catalogue = await until(() => cluster.catalogueLeader())
  await catalogue.create({ name: 'orders', config: { partitions: 1 }, ifNotExists: false })
  cluster.network.setFaults({ dropPermille: 50, duplicatePermille: 50, delayMsMax: 5 })
  const answers: Appended[][] = [[], []]
  await Promise.all(answers.map((acknowledged, i) => produce(i + 1, 40, acknowledged)))
  cluster.network.setFaults({})
  await until(converged)
  const offsets = answers.flat().map(a => a.baseOffset)
  expect(offsets.sort((a, b) => a - b)).toEqual(Array.from({ length: 80 }, (_, i) => 2 * i))
  expect((await until(() => cluster.leader('orders', 0))).highWatermark).toBe(160)
}, 60_000)
