/** Retention on three nodes: what every replica lets go, what is left after restarts, and who needs a snapshot for it. */
import { framePayload } from '@millrace/record'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { MemoryStateStore } from './memory-state-store.ts'
import type { PartitionReplica } from './partition-replica.ts'
import { logStartAfterRetention } from './retention-decision.ts'
import { MemoryCluster } from './testing/memory-cluster.ts'
import { batch, idempotent } from './testing/partition-fixture.ts'

const SEGMENT_BYTES = 4_000
const TEXT = 'x'.repeat(400)

let cluster: MemoryCluster
const states = new Map<number, MemoryStateStore>()

beforeEach(async () => {
  states.clear()
  const openState = (node: number): MemoryStateStore => {
    const state = states.get(node)?.crash() ?? new MemoryStateStore()
    states.set(node, state)
    return state
  }
  const timings = { checkpointIntervalMs: 1_000, retentionIntervalMs: 20 }
  // The snapshot of a partition takes seconds.
  const sending = { snapshotChunkBytes: 64, snapshotBytesPerSecondMax: 200 }
  const logStore = { segmentBytesMax: SEGMENT_BYTES }
  cluster = await MemoryCluster.found(3, openState, { ...timings, logStore, sending })
})
afterEach(async () => {
  await cluster.stopAll()
})

const until = <T>(holds: () => T) => vi.waitUntil(holds, { timeout: 20_000, interval: 10 })

async function createTopic(config: { retentionMs?: number; retentionBytes?: number }): Promise<void> {
  const leader = await until(() => cluster.catalogueLeader())
  await leader.create({ name: 'orders', config: { partitions: 1, ...config }, ifNotExists: false })
  await until(() => cluster.leader('orders', 0))
}

/** The first record of a batch is its number, modulo 128. */
function numbered(sequence: number) {
  return idempotent(String.fromCharCode(sequence % 128) + TEXT, sequence)
}

/** Batches `from` to `to` − 1 of one producer, 401 records each. */
async function fill(from: number, to: number): Promise<void> {
  for (let sequence = from; sequence < to; sequence++) await cluster.appendSurely('orders', 0, numbered(sequence))
}

function replicas(): readonly PartitionReplica[] {
  return cluster.ids.map(id => cluster.replica(id, 'orders', 0)).filter(replica => replica !== undefined)
}

/** All running nodes have the same state. */
function converged(): boolean {
  const hashes = new Set(replicas().map(({ machine }) => `${machine.applied.index} ${machine.stateHash()}`))
  return replicas().length === cluster.ids.length && hashes.size === 1
}

/** And their logs begin at its log start, as far as batches allow. */
function settled(): boolean {
  return converged() && replicas().every(({ trimDue }) => !trimDue)
}

function bytesOf({ handle }: PartitionReplica): number {
  return handle.log.segments().reduce((sum, segment) => sum + segment.bytes, 0)
}

/** Nothing more is to go. */
function steady(retentionBytes: number): boolean {
  const leader = replicas().find(({ leading }) => leading)
  if (leader === undefined || !settled()) return false
  const { machine, handle, logStartOffset, highWatermark } = leader
  const log = { segments: handle.log.segments(), applied: machine.applied.index, logStartOffset, highWatermark }
  return logStartAfterRetention(log, { retentionMs: 0, retentionBytes }, undefined) === undefined
}

/** Numbers of the batches from the log start to the end, as a replica has them. */
async function batchesOf(replica: PartitionReplica): Promise<readonly number[]> {
  const found: number[] = []
  for (let offset = replica.logStartOffset; offset < replica.highWatermark; ) {
    const { frames, nextOffset } = await replica.read(offset, 3_000)
    found.push(...frames.map(frame => framePayload(frame)[0]!))
    offset = nextOffset
  }
  return found
}

test('every replica lets go of the same, keeps it over a restart, and goes on', async () => {
  await createTopic({ retentionBytes: 3 * SEGMENT_BYTES })
  await fill(0, 60)
  await until(() => steady(3 * SEGMENT_BYTES))
  for (const replica of replicas()) expect(bytesOf(replica)).toBeGreaterThanOrEqual(3 * SEGMENT_BYTES)
  const { ids } = cluster
  await cluster.stopAll()
  await Promise.all(ids.map(id => cluster.start(id)))
  await until(() => steady(3 * SEGMENT_BYTES))
  const start = replicas()[0]!.logStartOffset
  const first = start / 401
  expect(first).toBeGreaterThan(20)
  for (const replica of replicas()) {
    expect(replica.logStartOffset).toBe(start)
    expect(await batchesOf(replica)).toEqual(Array.from({ length: 60 - first }, (_, i) => first + i))
    await expect(replica.read(start - 1, 100)).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
      details: { logStartOffset: start, highWatermark: 60 * 401 },
    })
  }
  // The producer is known by more than what is left of its batches.
  expect(await cluster.appendSurely('orders', 0, numbered(59))).toMatchObject({ duplicate: true })
  expect(await cluster.appendSurely('orders', 0, idempotent('abc', 60))).toMatchObject({ baseOffset: 60 * 401 })
  expect(cluster.events.filter(({ level }) => level === 'error')).toEqual([])
})

