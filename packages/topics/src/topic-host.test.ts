/** Topics on one node, over a node that leads and commits by itself: what is opened, what is removed, what never is. */
import { LogError } from '@millrace/log-store'
import { MemoryLogStore, MemorySnapshotStores } from '@millrace/log-store/memory'
import { takeSnapshot } from '@millrace/log-store/testing'
import { birthGroup, type NodeEvent } from '@millrace/raft-node'
import type { MillraceError } from '@millrace/record'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { MemoryStateStore } from './memory-state-store.ts'
import type { Appended } from './partition.ts'
import { FakeNode } from './testing/fake-node.ts'
import { batch, idempotent } from './testing/partition-fixture.ts'
import type { TopicHost } from './topic-host.ts'
import { openTopics } from './topic-host.ts'

let logStore: MemoryLogStore
let stateStore: MemoryStateStore
let snapshots: MemorySnapshotStores
let node: FakeNode
let topics: TopicHost
let events: NodeEvent[]

beforeEach(async () => {
  logStore = new MemoryLogStore()
  stateStore = new MemoryStateStore()
  snapshots = new MemorySnapshotStores()
  events = []
  await birthGroup(logStore, { clusterId: 'c', group: 0, nodes: [1], nodeId: 1 })
  await start()
})
afterEach(() => topics.shutdown())

async function start(replaySlowly = false): Promise<void> {
  node = new FakeNode(logStore, replaySlowly)
  topics = await openTopics({
    node,
    logStore,
    stateStore,
    snapshots,
    nodeId: 1,
    clusterId: 'c',
    nodes: [{ node: 1, clientUrl: 'http://1', peerAddress: '1:1' }],
    log: event => events.push(event),
  })
}

/** The process ends; what was flushed is there at the next start. */
async function restart(clean: boolean): Promise<void> {
  await topics.shutdown()
  if (clean) await node.shutdown()
  logStore = logStore.reopen()
  stateStore = stateStore.crash()
  snapshots = snapshots.reopen()
  await start()
}

/** Machines may be busy: generous, since nothing here asserts speed. */
const until = <T>(holds: () => T) => vi.waitUntil(holds, { timeout: 20_000, interval: 5 })
const opened = (topic: string, partition = 0) => until(() => topics.partition(topic, partition))

async function append(topic: string, b = batch('abc')): Promise<Appended | MillraceError> {
  const partition = await opened(topic)
  return new Promise(resolve => partition.append(b, resolve))
}

const catalogueState = () => topics.stateHashes()[0]?.hash

