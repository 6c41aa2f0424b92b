/** Retention on real files: the space comes back to the disk, and a restart finds the rest. */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LogStore, SnapshotStores } from '@millrace/log-store'
import { openSegmentedLogStore, openSnapshotFolder } from '@millrace/log-store'
import type { NodeEvent, RaftNode } from '@millrace/raft-node'
import { birthGroup, createNode } from '@millrace/raft-node'
import { createMemoryNetwork } from '@millrace/raft-node/memory'
import { crc32, framePayload, MillraceError } from '@millrace/record'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openLmdbStateStore } from './lmdb-state-store.ts'
import type { PartitionReplica } from './partition-replica.ts'
import type { StateStore } from './state-store.ts'
import type { TopicHost } from './topic-host.ts'
import { openTopics } from './topic-host.ts'

const SEGMENT_BYTES = 64 * 1024
const BATCH_BYTES = 8 * 1024
const HOUR_MS = 3_600_000

let folder: string
let logStore: LogStore
let stateStore: StateStore
let snapshots: SnapshotStores
let node: RaftNode
let topics: TopicHost
let events: NodeEvent[]
/** Time that has gone by without anybody waiting for it. */
let passedMs: number

beforeEach(async () => {
  passedMs = 0
  folder = mkdtempSync(join(tmpdir(), 'millrace-retention-'))
  await openStores()
  await birthGroup(logStore, { clusterId: 'c', group: 0, nodes: [1], nodeId: 1 })
  await start()
})
afterEach(async () => {
  await stop()
  rmSync(folder, { recursive: true, force: true })
})

const wallMs = (): number => Date.now() + passedMs
const monotonicMs = (): number => performance.now() + passedMs

function setTimer(delayMs: number, run: () => void): { cancel(): void } {
  const timer = setTimeout(run, delayMs)
  return { cancel: () => clearTimeout(timer) }
}

async function openStores(): Promise<void> {
  const onFatal = (error: Error): never => {
    throw error
  }
  const clock = { wallMs, monotonicMs, later: (task: () => void) => void setImmediate(task), after: setTimer }
  const sizes = { segmentBytesMax: SEGMENT_BYTES, trashKeepMs: 50, spareSegmentsMax: 1 }
  logStore = await openSegmentedLogStore({ dir: join(folder, 'log'), onFatal, clock, ...sizes })
  stateStore = openLmdbStateStore(join(folder, 'state'))
  snapshots = await openSnapshotFolder({ dir: join(folder, 'snapshots') })
}

