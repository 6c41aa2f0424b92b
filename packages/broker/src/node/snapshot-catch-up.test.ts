/** A node that is far behind logs which were trimmed: real sockets, real files, the catalogue and partitions. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { verifyDataFolder } from '@millrace/log-store/offline'
import { ClusterService } from '@millrace/proto'
import { TcpProxy } from '@millrace/raft-node/testing'
import { crc32, MillraceError } from '@millrace/record'
import type { Appended, StartedGroup, TopicHost } from '@millrace/topics'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import type { NodeConfig } from '../config/node-config.ts'
import { clusterConfigs, type DurableCluster, durableClusterOf } from '../testing/durable-cluster.ts'

const FLAGS = {
  'raft.heartbeatMs': 50,
  'raft.electionTimeoutMinMs': 500,
  'snapshots.entries': 10,
  'snapshots.trailingEntriesMax': 2,
  'snapshots.retained': 1,
}
/** Short enough to be looked at often, long enough for a machine that is busy. */
const POLL = { interval: 20, timeout: 20_000 }

let cluster: DurableCluster
afterEach(async () => cluster.close())

const host = (node: number): TopicHost => cluster.nodes[node - 1]!.context.topics as TopicHost
const up = (): readonly number[] => [1, 2, 3].filter(node => cluster.nodes[node - 1] !== undefined)
const replica = (node: number, group: number): StartedGroup | undefined =>
  host(node)
    .replicas()
    .find(({ handle }) => handle.group === group)

/** What `attempt` returns, as soon as some node takes it. */
async function onLeader<T>(attempt: (topics: TopicHost) => Promise<T>): Promise<T> {
  const deadline = performance.now() + POLL.timeout
  for (;;) {
    for (const node of up()) {
      try {
        return await attempt(host(node))
      } catch (error) {
        const waits = error instanceof MillraceError && (error.retryable || error.code === 'UNKNOWN_TOPIC')
        if (!waits || performance.now() > deadline) throw error
      }
    }
    await new Promise(resolve => setTimeout(resolve, POLL.interval))
  }
}

/** A cluster whose third node was there for its founding, and not since. */
async function withoutThird(configs: readonly NodeConfig[]): Promise<void> {
  cluster = await durableClusterOf(configs)
  await Promise.all([1, 2, 3].map(node => cluster.start(node)))
  await converged([0])
  await cluster.stop(3)
}

const createTopic = (name: string, partitions: number) =>
  onLeader(topics => topics.create({ name, config: { partitions }, ifNotExists: true }))

/** The first batch of a new producer, so that it takes its place in the state. */
function append(partition: number, producer: number): Promise<Appended> {
  const payload = Buffer.from(`record of ${producer}`.padEnd(200, '.'))
  const id = Buffer.alloc(16)
  id.writeUInt32LE(producer + 1)
  return onLeader(
    topics =>
      new Promise((resolve, reject) => {
        const at = topics.partition('orders', partition)
        if (at === undefined) throw new MillraceError('NO_LEADER', 'not there yet')
        const batch = { payload, payloadCrc: crc32(payload), codec: 0, count: 1 } as const
        at.append({ ...batch, producer: { id, epoch: 0, sequence: 0 } }, answer =>
          answer instanceof MillraceError ? reject(answer) : resolve(answer),
        )
      }),
  )
}

async function appendMany(from: number, to: number): Promise<void> {
  for (const partition of [0, 1]) {
    await append(partition, from)
    await Promise.all(Array.from({ length: to - from - 1 }, (_, i) => append(partition, from + 1 + i)))
  }
}

const groupsOfOrders = (): readonly number[] =>
  host(1)
    .describe('orders')
    .partitions.map(({ group }) => group)

/** Lets the catalogue trim its log by snapshots, and trims those of the partitions as retention would. @returns bases */
async function trimEverywhere(): Promise<ReadonlyMap<number, number>> {
  for (let i = 0; i < 15; i++) {
    await createTopic(`short-lived-${i}`, 1)
    await onLeader(topics => topics.delete(`short-lived-${i}`))
  }
  const bases = new Map<number, number>()
  for (const group of [0, ...groupsOfOrders()]) {
    const { handle } = replica(1, group)!
    const to = handle.status().applied - 3
    for (const node of up()) {
      await expect.poll(() => replica(node, group)!.handle.status().applied, POLL).toBeGreaterThanOrEqual(to)
      if (group !== 0) expect(await replica(node, group)!.handle.trimLog(to)).toBe(to)
      await expect.poll(() => replica(node, group)!.handle.log.base.index, POLL).toBeGreaterThan(15)
    }
    bases.set(group, Math.min(...up().map(node => replica(node, group)!.handle.log.base.index)))
  }
  return bases
}

