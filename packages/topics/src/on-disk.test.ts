/** One node on real files: what a restart finds, and what it never makes again. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LogStore, SnapshotStores } from '@millrace/log-store'
import { openSegmentedLogStore, openSnapshotFolder } from '@millrace/log-store'
import type { NodeEvent, RaftNode } from '@millrace/raft-node'
import { birthGroup, createNode } from '@millrace/raft-node'
import { createMemoryNetwork } from '@millrace/raft-node/memory'
import { MillraceError } from '@millrace/record'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openLmdbStateStore } from './lmdb-state-store.ts'
import type { AppendBatch, Appended } from './partition.ts'
import type { StateStore } from './state-store.ts'
import { idempotent } from './testing/partition-fixture.ts'
import type { TopicHost } from './topic-host.ts'
import { openTopics } from './topic-host.ts'

let folder: string
let logStore: LogStore
let stateStore: StateStore
let snapshots: SnapshotStores
let node: RaftNode
let topics: TopicHost
let events: NodeEvent[]

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-node-'))
  await openStores()
  await birthGroup(logStore, { clusterId: 'c', group: 0, nodes: [1], nodeId: 1 })
  await start()
})
afterEach(async () => {
  await stop()
  rmSync(folder, { recursive: true, force: true })
})

async function openStores(): Promise<void> {
  const onFatal = (error: Error): never => {
    throw error
  }
  logStore = await openSegmentedLogStore({ dir: join(folder, 'log'), onFatal })
  stateStore = openLmdbStateStore(join(folder, 'state'))
  snapshots = await openSnapshotFolder({ dir: join(folder, 'snapshots') })
}

async function start(): Promise<void> {
  events = []
  const log = (event: NodeEvent): void => void events.push(event)
  node = await createNode({ nodeId: 1, logStore, transport: createMemoryNetwork().transport(1), log })
  const nodes = [{ node: 1, clientUrl: 'http://1', peerAddress: '1:1' }]
  topics = await openTopics({ node, logStore, stateStore, snapshots, nodeId: 1, clusterId: 'c', nodes, log })
  await until(() => topics.catalogue.leading)
}

async function stop(): Promise<void> {
  await topics.shutdown()
  await node.shutdown()
  await logStore.close()
  await stateStore.close()
  await snapshots.close()
}

const until = <T>(holds: () => T) => vi.waitUntil(holds, { timeout: 20_000, interval: 5 })

async function append(partition: number, batch: AppendBatch): Promise<Appended> {
  const leader = await until(() => {
    const replica = topics.partition('orders', partition)
    return replica?.leading ? replica : undefined
  })
  return new Promise((resolve, reject) => {
    leader.append(batch, answer => (answer instanceof MillraceError ? reject(answer) : resolve(answer)))
  })
}

test('a restart finds topics, records and producers', async () => {
  await topics.create({ name: 'orders', ifNotExists: false })
  for (let i = 0; i < 20; i++) await append(i % 3, idempotent('abc', Math.floor(i / 3)))
  await stop()
  await openStores()
  await start()
  expect(await append(0, idempotent('abc', 6))).toMatchObject({ baseOffset: 18, duplicate: true })
  const { frames } = await topics.partition('orders', 0)!.read(0, 1_000_000)
  expect(frames.map(f => f.header.sequence)).toEqual([0, 1, 2, 3, 4, 5, 6])
  expect(events.filter(e => e.level !== 'info')).toEqual([])
})

test('a group whose files are gone stays closed, and the others go on', async () => {
  await topics.create({ name: 'orders', ifNotExists: false })
  for (const partition of [0, 1, 2]) await append(partition, idempotent('abc', 0))
  await stop()
  const group = topics.describe('orders').partitions[0]!.group
  rmSync(join(folder, 'log', 'groups', `${group}`), { recursive: true })
  await openStores()
  await start()
  expect(await append(1, idempotent('abc', 0))).toMatchObject({ duplicate: true })
  await until(() => topics.failed().length > 0)
  expect(topics.failed()).toMatchObject([{ plan: { group }, error: { code: 'REPLICA_LOST' } }])
  expect(existsSync(join(folder, 'log', 'groups', `${group}`))).toBe(false)
})

test('a deleted topic leaves the disk, and a new one of its name starts at 0', async () => {
  await topics.create({ name: 'orders', ifNotExists: false })
  await append(0, idempotent('abc', 0))
  await topics.delete('orders')
  await until(() => logStore.groups().length === 1)
  await topics.create({ name: 'orders', ifNotExists: false })
  expect(await append(0, idempotent('x', 0))).toMatchObject({ baseOffset: 0, duplicate: false })
  await stop()
  await openStores()
  await start()
  expect(await append(0, idempotent('x', 0))).toMatchObject({ baseOffset: 0, duplicate: true })
})
