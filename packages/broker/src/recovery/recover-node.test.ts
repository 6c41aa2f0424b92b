import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { openSnapshotFolder } from '@millrace/log-store'
import { verifyDataFolder } from '@millrace/log-store/offline'
import { takeSnapshot } from '@millrace/log-store/testing'
import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { NodeConfig } from '../config/node-config.ts'
import { initNode } from '../node/init-node.ts'
import type { RunningNode } from '../node/running-node.ts'
import { serveNode } from '../node/serve-node.ts'
import { clusterConfigs, type DurableCluster, durableCluster } from '../testing/durable-cluster.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import { type AckedBatch, appendBatch, logClient, ProducerLoad } from '../testing/producer-load.ts'
import { recordFrames, stateHashes } from '../testing/stored-groups.ts'
import { recoverNode } from './recover-node.ts'

const silent = {
  log: pino({ level: 'silent' }),
  onFatal: (error: Error) => {
    throw error
  },
}

let cluster: DurableCluster
let load: ProducerLoad
const running: RunningNode[] = []

/** Three nodes; `orders` on all of them, `single/n` on one each. */
beforeEach(async () => {
  cluster = await durableCluster(3)
  await Promise.all([1, 2, 3].map(node => cluster.start(node)))
  await createTopic(urls()[0]!, { name: 'orders', partitions: 2 })
  await createTopic(urls()[0]!, { name: 'single', partitions: 3, replication: 1 })
  load = new ProducerLoad(urls())
  load.start({ orders: 2, single: 3 })
  // Enough of the topic that every node has, however the five partitions' disks take turns.
  const ofOrders = () => load.acked.filter(({ topic }) => topic === 'orders').length
  await expect.poll(ofOrders, { timeout: 20_000 }).toBeGreaterThan(60)
})
afterEach(async () => {
  await load.stop()
  await cluster.close()
  await Promise.all(running.splice(0).map(node => node.close()))
})

const urls = () => cluster.configs.map(({ listen }) => `http://${listen.client}`)

async function createTopic(url: string, topic: object): Promise<void> {
  const response = await fetch(`${url}/v1/topics`, { method: 'POST', body: JSON.stringify(topic) })
  expect(response.status, await response.text()).toBe(201)
}

async function start(config: NodeConfig): Promise<RunningNode> {
  const node = await serveNode(config, silent)
  running.push(node)
  await expect.poll(async () => (await fetch(`${node.url}/readyz`)).status, { timeout: 20_000 }).toBe(200)
  return node
}

/** The config file as its operator changes it: this node alone. */
function aloneConfig(node: number): NodeConfig {
  const config = cluster.configs[node - 1]!
  return { ...config, cluster: { nodes: config.cluster.nodes.filter(entry => entry.node === node) } }
}

/** Ends all nodes without another word between them, in the middle of the load. */
async function loseAll(): Promise<AckedBatch[]> {
  const acked = load.acked.slice()
  await Promise.all([cluster.close(), load.stop()])
  return acked
}

/** Every file of a folder with its bytes. */
function contents(folder: string): Map<string, Buffer> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name =>
    statSync(join(folder, name)).isFile(),
  )
  return new Map(names.map(name => [name, readFileSync(join(folder, name))]))
}