/** Waits until all nodes are at the same index of every group, with equal hashes of their state. */
async function converged(groups: readonly number[]): Promise<void> {
  const states = (node: number) =>
    host(node)
      .stateHashes()
      .filter(({ group }) => groups.includes(group))
  await expect.poll(() => states(3).length, POLL).toBe(groups.length)
  await expect
    .poll(() => {
      const [first, ...others] = up().map(node => JSON.stringify(states(node).toSorted((a, b) => a.group - b.group)))
      return others.every(each => each === first)
    }, POLL)
    .toBe(true)
}

async function recordsFrom(node: number, partition: number, offset: number): Promise<string> {
  const at = host(node).partition('orders', partition)!
  const read: Uint8Array[] = []
  for (let next = offset; ; ) {
    try {
      const { frames, nextOffset, highWatermark } = await at.read(next, 1_000_000)
      read.push(...frames.map(({ bytes }) => bytes))
      next = nextOffset
      if (next === highWatermark) return Buffer.concat(read).toString('hex')
    } catch (error) {
      // The log comes after the state: nobody may take what has not arrived for what is not there.
      if (!(error instanceof MillraceError && error.code === 'REPLICA_BEHIND')) throw error
    }
    await new Promise(resolve => setTimeout(resolve, POLL.interval))
  }
}

async function metric(node: number, name: string): Promise<number> {
  const text = await (await fetch(`${cluster.nodes[node - 1]!.adminUrl}/metrics`)).text()
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
}

const snapshotsOf = ({ dataDir }: NodeConfig, group: number): readonly string[] =>
  readdirSync(join(dataDir, 'snapshots', String(group)))

test.each([
  ['that was away when its replicas were made', false],
  ['that had a part of it', true],
])('a node %s gets catalogue and partitions by snapshots, and is the same as the others', async (_, wasThere) => {
  await withoutThird(await clusterConfigs(3, FLAGS))
  await createTopic('orders', 2)
  await append(0, 0)
  if (wasThere) {
    await cluster.start(3)
    await converged([0, ...groupsOfOrders()])
    await cluster.stop(3)
  }
  await appendMany(1, 60)
  const bases = await trimEverywhere()
  await expect.poll(() => snapshotsOf(cluster.configs[0]!, 0).length, POLL).toBe(1)
  await appendMany(60, 70)
  const groups = [0, ...groupsOfOrders()]
  await cluster.start(3)
  await converged(groups)
  // The state is there before its log is.
  await expect.poll(() => metric(3, 'millrace_snapshots_installed_total'), POLL).toBe(3)
  for (const group of groups) {
    expect(snapshotsOf(cluster.configs[2]!, group).length).toBeGreaterThan(0)
    await expect.poll(() => replica(3, group)!.handle.log.base.index, POLL).toBeGreaterThanOrEqual(bases.get(group)!)
  }
  for (const partition of [0, 1]) {
    const { nextOffset } = replica(3, groups[1 + partition]!)!.handle.log.base
    expect(await recordsFrom(3, partition, nextOffset)).toBe(await recordsFrom(1, partition, nextOffset))
  }
  // It takes part from now on, and begins with the same state the next time.
  await appendMany(70, 75)
  await converged(groups)
  await cluster.stop(3)
  await cluster.start(3)
  await converged(groups)
  expect(await metric(3, 'millrace_snapshots_installed_total')).toBe(0)
})

test('two nodes of three that have lost all state get it from the third, with the votes and logs of both', async () => {
  cluster = await durableClusterOf(await clusterConfigs(3, FLAGS))
  await Promise.all([1, 2, 3].map(node => cluster.start(node)))
  await createTopic('orders', 2)
  await appendMany(0, 30)
  const bases = await trimEverywhere()
  const groups = [0, ...groupsOfOrders()]
  await appendMany(30, 40)
  await converged(groups)
  for (const node of [2, 3]) {
    await cluster.stop(node)
    const { dataDir } = cluster.configs[node - 1]!
    for (const folder of ['state', 'snapshots']) rmSync(join(dataDir, folder), { recursive: true })
  }
  await Promise.all([2, 3].map(node => cluster.start(node)))
  await converged(groups)
  await appendMany(40, 45)
  await converged(groups)
  for (const node of [2, 3]) {
    expect(await metric(node, 'millrace_states_fetched_total')).toBe(groups.length)
    expect(await metric(node, 'millrace_state_missing_replicas')).toBe(0)
    // What a snapshot of the leader would have cost: the log from there on, and what it holds before.
    expect(await metric(node, 'millrace_snapshots_installed_total')).toBe(0)
    for (const group of groups) {
      expect(replica(node, group)!.handle.log.base.index).toBeGreaterThanOrEqual(bases.get(group)!)
    }
  }
  for (const partition of [0, 1]) {
    const { nextOffset } = replica(3, groups[1 + partition]!)!.handle.log.base
    expect(await recordsFrom(3, partition, nextOffset)).toBe(await recordsFrom(1, partition, nextOffset))
  }
  await cluster.stop(3)
  await cluster.start(3)
  await converged(groups)
  expect(await metric(3, 'millrace_states_fetched_total')).toBe(0)
})

