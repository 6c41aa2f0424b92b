/** Records that are damaged on every replica, in an entry that none has applied: real files, real sockets. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { ClusterService } from '@millrace/proto'
import { crc32, MillraceError } from '@millrace/record'
import type { AppendBatch, Appended, Partition, TopicHost } from '@millrace/topics'
import { afterEach, expect, test, vi } from 'vitest'
import { clusterConfigs, type DurableCluster, durableClusterOf } from '../testing/durable-cluster.ts'

const FLAGS = { 'raft.heartbeatMs': 50, 'raft.electionTimeoutMinMs': 500 }
const POLL = { interval: 20, timeout: 20_000 }
const RECORDS = 12
const DAMAGED = 5

let cluster: DurableCluster
afterEach(async () => cluster.close())

const host = (node: number): TopicHost => cluster.nodes[node - 1]!.context.topics as TopicHost
const NODES = [1, 2, 3]

/** Undefined as long as the node does not know of it. */
function orders(node: number): Partition | undefined {
  try {
    return host(node).partition('orders', 0)
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'UNKNOWN_TOPIC') return undefined
    throw error
  }
}

function batchOf(sequence: number, retry = false): AppendBatch {
  const payload = Buffer.from(`value ${sequence}.`.padEnd(300, '.'))
  const producer = { id: Buffer.alloc(16, 7), epoch: 0, sequence, retry }
  return { payload, payloadCrc: crc32(payload), codec: 0, count: 1, producer }
}

/** The answer of whoever leads. */
async function append(batch: AppendBatch): Promise<Appended | MillraceError> {
  let answer: Appended | MillraceError | undefined
  await vi.waitUntil(async () => {
    for (const node of NODES) {
      const partition = orders(node)
      if (partition?.leading !== true) continue
      answer = await new Promise<Appended | MillraceError>(resolve => partition.append(batch, resolve))
      return true
    }
    return false
  }, POLL)
  return answer!
}

/** Flips a bit of a record in every copy of its log. */
function damage(value: number): void {
  for (const { dataDir } of cluster.configs) {
    const groups = join(dataDir, 'log', 'groups')
    const segments = readdirSync(groups).flatMap(group =>
      readdirSync(join(groups, group))
        .filter(name => name.endsWith('.log'))
        .map(name => join(groups, group, name)),
    )
    const holding = segments.filter(file => readFileSync(file).includes(`value ${value}.`))
    expect(holding).toHaveLength(1)
    const bytes = readFileSync(holding[0]!)
    bytes[bytes.indexOf(`value ${value}.`)]! ^= 1
    writeFileSync(holding[0]!, bytes)
  }
}

test("they are given up at an operator's word, on every replica, and the partition goes on without its producers", {
  timeout: 60_000,
}, async () => {
  cluster = await durableClusterOf(await clusterConfigs(3, FLAGS))
  await Promise.all(NODES.map(node => cluster.start(node)))
  await vi.waitUntil(() => NODES.some(node => host(node).catalogue.leading), POLL)
  const leading = NODES.find(node => host(node).catalogue.leading)!
  await host(leading).create({ name: 'orders', config: { partitions: 1 }, ifNotExists: true })
  for (let sequence = 0; sequence < RECORDS; sequence++) {
    expect(await append(batchOf(sequence))).toMatchObject({ baseOffset: sequence })
    // One by one, so that each is a round of its own everywhere.
    await vi.waitUntil(() => NODES.every(node => orders(node)?.highWatermark === sequence + 1), POLL)
  }
  for (const node of NODES) await cluster.stop(node)
  damage(DAMAGED)
  for (const { dataDir } of cluster.configs) rmSync(join(dataDir, 'state'), { recursive: true })
  await Promise.all(NODES.map(node => cluster.start(node)))
  const clients = cluster.nodes.map(node =>
    createClient(ClusterService, createConnectTransport({ baseUrl: node!.url, httpVersion: '2' })),
  )
  /** Of the node that is asked, or the leader that it asks. */
  const giveUp = async (client: (typeof clients)[number], acceptDataLoss: boolean): Promise<unknown> => {
    for (;;) {
      try {
        return await client.giveUpRange({ topic: 'orders', partition: 0, acceptDataLoss })
      } catch (error) {
        // Until there is a leader, and it has come to the damage.
        if (!/NO_LEADER|no leader|does not lead|only the leader|waits for no damaged/.test(String(error))) throw error
      }
      await new Promise(resolve => setTimeout(resolve, POLL.interval))
    }
  }
  const range = { firstOffset: BigInt(DAMAGED), nextOffset: BigInt(DAMAGED + 1) }
  for (const client of clients) expect(await giveUp(client, false)).toMatchObject(range)
  expect(NODES.map(node => orders(node)!.highWatermark)).toEqual([DAMAGED, DAMAGED, DAMAGED])
  expect(await giveUp(clients[0]!, true)).toMatchObject(range)

  // Never acceptance: what a producer had sent may be among what was lost.
  expect(await append(batchOf(RECORDS))).toMatchObject({ code: 'PRODUCER_UNKNOWN' })
  expect(await append(batchOf(0, true))).toMatchObject({ code: 'PRODUCER_UNKNOWN' })
  const next = { ...batchOf(0), producer: { id: Buffer.alloc(16, 8), epoch: 0, sequence: 0 } }
  expect(await append(next)).toMatchObject({ baseOffset: RECORDS })
  await vi.waitUntil(() => NODES.every(node => orders(node)?.highWatermark === RECORDS + 1), POLL)
  for (const node of NODES) {
    const partition = orders(node)!
    await expect(partition.read(DAMAGED, 1_000)).rejects.toMatchObject({
      ...{ code: 'RANGE_DAMAGED', details: { firstOffset: DAMAGED, nextOffset: DAMAGED + 1 } },
    })
    expect((await partition.read(0, 1_000_000)).nextOffset).toBe(DAMAGED)
    expect((await partition.read(DAMAGED + 1, 1_000_000)).frames.length).toBeGreaterThan(0)
  }
  const hashes = (): string[] =>
    NODES.map(node =>
      JSON.stringify(
        host(node)
          .stateHashes()
          .filter(({ group }) => group !== 0),
      ),
    )
  await expect.poll(() => new Set(hashes()).size, POLL).toBe(1)
  for (const node of NODES) await cluster.stop(node)
  await Promise.all(NODES.map(node => cluster.start(node)))
  expect(await append(batchOf(0, true))).toMatchObject({ code: 'PRODUCER_UNKNOWN' })
  await expect.poll(() => new Set(hashes()).size, POLL).toBe(1)
})