test('one survivor of three goes on alone: all that it has is there, its clients go on, and it is a new cluster', async () => {
  await loseAll()
  const config = cluster.configs[0]!
  for (const { dataDir } of cluster.configs.slice(1)) rmSync(dataDir, { recursive: true })

  const looked = await recoverNode(config, { acceptDataLoss: false })
  expect(looked).toMatchObject({ nodeId: 1, clusterId: undefined, record: undefined, otherNodes: [2, 3] })
  const logs = new Map(looked.groups.map(group => [`${group.topic}/${group.partition}`, group]))
  expect(logs.get('orders/0')).toMatchObject({ state: 'log', replica: expect.any(Number), firstOffset: 0, damaged: [] })
  const elsewhere = looked.groups.filter(({ state }) => state === 'elsewhere')
  expect(elsewhere.map(({ topic }) => topic)).toEqual(['single', 'single'])

  const before = contents(join(config.dataDir, 'log/groups'))
  const recovered = await recoverNode(config, { acceptDataLoss: true })
  const after = contents(join(config.dataDir, 'log/groups'))
  // What was in a segment is still there: nothing was cut off or written over.
  for (const [name, bytes] of before) {
    if (!name.endsWith('.log')) continue
    const end = bytes.findLastIndex(byte => byte !== 0) + 1
    expect(after.get(name)!.subarray(0, end).equals(bytes.subarray(0, end)), name).toBe(true)
  }
  const record = JSON.parse(readFileSync(join(config.dataDir, recovered.record!), 'utf8')) as object
  expect(record).toMatchObject({
    oldClusterId: looked.oldClusterId,
    clusterId: recovered.clusterId,
    otherNodes: [2, 3],
  })

  const node = await start(aloneConfig(1))
  expect(node.clusterId).toBe(recovered.clusterId)
  expect(node.clusterId).not.toBe(looked.oldClusterId)
  await expect.poll(() => node.context.topics.leaderOf('orders', 0)).toBe(1)
  await expect.poll(() => node.context.topics.leaderOf('orders', 1)).toBe(1)
  // Acknowledged to the producers, and held by the survivor: at its offset, with its time.
  let held = 0
  for (const partition of [0, 1]) {
    const log = logs.get(`orders/${partition}`)!
    const end = log.state === 'log' ? log.nextOffset : 0
    const frames = new Map(
      (await recordFrames(node, 'orders', partition)).map(frame => [frame.header.baseOffset, frame]),
    )
    const mine = load.acked.filter(
      batch => batch.topic === 'orders' && batch.partition === partition && batch.offset < end,
    )
    for (const { offset, timestamp, recordSet } of mine) {
      const frame = frames.get(offset)!
      expect(frame.header.timestamp).toBe(timestamp)
      expect(Buffer.from(frame.bytes).includes(Buffer.from(recordSet))).toBe(true)
    }
    held += mine.length
    const last = mine.at(-1)!
    expect(await appendBatch(logClient(node.url), last, true)).toMatchObject({ offset: last.offset, duplicate: true })
    const next = await fetch(`${node.url}/v1/topics/orders/records?partition=${partition}`, {
      method: 'POST',
      body: 'on',
    })
    expect(await next.json()).toMatchObject({ records: [{ partition, offset: end }] })
  }
  expect(held).toBeGreaterThan(20)
  // New topics are placed on nodes that are there, and the folder is whole.
  await createTopic(node.url, { name: 'later', partitions: 1 })
  const placed = await fetch(`${node.url}/v1/topics/later/records`, { method: 'POST', body: 'here' })
  expect(placed.status).toBe(200)
  const hashes = stateHashes(node)
  await node.close()
  expect((await verifyDataFolder(config.dataDir)).damage).toEqual([])
  const again = await start(aloneConfig(1))
  await expect.poll(() => stateHashes(again)).toEqual(hashes)
})

test('other survivors that come back, a majority of the old cluster, do not talk it out of its history', async () => {
  await loseAll()
  const { clusterId, oldClusterId } = await recoverNode(cluster.configs[0]!, { acceptDataLoss: true })
  // All three know each other's addresses, and the two believe that node 1 is one of theirs.
  const [two, three] = await Promise.all([2, 3].map(node => start(cluster.configs[node - 1]!)))
  const one = await start(cluster.configs[0]!)
  expect([one.clusterId, two!.clusterId, three!.clusterId]).toEqual([clusterId, oldClusterId, oldClusterId])
  const append = async (node: RunningNode, value: string) => {
    const url = `${node.url}/v1/topics/orders/records?partition=0`
    const response = await fetch(url, { method: 'POST', body: value })
    return { status: response.status, ...((await response.json()) as { offset: number }) }
  }
  await expect.poll(async () => (await append(two!, 'old')).status, { timeout: 20_000 }).toBe(200)
  await expect.poll(async () => (await append(one, 'new')).status, { timeout: 20_000 }).toBe(200)
  for (let i = 0; i < 20; i++) {
    expect((await append(two!, `old ${i}`)).status).toBe(200)
    expect((await append(one, `new ${i}`)).status).toBe(200)
  }
  expect(one.context.topics.leaderOf('orders', 0)).toBe(1)
  const values = async (node: RunningNode) =>
    Buffer.concat((await recordFrames(node, 'orders', 0)).map(({ bytes }) => bytes)).toString('latin1')
  expect(await values(one)).toContain('new 19')
  expect(await values(one)).not.toContain('old 0')
  expect(await values(two!)).not.toContain('new 0')
})

test('without the flag nothing is changed: the node still waits for its majority', async () => {
  await loseAll()
  const { dataDir } = cluster.configs[0]!
  await recoverNode(cluster.configs[0]!, { acceptDataLoss: false })
  const { oldClusterId } = await recoverNode(cluster.configs[0]!, { acceptDataLoss: false })
  expect(readdirSync(dataDir).filter(name => name.startsWith('recovery') || name === 'unfinished')).toEqual([])
  const node = await serveNode(aloneConfig(1), silent)
  running.push(node)
  expect(node.clusterId).toBe(oldClusterId)
  const { configuration } = node.context.topics.replicas()[0]!.handle.status()
  expect(configuration.voters).toHaveLength(3)
})