test('verification reads the snapshots of a node, and finds a bit that flipped in any part of one', async () => {
  await withoutThird(await clusterConfigs(3, FLAGS))
  await createTopic('orders', 2)
  await appendMany(0, 20)
  await trimEverywhere()
  const groups = [0, ...groupsOfOrders()]
  await cluster.start(3)
  await converged(groups)
  await cluster.close()
  const { dataDir } = cluster.configs[2]!
  const whole = await verifyDataFolder(dataDir)
  expect(whole.damage).toEqual([])
  expect(whole.counts.snapshots).toBeGreaterThanOrEqual(groups.length)
  for (const group of groups) {
    const file = join('snapshots', String(group), snapshotsOf(cluster.configs[2]!, group)[0]!)
    const bytes = readFileSync(join(dataDir, file))
    for (const at of [0, 40, 130, bytes.length >> 1, bytes.length - 1]) {
      const flipped = Uint8Array.from(bytes)
      flipped[at]! ^= 0x10
      writeFileSync(join(dataDir, file), flipped)
      const { damage } = await verifyDataFolder(dataDir)
      expect({ at, files: damage.map(found => found.file) }).toEqual({ at, files: [file] })
    }
    writeFileSync(join(dataDir, file), bytes)
  }
  expect((await verifyDataFolder(dataDir)).damage).toEqual([])
})

test('a transfer that is interrupted goes on where it was, and its progress is to be seen', async () => {
  const configs = await clusterConfigs(3, {
    ...FLAGS,
    'snapshots.bytesPerSecondMax': '128KiB',
    'snapshots.chunkBytes': '4KiB',
  })
  const network = await TcpProxy.to(Number(configs[2]!.listen.peer.split(':')[1]))
  onTestFinished(() => network.close())
  const third = { ...configs[2]!.cluster.nodes[2]!, peerAddress: network.address }
  await withoutThird(
    configs.map(config => ({ ...config, cluster: { nodes: [...config.cluster.nodes.slice(0, 2), third] } })),
  )
  await createTopic('orders', 2)
  await appendMany(0, 3_000)
  await trimEverywhere()
  const groups = [0, ...groupsOfOrders()]
  await cluster.start(3)
  const clients = cluster.nodes.map(node =>
    createClient(ClusterService, createConnectTransport({ baseUrl: node!.url, httpVersion: '2' })),
  )
  const statuses = () => Promise.all(clients.map(client => client.nodeStatus({})))
  /** As the receiver says, once a sender says that it sends. */
  const receivedBytes = async (): Promise<number> => {
    const nodes = await statuses()
    const sending = nodes.flatMap(({ replicas }) => replicas.flatMap(({ followers }) => followers))
    if (!sending.some(({ node, snapshot }) => node === 3 && (snapshot?.bytes ?? 0n) > 0n)) return 0
    return Math.max(...nodes[2]!.replicas.map(({ receiving }) => Number(receiving?.bytes ?? 0)))
  }
  const cutAt: number[] = []
  for (const cuts of [1, 2]) {
    await vi.waitUntil(
      async () => {
        const bytes = await receivedBytes()
        if (bytes > cuts * 40_000) cutAt.push(bytes)
        return cutAt.length === cuts
      },
      { ...POLL, interval: 5 },
    )
    network.cut()
  }
  await converged(groups)
  const received = await metric(3, 'millrace_snapshot_received_bytes_total')
  const sent =
    (await metric(1, 'millrace_snapshot_sent_bytes_total')) + (await metric(2, 'millrace_snapshot_sent_bytes_total'))
  // Chunks that had no answer yet when the connection broke are sent twice; nothing is received twice.
  const stored = groups.flatMap(group =>
    snapshotsOf(cluster.configs[2]!, group).map(
      name => readFileSync(join(cluster.configs[2]!.dataDir, 'snapshots', String(group), name)).length,
    ),
  )
  const total = stored.reduce((sum, bytes) => sum + bytes, 0)
  expect(received).toBeLessThanOrEqual(total)
  expect(sent - received).toBeLessThan(Math.min(...cutAt))
})