test('an idle topic becomes empty by age on all replicas, and knows its producers and its next offset', async () => {
  await createTopic({ retentionMs: 300 })
  await fill(0, 20)
  await until(() => settled() && replicas().every(({ handle }) => handle.log.base.nextOffset === 20 * 401))
  expect(replicas().map(({ logStartOffset, highWatermark }) => [logStartOffset, highWatermark])).toEqual(
    [1, 2, 3].map(() => [20 * 401, 20 * 401]),
  )
  const again = await cluster.appendSurely('orders', 0, numbered(19))
  expect(again).toMatchObject({ baseOffset: 19 * 401, duplicate: true })
  expect(await cluster.appendSurely('orders', 0, idempotent('abc', 20))).toMatchObject({ baseOffset: 20 * 401 })
})

test('a killed replica comes back to the log start of the others, whatever of its own trim was durable', async () => {
  await createTopic({ retentionBytes: 2 * SEGMENT_BYTES })
  for (let round = 0; round < 6; round++) {
    await fill(10 * round, 10 * round + 10)
    const victim = cluster.leaders('orders', 1)[0]!
    if (victim === 0) continue
    cluster.kill(victim)
    await cluster.start(victim)
  }
  await until(() => steady(2 * SEGMENT_BYTES) && replicas().every(replica => replica.highWatermark === 60 * 401))
  expect(replicas()[0]!.logStartOffset).toBeGreaterThan(0)
  const found = await Promise.all(replicas().map(batchesOf))
  expect(found[0]!.at(-1)).toBe(59)
  expect(found).toEqual([found[0], found[0], found[0]])
})

test('a node that is behind the log start gets a snapshot of the base and then the log, once, while retention goes on', async () => {
  await createTopic({ retentionBytes: 2 * SEGMENT_BYTES })
  await fill(0, 5)
  const leaderNode = cluster.leaders('orders', 1)[0]!
  const [other, away] = [1, 2, 3].filter(id => id !== leaderNode) as [number, number]
  await cluster.stop(away)
  await fill(5, 60)
  await until(() => settled() && replicas().every(({ handle }) => handle.log.base.nextOffset > 5 * 401))
  await cluster.start(away)
  await until(() => cluster.node(leaderNode).snapshots().sending === 1)
  const leader = cluster.replica(leaderNode, 'orders', 0)!
  const base = leader.handle.log.base.index
  // Segments come and go while it is on its way; the log that the node needs after it stays with the leader.
  await fill(60, 100)
  const logOf = (node: number) => cluster.replica(node, 'orders', 0)!.handle.log
  await until(() => leader.machine.logStartOffset > 60 * 401 && logOf(other).base.nextOffset > 60 * 401)
  expect(leader.handle.log.base.index).toBe(base)
  await until(() => converged())
  expect(cluster.replica(away, 'orders', 0)!.highWatermark).toBe(100 * 401)
  expect(cluster.node(away).snapshots().installed).toBe(1)
  const found = await Promise.all(replicas().map(batchesOf))
  expect(found[0]!.at(-1)).toBe(99)
  expect(found).toEqual([found[0], found[0], found[0]])
  expect(cluster.events.filter(({ level }) => level === 'error')).toEqual([])
})

test('records are removed on request, on all replicas', async () => {
  await createTopic({})
  await fill(0, 10)
  const leader = cluster.leader('orders', 0)!
  expect(await leader.startLogAt(5 * 401 + 7)).toBe(5 * 401 + 7)
  await until(() => settled() && replicas().every(({ handle }) => handle.log.base.nextOffset === 5 * 401))
  for (const replica of replicas()) {
    await expect(replica.read(5 * 401 + 6, 100)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
    expect(await batchesOf(replica)).toEqual([5, 6, 7, 8, 9])
  }
  const follower = replicas().find(replica => !replica.leading)!
  await expect(follower.startLogAt(8)).rejects.toMatchObject({ code: 'NOT_LEADER' })
  await cluster.appendSurely('orders', 0, batch('abc'))
  expect(await leader.startLogAt(10 * 401 + 3)).toBe(10 * 401 + 3)
  await until(() => settled() && replicas().every(({ logStartOffset }) => logStartOffset === 10 * 401 + 3))
})