test('interrupted, it runs nowhere, and goes on where it is asked again', async () => {
  await loseAll()
  const config = cluster.configs[1]!
  // The entries are written; the new identity cannot be.
  const inTheWay = join(config.dataDir, 'identity.new')
  mkdirSync(inTheWay)
  await expect(recoverNode(config, { acceptDataLoss: true })).rejects.toThrow()
  rmdirSync(inTheWay)
  await expect(serveNode(aloneConfig(2), silent)).rejects.toThrow(/a recovery was interrupted there; run millrace/)
  await recoverNode(config, { acceptDataLoss: true })
  expect(existsSync(join(config.dataDir, 'unfinished'))).toBe(false)
  const node = await start(aloneConfig(2))
  await expect.poll(() => node.context.topics.leaderOf('orders', 1)).toBe(2)
  const { configuration } = node.context.topics.replicas()[0]!.handle.status()
  expect(configuration).toMatchObject({ voters: [2], places: [{ replica: 2, node: 2 }], lastReplica: 3 })
})

test('a restore that was interrupted is no survivor, nor is a folder that no node has run in, or that is in use', async () => {
  const [config] = await clusterConfigs(1)
  await expect(recoverNode(config!, { acceptDataLoss: true })).rejects.toMatchObject({ code: 'FOLDER_EMPTY' })
  await initNode(config!)
  await expect(recoverNode(config!, { acceptDataLoss: true })).rejects.toThrow(/no node has ever run there/)
  await expect(recoverNode(cluster.configs[0]!, { acceptDataLoss: true })).rejects.toMatchObject({
    code: 'FOLDER_IN_USE',
  })
  await loseAll()
  const { dataDir } = cluster.configs[0]!
  writeFileSync(join(dataDir, 'unfinished'), JSON.stringify({ what: 'a restore', advice: 'empty the folder' }))
  await expect(recoverNode(cluster.configs[0]!, { acceptDataLoss: true })).rejects.toThrow(/a restore was interrupted/)
})

test('a log that ends below what was durable is named so, and goes on from there', async () => {
  await loseAll()
  const copy = join(temporaryFolder(), 'copy')
  cpSync(cluster.configs[0]!.dataDir, copy, { recursive: true })
  const config = { ...aloneConfig(1), dataDir: copy }
  const whole = await recoverNode(config, { acceptDataLoss: false })
  const { group } = whole.groups.find(({ topic }) => topic === 'orders')!
  const folder = join(copy, 'log/groups', String(group))
  const segment = readdirSync(folder)
    .filter(name => name.endsWith('.log'))
    .sort()
    .at(-1)!
  const bytes = readFileSync(join(folder, segment))
  truncateSync(join(folder, segment), Math.floor((bytes.findLastIndex(byte => byte !== 0) + 1) / 2))

  const cut = await recoverNode(config, { acceptDataLoss: true })
  const found = cut.groups.find(candidate => candidate.group === group)!
  const lost = whole.groups.find(candidate => candidate.group === group)!
  expect(found.state === 'log' && lost.state === 'log' && found.lastIndex < lost.lastIndex).toBe(true)
  expect(found).toMatchObject({ goneUpTo: lost.state === 'log' ? lost.lastIndex : 0 })
  const node = await start(config)
  await expect.poll(() => node.context.topics.leaderOf('orders', 0)).toBe(1)
  const end = found.state === 'log' ? found.nextOffset : -1
  const url = `${node.url}/v1/topics/orders/records?partition=0`
  const next = await fetch(url, { method: 'POST', body: 'on' })
  expect(await next.json()).toMatchObject({ records: [{ offset: end }] })
  expect(node.context.topics.partition('orders', 0)!.highWatermark).toBe(end + 1)
})

test('snapshots of what the logs have lost are not there any more when new entries come', async () => {
  await loseAll()
  const { dataDir } = cluster.configs[0]!
  const groups = readdirSync(join(dataDir, 'log/groups'))
  const snapshots = await openSnapshotFolder({ dir: join(dataDir, 'snapshots') })
  // Received, and never installed.
  for (const group of groups) await takeSnapshot(await snapshots.open(Number(group)), 1_000_000)
  await snapshots.close()
  await recoverNode(cluster.configs[0]!, { acceptDataLoss: false })
  expect(readdirSync(join(dataDir, 'snapshots')).toSorted()).toEqual([...groups, 'trash'].toSorted())
  await recoverNode(cluster.configs[0]!, { acceptDataLoss: true })
  expect(readdirSync(join(dataDir, 'snapshots'))).toEqual(['trash'])
})

test('a catalogue that has lost the topics of groups that are there is not gone on with', async () => {
  await loseAll()
  const config = cluster.configs[0]!
  const folder = join(config.dataDir, 'log/groups/0')
  const segment = join(folder, readdirSync(folder).find(name => name.endsWith('.log'))!)
  truncateSync(segment, readFileSync(segment).indexOf('single'))
  const before = contents(folder)
  await expect(recoverNode(config, { acceptDataLoss: true })).rejects.toThrow(/lost the entries that made them/)
  for (const [name, bytes] of before) if (name.endsWith('.log')) expect(contents(folder).get(name)).toEqual(bytes)
  expect(existsSync(join(config.dataDir, 'unfinished'))).toBe(false)
})