describe('create', () => {
  test('opens the partitions that the catalogue places here', async () => {
    const { topic, created } = await topics.create({ name: 'orders', ifNotExists: false })
    expect([topic.partitions.length, topic.config.replication, created]).toEqual([3, 1, true])
    expect(await append('orders')).toMatchObject({ baseOffset: 0, count: 3 })
    expect(topics.list().map(t => t.name)).toEqual(['orders'])
    await opened('orders', 2)
    expect(topics.replicas().map(r => `${r.topic}/${r.partition}`)).toEqual(['/0', 'orders/0', 'orders/1', 'orders/2'])
    expect(topics.leaderOf('orders', 0)).toBe(1)
  })

  test('refuses names, ranges and foreign configurations', async () => {
    await topics.create({ name: 'orders', ifNotExists: false })
    const create = (name: string, config = {}) => topics.create({ name, config, ifNotExists: false })
    await expect(create('no/slash')).rejects.toMatchObject({ code: 'INVALID_NAME' })
    await expect(create('many', { partitions: 1_025 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(create('wide', { replication: 2 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(create('orders', { partitions: 4 })).rejects.toMatchObject({ code: 'TOPIC_EXISTS' })
    expect(await create('orders')).toMatchObject({ created: false })
  })

  test('on a node that does not lead the catalogue names the leader', async () => {
    node.group(0)!.stepDown('unknown')
    const refusal = expect.objectContaining({
      code: 'NOT_LEADER',
      details: { leaderNode: 2, term: expect.any(Number) },
    })
    await expect(topics.create({ name: 'orders', ifNotExists: true })).rejects.toEqual(refusal)
    await expect(topics.delete('orders')).rejects.toEqual(refusal)
  })

  test('is unknown where leadership is lost before it is committed', async () => {
    await topics.create({ name: 'first', ifNotExists: false })
    node.group(0)!.autoCommit = false
    const creating = topics.create({ name: 'orders', ifNotExists: false })
    await until(() => node.group(0)!.proposals.length > 0)
    node.group(0)!.stepDown('unknown')
    await expect(creating).rejects.toMatchObject({ code: 'LEADERSHIP_LOST', outcome: 'unknown' })
  })
})

test('unknown topics and partitions are refused by name', async () => {
  await topics.create({ name: 'orders', ifNotExists: false })
  expect(() => topics.describe('nothing')).toThrow(expect.objectContaining({ code: 'UNKNOWN_TOPIC' }))
  expect(() => topics.partition('nothing', 0)).toThrow(expect.objectContaining({ code: 'UNKNOWN_TOPIC' }))
  for (const partition of [-1, 3, 0.5]) {
    expect(() => topics.partition('orders', partition)).toThrow(expect.objectContaining({ code: 'UNKNOWN_PARTITION' }))
  }
})

describe('restart', () => {
  test.each([true, false])('opens everything again, with what was stored (clean stop: %s)', async clean => {
    await topics.create({ name: 'orders', ifNotExists: false })
    await append('orders', idempotent('abc', 0))
    const before = catalogueState()
    await restart(clean)
    expect(catalogueState()).toBe(before)
    expect(await append('orders', idempotent('abc', 0))).toMatchObject({ baseOffset: 0, duplicate: true })
    expect(await append('orders', idempotent('d', 1))).toMatchObject({ baseOffset: 3, duplicate: false })
    await until(() => topics.replicas().length === 4)
  })

  test('replays the log where a checkpoint is damaged, and says so', async () => {
    await topics.create({ name: 'orders', ifNotExists: false })
    await append('orders', idempotent('abc', 0))
    await topics.shutdown()
    await node.shutdown()
    for (const group of [0, 1]) {
      stateStore.damage(group, values => {
        const [key, value] = [...values].at(-1)!
        values.set(
          key,
          value.map(byte => byte ^ 1),
        )
      })
    }
    await stateStore.flush()
    await restart(false)
    expect(await append('orders', idempotent('abc', 0))).toMatchObject({ duplicate: true })
    const warned = events.filter(e => e.level === 'warn').map(e => e.group)
    expect(warned).toEqual([0, 1])
  })
})

describe('a replica that was lost', () => {
  test('stays closed, is reported and never made again', async () => {
    await topics.create({ name: 'orders', ifNotExists: false })
    await opened('orders', 2)
    await topics.shutdown()
    await logStore.drop(1)
    await restart(false)
    await opened('orders', 1)
    await until(() => topics.failed().length > 0)
    expect(topics.partition('orders', 0)).toBeUndefined()
    expect(topics.failed()).toMatchObject([{ plan: { group: 1 }, error: { code: 'REPLICA_LOST' } }])
    expect(events).toContainEqual(expect.objectContaining({ level: 'error', group: 1 }))
    expect(logStore.groups().map(l => l.group)).not.toContain(1)
  })

  test('and is refused by the log store, too', async () => {
    await topics.create({ name: 'orders', ifNotExists: false })
    await opened('orders', 2)
    await topics.shutdown()
    const reason = new LogError('REPLICA_LOST', 'no base record')
    logStore = logStore.reopen()
    vi.spyOn(logStore, 'refused').mockReturnValue([{ group: 2, reason }])
    const create = vi.spyOn(logStore, 'create')
    await start()
    await until(() => topics.failed().length > 0)
    expect(topics.failed()[0]?.error).toBe(reason)
    expect(create).not.toHaveBeenCalled()
  })
})

test('a node without a catalogue never founds one', async () => {
  const empty = new MemoryLogStore()
  const options = {
    node: new FakeNode(empty),
    logStore: empty,
    stateStore,
    snapshots,
    nodeId: 1,
    clusterId: 'c',
    nodes: [],
  }
  await expect(openTopics({ ...options, log: () => undefined })).rejects.toMatchObject({ code: 'REPLICA_LOST' })
  expect(empty.groups()).toEqual([])
})

test('a replica whose creation fails on a full disk is tried again', async () => {
  vi.spyOn(logStore, 'create').mockRejectedValueOnce(new LogError('IO', 'no space left'))
  await topics.create({ name: 'orders', config: { partitions: 1 }, ifNotExists: false })
  await until(() => topics.failed().length > 0)
  expect(await append('orders')).toMatchObject({ baseOffset: 0 })
  expect(topics.failed()).toEqual([])
})

describe('delete', () => {
  test('closes the replicas, refuses what comes, and removes the groups', async () => {
    await topics.create({ name: 'orders', ifNotExists: false })
    const partition = await opened('orders')
    await topics.delete('orders')
    await until(() => logStore.groups().length === 1)
    expect(topics.list()).toEqual([])
    const answer = await new Promise(resolve => partition.append(batch('a'), resolve))
    expect(answer).toMatchObject({ code: 'UNKNOWN_TOPIC' })
    await topics.create({ name: 'orders', config: { partitions: 1 }, ifNotExists: false })
    expect(await append('orders')).toMatchObject({ baseOffset: 0 })
    expect(topics.describe('orders').partitions[0]!.group).toBe(4)
  })

  test('is finished after a restart', async () => {
    await topics.create({ name: 'orders', ifNotExists: false })
    await opened('orders', 2)
    const drop = vi.spyOn(logStore, 'drop').mockImplementation(() => new Promise(() => undefined))
    await topics.delete('orders')
    await until(() => drop.mock.calls.length > 0)
    logStore = logStore.reopen()
    await start()
    await until(() => logStore.groups().length === 1)
  })

  test('takes the snapshots of its groups along, before their logs', async () => {
    await topics.create({ name: 'orders', config: { partitions: 1 }, ifNotExists: false })
    await opened('orders')
    await takeSnapshot(await snapshots.open(1), 10)
    const drop = vi.spyOn(snapshots, 'drop').mockRejectedValueOnce(new LogError('IO', 'no space left'))
    const dropLog = vi.spyOn(logStore, 'drop')
    await topics.delete('orders')
    await until(() => drop.mock.calls.length === 1)
    expect([dropLog.mock.calls, logStore.groups().length]).toEqual([[], 2])
    await until(() => logStore.groups().length === 1)
    expect((await snapshots.open(1)).list()).toEqual([])
  })

  test('is not undone while the log is replayed', async () => {
    await topics.create({ name: 'orders', ifNotExists: false })
    await opened('orders', 2)
    await topics.delete('orders')
    await until(() => logStore.groups().length === 1)
    await topics.shutdown()
    logStore = logStore.reopen()
    const create = vi.spyOn(logStore, 'create')
    await start(true)
    await until(() => topics.catalogue.leading)
    await topics.create({ name: 'events', config: { partitions: 1 }, ifNotExists: false })
    await opened('events')
    expect(create.mock.calls.map(([group]) => group)).toEqual([4])
    expect(events.filter(e => e.level === 'error')).toEqual([])
  })

  test('corrupt catalogue snapshot never deletes topics', async () => {
    await topics.create({ name: 'orders', ifNotExists: false })
    await opened('orders', 2)
    await topics.shutdown()
    // A catalogue that knows of nothing, as after a bad restore.
    const catalogue = logStore.groups()[0]!
    await catalogue.reset(catalogue.base)
    stateStore = new MemoryStateStore()
    await restart(false)
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(topics.list()).toEqual([])
    expect(logStore.groups().map(l => l.group)).toEqual([0, 1, 2, 3])
  })
})

test('shutdown wakes readers and refuses appends', async () => {
  await topics.create({ name: 'orders', ifNotExists: false })
  const partition = await opened('orders')
  const woken = vi.fn()
  partition.waitAbove(0, woken)
  await topics.shutdown()
  expect(woken).toHaveBeenCalledOnce()
  partition.append(batch('a'), answer => expect(answer).toMatchObject({ code: 'SHUTTING_DOWN' }))
  await expect(topics.create({ name: 'b', ifNotExists: true })).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
})

test('a replica that is made never reads the snapshots of a dead one of its group', async () => {
  await takeSnapshot(await snapshots.open(1), 10)
  await topics.create({ name: 'orders', config: { partitions: 1 }, ifNotExists: false })
  expect(await append('orders')).toMatchObject({ baseOffset: 0 })
  expect((await snapshots.open(1)).list()).toEqual([])
})
