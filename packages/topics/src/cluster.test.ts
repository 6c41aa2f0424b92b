/** Topics on three nodes: leaders spread, retries find their first attempt, replicas agree, restarts change nothing. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { openLmdbStateStore } from './lmdb-state-store.ts'
import { MemoryCluster } from './testing/memory-cluster.ts'
import { batch, idempotent } from './testing/partition-fixture.ts'

let folder: string
let cluster: MemoryCluster

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-cluster-'))
  cluster = await MemoryCluster.found(3, node => openLmdbStateStore(join(folder, `node-${node}`)))
})
afterEach(async () => {
  await cluster.stopAll()
  rmSync(folder, { recursive: true, force: true })
})

const until = <T>(holds: () => T) => vi.waitUntil(holds, { timeout: 20_000, interval: 10 })
const sorted = (nodes: readonly number[]): readonly number[] => [...nodes].sort()

async function createTopic(name: string, partitions = 3): Promise<void> {
  const leader = await until(() => cluster.catalogueLeader())
  await leader.create({ name, config: { partitions }, ifNotExists: false })
  await until(() => !cluster.leaders(name, partitions).includes(0))
}

async function restartAll(): Promise<void> {
  const { ids } = cluster
  await cluster.stopAll()
  await Promise.all(ids.map(id => cluster.start(id)))
}

/** Whether all nodes have the same groups at the same index with the same state. */
function converged(): boolean {
  const states = cluster.ids.map(id => cluster.topics(id).stateHashes())
  const shown = states.map(hashes => hashes.map(h => `${h.group}@${h.index}: ${h.hash}`).sort())
  return new Set(shown.map(groups => groups.join())).size === 1
}

describe('leaders', () => {
  test('of a topic with three partitions are spread over three nodes', async () => {
    await createTopic('orders')
    await until(() => sorted(cluster.leaders('orders', 3)).join() === '1,2,3')
  })

  test('are spread again after a node comes back, and after all restart', async () => {
    await createTopic('orders')
    await until(() => sorted(cluster.leaders('orders', 3)).join() === '1,2,3')
    await cluster.stop(2)
    await until(() => !cluster.leaders('orders', 3).includes(0))
    await cluster.start(2)
    await until(() => sorted(cluster.leaders('orders', 3)).join() === '1,2,3')
    await restartAll()
    await until(() => sorted(cluster.leaders('orders', 3)).join() === '1,2,3')
  })

  test('are known on every node', async () => {
    await createTopic('orders')
    await until(() => sorted(cluster.leaders('orders', 3)).join() === '1,2,3')
    const leaders = cluster.leaders('orders', 3)
    await until(() => cluster.ids.every(id => leaders.every((l, p) => cluster.topics(id).leaderOf('orders', p) === l)))
  })
})

test('a topic made on the catalogue’s leader is known everywhere once the catalogue has caught up', async () => {
  await createTopic('orders')
  for (const id of cluster.ids) {
    await cluster.topics(id).waitCatalogue()
    expect(cluster.topics(id).describe('orders').partitions).toHaveLength(3)
  }
  const follower = cluster.ids.map(id => cluster.topics(id)).find(t => !t.catalogue.leading)!
  await expect(follower.create({ name: 'b', ifNotExists: false })).rejects.toMatchObject({
    code: 'NOT_LEADER',
    details: { leaderNode: follower.catalogue.leaderNode },
  })
})

test('idempotent appends over a leader change are stored once, in order', async () => {
  await createTopic('orders', 1)
  const acknowledged: number[] = []
  for (let sequence = 0; sequence < 30; sequence++) {
    if (sequence === 10) await cluster.stop(cluster.leaders('orders', 1)[0]!)
    const { baseOffset } = await cluster.appendSurely('orders', 0, idempotent('ab', sequence))
    acknowledged.push(baseOffset)
  }
  expect(acknowledged).toEqual(Array.from({ length: 30 }, (_, i) => 2 * i))
  // Duplicate after retry on a new leader: the first attempts were answered by the old one.
  for (const sequence of [29, 28, 25]) {
    const again = await cluster.appendSurely('orders', 0, idempotent('ab', sequence))
    expect(again).toMatchObject({ baseOffset: 2 * sequence, duplicate: true })
  }
  const leader = cluster.leader('orders', 0)!
  expect(leader.highWatermark).toBe(60)
})

test('replicas have equal states, and the same after restart from their checkpoints', async () => {
  await createTopic('orders')
  for (let i = 0; i < 60; i++) {
    const producer = new Uint8Array(16).fill(1 + (i % 4))
    await cluster.appendSurely('orders', i % 3, idempotent('abc', Math.floor(i / 12), 0, producer.fill(1 + (i % 12))))
    await cluster.appendSurely('orders', i % 3, batch('-'))
  }
  await until(() => converged())
  const before = [0, 1, 2].map(p => cluster.leader('orders', p)!.highWatermark)
  await restartAll()
  await until(() => converged())
  for (const p of [0, 1, 2]) {
    const leader = await until(() => cluster.leader('orders', p))
    expect(leader.highWatermark).toBe(before[p])
    const { frames } = await leader.read(0, 1_000_000)
    expect(frames.reduce((sum, f) => sum + f.header.recordCount, 0)).toBe(before[p])
  }
  expect(cluster.events.filter(e => e.level === 'error')).toEqual([])
})

test('a node whose state is gone replays its log and agrees with the others', async () => {
  await createTopic('orders', 1)
  for (let i = 0; i < 10; i++) await cluster.appendSurely('orders', 0, idempotent('abc', i))
  await cluster.stop(3)
  rmSync(join(folder, 'node-3'), { recursive: true })
  await cluster.start(3)
  await until(() => converged())
  expect(
    cluster
      .topics(3)
      .list()
      .map(t => t.name),
  ).toEqual(['orders'])
})

test('a deleted topic is gone from all nodes, one that was down included', async () => {
  await createTopic('orders')
  await cluster.stop(3)
  const leader = await until(() => cluster.catalogueLeader())
  await leader.delete('orders')
  await cluster.start(3)
  await until(() => cluster.ids.every(id => cluster.topics(id).replicas().length === 1))
  for (const id of cluster.ids) expect(cluster.topics(id).list()).toEqual([])
})