async function start(): Promise<void> {
  events = []
  const log = (event: NodeEvent): void => void events.push(event)
  const nextTurn = (run: () => void): void => void setImmediate(run)
  const clock = { wallMs, monotonicMs: () => performance.now(), setTimer, nextTurn }
  node = await createNode({ nodeId: 1, logStore, transport: createMemoryNetwork().transport(1), clock, log })
  const nodes = [{ node: 1, clientUrl: 'http://1', peerAddress: '1:1' }]
  const timing = { retentionIntervalMs: 20 }
  const stores = { node, logStore, stateStore, snapshots }
  const own = { nodeId: 1, clusterId: 'c', nodes }
  topics = await openTopics({ ...stores, ...own, clock: { wallMs, monotonicMs, setTimer }, timing, log })
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

function leader(): Promise<PartitionReplica> {
  return until(() => {
    const replica = topics.partition('orders', 0)
    return replica?.leading ? (replica as PartitionReplica) : undefined
  }) as Promise<PartitionReplica>
}

/** Batches `from` to `to` − 1, a record and 8 KiB each. */
async function fill(from: number, to: number): Promise<void> {
  const replica = await leader()
  for (let number = from; number < to; number++) {
    const payload = new Uint8Array(BATCH_BYTES).fill(number)
    await new Promise<void>((resolve, reject) => {
      replica.append({ payload, payloadCrc: crc32(payload), codec: 0, count: 1 }, answer => {
        if (answer instanceof MillraceError) reject(answer)
        else resolve()
      })
    })
  }
}

/** Of all files that the store has for records, whatever they are called; without those of the catalogue. */
function bytesOnDisk(): number {
  let sum = 0
  for (const name of readdirSync(join(folder, 'log'), { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, 'log', name)
    if (name.startsWith('groups/0/') || !existsSync(path)) continue
    const file = statSync(path, { throwIfNoEntry: false })
    if (file?.isFile()) sum += file.size
  }
  return sum
}

async function numbersFrom(replica: PartitionReplica): Promise<readonly number[]> {
  const found: number[] = []
  for (let offset = replica.logStartOffset; offset < replica.highWatermark; ) {
    const { frames, nextOffset } = await replica.read(offset, 100_000)
    found.push(...frames.map(frame => framePayload(frame)[0]!))
    offset = nextOffset
  }
  return found
}

test('space returns to the disk by size, and a restart reads the rest', async () => {
  const config = { partitions: 1, retentionMs: 0, retentionBytes: 2 * SEGMENT_BYTES }
  await topics.create({ name: 'orders', config, ifNotExists: false })
  await fill(0, 120)
  // Three segments and the one that is written to, one kept as space for the next, and what is small.
  await until(() => bytesOnDisk() < 6 * SEGMENT_BYTES)
  const before = await leader()
  expect(before.handle.log.base.nextOffset).toBeGreaterThan(80)
  expect(before.handle.log.segments().reduce((sum, { bytes }) => sum + bytes, 0)).toBeGreaterThan(2 * SEGMENT_BYTES)
  await stop()
  await openStores()
  await start()
  const after = await leader()
  const first = after.logStartOffset
  expect(await numbersFrom(after)).toEqual(Array.from({ length: 120 - first }, (_, i) => first + i))
  await expect(after.read(first - 1, 1)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
  await fill(120, 125)
  expect((await numbersFrom(after)).at(-1)).toBe(124)
  expect(events.filter(({ level }) => level !== 'info')).toEqual([])
})

test('space of an idle topic returns by age, the segment that was being written to included', async () => {
  const config = { partitions: 1, retentionMs: HOUR_MS }
  await topics.create({ name: 'orders', config, ifNotExists: false })
  await fill(0, 30)
  const full = bytesOnDisk()
  expect(full).toBeGreaterThan(30 * BATCH_BYTES)
  const replica = await leader()
  const search = vi.spyOn(replica.handle.log, 'segments')
  await until(() => search.mock.calls.length > 2)
  expect([replica.logStartOffset, bytesOnDisk() >= full]).toEqual([0, true])
  passedMs += HOUR_MS + 60_000
  await until(() => replica.logStartOffset === 30)
  // One segment is kept as space for the next.
  await until(() => bytesOnDisk() < 2 * SEGMENT_BYTES)
  expect(replica.handle.log.segments()).toMatchObject([{ nextOffset: 30, bytes: expect.any(Number) }])
  expect(replica.handle.log.segments()[0]!.bytes).toBeLessThan(BATCH_BYTES)
  await stop()
  await openStores()
  await start()
  const after = await leader()
  expect([after.logStartOffset, after.highWatermark]).toEqual([30, 30])
  await fill(30, 31)
  expect(await numbersFrom(after)).toEqual([30])
})

test('full disk on all nodes at once: appends are refused, and retention, which needs an append itself, goes on', async () => {
  const config = { partitions: 1, retentionMs: HOUR_MS }
  await topics.create({ name: 'orders', config, ifNotExists: false })
  await fill(0, 30)
  const isFull = vi.spyOn(logStore, 'acceptsAppends', 'get').mockReturnValue(false)
  await expect(fill(30, 31)).rejects.toMatchObject({ code: 'DISK_FULL' })
  passedMs += HOUR_MS + 60_000
  const replica = await leader()
  await until(() => replica.logStartOffset === 30)
  await until(() => bytesOnDisk() < 2 * SEGMENT_BYTES)
  isFull.mockRestore()
  await fill(30, 31)
  expect(await numbersFrom(replica)).toEqual([30])
})
