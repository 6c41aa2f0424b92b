import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NodeConfig } from '../config/node-config.ts'
import { initNode } from '../node/init-node.ts'
import type { RunningNode } from '../node/running-node.ts'
import { serveNode } from '../node/serve-node.ts'
import { recoverNode } from '../recovery/recover-node.ts'
import { clusterConfigs, type DurableCluster, durableCluster } from '../testing/durable-cluster.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import { type AckedBatch, appendBatch, logClient, ProducerLoad } from '../testing/producer-load.ts'
import { recordFrames, stateHashes } from '../testing/stored-groups.ts'
import { createBackup } from './create-backup.ts'
import type { BackupManifest } from './manifest.ts'
import { restoreBackup } from './restore-backup.ts'
import { verifyBackup } from './verify-backup.ts'

const TOPICS = { orders: 2, audit: 1 }
const silent = {
  log: pino({ level: 'silent' }),
  onFatal: (error: Error) => {
    throw error
  },
}

function urlsOf({ configs }: DurableCluster): string[] {
  return configs.map(({ listen }) => `http://${listen.client}`)
}

async function createTopics(url: string): Promise<void> {
  for (const [name, partitions] of Object.entries(TOPICS)) {
    const body = JSON.stringify({ name, partitions })
    expect((await fetch(`${url}/v1/topics`, { method: 'POST', body })).status).toBe(201)
  }
}

/** The nodes that the configurations name, over other folders. */
function freshFolders(configs: readonly NodeConfig[]): NodeConfig[] {
  const folder = temporaryFolder()
  return configs.map(config => ({ ...config, dataDir: join(folder, String(config.node)) }))
}

/** Other numbers for the same nodes. */
function renumbered(configs: readonly NodeConfig[], by: number): NodeConfig[] {
  const nodes = configs[0]!.cluster.nodes.map(entry => ({ ...entry, node: entry.node + by }))
  return configs.map(config => ({ ...config, node: config.node + by, cluster: { nodes } }))
}

async function status(url: string): Promise<number> {
  return (await fetch(url, { method: 'POST', body: 'value' })).status
}

async function startAll(configs: readonly NodeConfig[]): Promise<RunningNode[]> {
  const nodes = await Promise.all(configs.map(config => serveNode(config, silent)))
  for (const { url } of nodes)
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status, { timeout: 20_000 }).toBe(200)
  return nodes
}

async function expectHashes(node: RunningNode, manifest: Pick<BackupManifest, 'groups'>): Promise<void> {
  const wanted = new Map(manifest.groups.map(({ group, state }) => [group, state.hash]))
  const found = () => new Map([...stateHashes(node)].filter(([group]) => wanted.has(group)).sort(([a], [b]) => a - b))
  await expect.poll(found, { timeout: 20_000 }).toEqual(wanted)
}

/** The batch stands in the restored log where it was acknowledged, with its time and its bytes. */
async function expectStored(node: RunningNode, batches: readonly AckedBatch[]): Promise<void> {
  for (const [topic, partitions] of Object.entries(TOPICS)) {
    for (let partition = 0; partition < partitions; partition++) {
      const frames = await recordFrames(node, topic, partition)
      const stored = new Map(frames.map(({ header, bytes }) => [header.baseOffset, { header, bytes }]))
      for (const batch of batches.filter(each => each.topic === topic && each.partition === partition)) {
        const frame = stored.get(batch.offset)
        expect(frame?.header.timestamp).toBe(batch.timestamp)
        expect(Buffer.from(frame!.bytes.subarray(104, 104 + batch.recordSet.length))).toEqual(
          Buffer.from(batch.recordSet),
        )
      }
    }
  }
}

describe('a cluster of three under load', () => {
  let cluster: DurableCluster
  let load: ProducerLoad
  let out: string
  let restored: RunningNode[] = []

  beforeEach(async () => {
    cluster = await durableCluster(3)
    await Promise.all([1, 2, 3].map(node => cluster.start(node)))
    await createTopics(urlsOf(cluster)[0]!)
    load = new ProducerLoad(urlsOf(cluster))
    load.start(TOPICS)
    await expect.poll(() => load.acked.length, { timeout: 20_000 }).toBeGreaterThan(60)
    out = join(temporaryFolder(), 'backup')
  })
  afterEach(async () => {
    await load.stop()
    await cluster.close()
    await Promise.all(restored.map(node => node.close()))
    restored = []
  })

  test('is restored into a fresh one: equal states, every acknowledged batch at its offset, and producers go on', async () => {
    const before = load.acked.length
    const manifest = await createBackup({ urls: urlsOf(cluster).slice(1, 2), out })
    await expect.poll(() => load.acked.length).toBeGreaterThan(before)
    await load.stop()
    await cluster.close()
    expect(await verifyBackup(out)).toMatchObject({ manifest, damage: [], others: [] })
    expect(manifest.groups.map(({ topic, partition }) => `${topic}/${partition}`)).toEqual([
      ...['/0', 'orders/0', 'orders/1', 'audit/0'],
    ])

    const configs = freshFolders(cluster.configs)
    for (const config of configs) await restoreBackup(out, config, { clusterId: 'restored' })
    restored = await startAll(configs)
    for (const node of restored) {
      await expectHashes(node, manifest)
      await expectStored(node, load.acked.slice(0, before))
    }
    // The newest batch of each producer up to the point is remembered, and the one after it is taken.
    const point = (batch: AckedBatch) =>
      manifest.groups.find(({ topic, partition }) => topic === batch.topic && partition === batch.partition)!.point
    const kept = load.acked.filter(batch => batch.offset < point(batch).nextOffset)
    const last = kept.findLast(({ topic, partition }) => topic === 'orders' && partition === 1)!
    const client = logClient(restored[0]!.url)
    expect(await appendBatch(client, last, true)).toEqual({
      offset: last.offset,
      timestamp: last.timestamp,
      duplicate: true,
    })
    const next = { ...last, producer: { ...last.producer, sequence: last.producer.sequence + 1 } }
    expect(await appendBatch(client, next)).toMatchObject({ offset: point(last).nextOffset, duplicate: false })
  })

  test('nothing that is above the point of its group is in a backup', async () => {
    const manifest = await createBackup({ urls: urlsOf(cluster), out })
    await load.stop()
    for (const { topic, partition, point } of manifest.groups.slice(1)) {
      const frames = await recordFrames(cluster.nodes[0]!, topic, partition)
      const upTo = frames.filter(({ header }) => header.index <= point.index)
      const file = readFileSync(
        join(out, `groups/${manifest.groups.find(g => g.topic === topic && g.partition === partition)!.group}.frames`),
      )
      expect(upTo.length).toBeGreaterThan(0)
      expect(upTo.length).toBeLessThan(frames.length)
      expect(upTo.every(({ bytes }) => file.includes(Buffer.from(bytes)))).toBe(true)
      expect(frames.slice(upTo.length).some(({ bytes }) => file.includes(Buffer.from(bytes)))).toBe(false)
    }
  })

  test('one topic of it: the others are gone from what is restored, and their names are free', async () => {
    const manifest = await createBackup({ urls: urlsOf(cluster), out, topics: ['audit'] })
    await load.stop()
    await cluster.close()
    expect(manifest.leftOut).toEqual(['orders'])
    expect((await verifyBackup(out)).damage).toEqual([])
    const configs = freshFolders(cluster.configs)
    for (const config of configs) await restoreBackup(out, config, { clusterId: 'restored' })
    restored = await startAll(configs)
    const { url } = restored[0]!
    const { topics } = (await (await fetch(`${url}/v1/topics`)).json()) as { topics: { name: string }[] }
    expect(topics.map(({ name }) => name)).toEqual(['audit'])
    expect((await recordFrames(restored[1]!, 'audit', 0)).length).toBeGreaterThan(0)
    await createTopicAgain(url)
    await expect.poll(() => restored[1]!.context.topics.partition('orders', 1)?.highWatermark).toBe(0)
  })

  async function createTopicAgain(url: string): Promise<void> {
    const body = JSON.stringify({ name: 'orders', partitions: 2 })
    expect((await fetch(`${url}/v1/topics`, { method: 'POST', body })).status).toBe(201)
  }

  test('is restored onto other nodes: every replica has the records, and the old nodes are forgotten', async () => {
    const before = load.acked.length
    const manifest = await createBackup({ urls: urlsOf(cluster), out })
    await load.stop()
    await cluster.close()
    const configs = renumbered(freshFolders(cluster.configs), 3)
    for (const config of configs) await restoreBackup(out, config, { clusterId: 'elsewhere' })
    restored = await startAll(configs)
    for (const node of restored) {
      await expectHashes(node, { groups: manifest.groups.slice(1) })
      await expectStored(node, load.acked.slice(0, before))
      const handles = node.context.topics.replicas().map(({ handle }) => handle.status().configuration)
      expect(handles.map(({ places }) => places.map(place => place.node).sort())).toEqual(Array(4).fill([4, 5, 6]))
      await expect.poll(() => node.context.topics.describe('orders').partitions[1]!.replicas.length).toBe(3)
    }
    // A topic of three replicas works with two of the new nodes.
    const { url } = restored[0]!
    const created = await fetch(`${url}/v1/topics`, { method: 'POST', body: '{"name":"later","partitions":3}' })
    expect(created.status).toBe(201)
    const { partitions } = restored[0]!.context.topics.list().find(({ name }) => name === 'later')!
    expect(partitions.map(({ replicas }) => replicas.map(({ node }) => node).sort())).toEqual(Array(3).fill([4, 5, 6]))
    await restored[2]!.close()
    for (const topic of ['later', 'orders'])
      await expect.poll(() => status(`${url}/v1/topics/${topic}/records?partition=0`), { timeout: 20_000 }).toBe(200)
  })

  test('is restored onto one node, for a look into it', async () => {
    const manifest = await createBackup({ urls: urlsOf(cluster), out })
    await load.stop()
    await cluster.close()
    const [config] = freshFolders(await clusterConfigs(1))
    await restoreBackup(out, config!)
    restored = await startAll([config!])
    await expectHashes(restored[0]!, { groups: manifest.groups.slice(1) })
    await expect.poll(() => status(`${restored[0]!.url}/v1/topics/orders/records?partition=1`)).toBe(200)
    // A survivor like any other.
    await restored[0]!.close()
    const { groups } = await recoverNode(config!, { acceptDataLoss: true })
    expect(groups.map(({ state }) => state)).toEqual(Array(4).fill('log'))
    restored = await startAll([config!])
    await expect.poll(() => status(`${restored[0]!.url}/v1/topics/orders/records?partition=1`)).toBe(200)
  })

  test('restored on one node again, after all have served, is refused: that node has forgotten what it acknowledged', async () => {
    await createBackup({ urls: urlsOf(cluster), out })
    await load.stop()
    await cluster.close()
    const configs = freshFolders(cluster.configs)
    for (const config of configs) await restoreBackup(out, config, { clusterId: 'restored' })
    restored = await startAll(configs)
    await restored[1]!.close()
    rmSync(configs[1]!.dataDir, { recursive: true })
    await restoreBackup(out, configs[1]!, { clusterId: 'restored' })
    await expect(serveNode(configs[1]!, silent)).rejects.toMatchObject({ code: 'CLUSTER_EXISTS' })
    // The others start again without it.
    await restored[0]!.close()
    restored[0] = await serveNode(configs[0]!, silent)
    await expect.poll(() => status(`${restored[0]!.url}/v1/topics/audit/records`), { timeout: 20_000 }).toBe(200)
  })

  test('and another one of the same cluster do not make one cluster', async () => {
    await createBackup({ urls: urlsOf(cluster), out })
    await createBackup({ urls: urlsOf(cluster), out: `${out}-2`, topics: ['audit'] })
    await load.stop()
    await cluster.close()
    const configs = freshFolders(cluster.configs)
    for (const config of configs)
      await restoreBackup(config.node === 3 ? `${out}-2` : out, config, { clusterId: 'mixed' })
    const stop = new AbortController()
    const starts = configs.map(config => serveNode(config, { ...silent, signal: stop.signal }))
    const refused = await Promise.race(starts.map(start => start.then(String, String)))
    expect(refused).toMatch(/was restored into cluster mixed from another backup/)
    // Whoever has not met the other yet waits for it.
    stop.abort(new Error('the test is over'))
    expect((await Promise.allSettled(starts)).map(({ status: how }) => how)).toEqual(Array(3).fill('rejected'))
  })

  test('goes on from another node where the one that is asked stops', async () => {
    await cluster.stop(3)
    const manifest = await createBackup({ urls: urlsOf(cluster).toReversed(), out })
    expect((await verifyBackup(out)).damage).toEqual([])
    expect(manifest.groups).toHaveLength(4)
  })

  test('that is broken off leaves nothing under its name', async () => {
    const stop = new AbortController()
    const onProgress = ({ groups }: { groups: number }) => {
      if (groups === 2) stop.abort()
    }
    await expect(createBackup({ urls: urlsOf(cluster), out, onProgress, signal: stop.signal })).rejects.toThrow(/abort/)
    expect(existsSync(out)).toBe(false)
    expect(existsSync(`${out}.partial`)).toBe(false)
  })
})

describe('a backup', () => {
  let out: string
  let node: NodeConfig
  let manifest: BackupManifest

  beforeEach(async () => {
    ;[node] = (await clusterConfigs(1)) as [NodeConfig]
    await initNode(node, { clusterId: 'first' })
    const [running] = await startAll([node])
    const load = new ProducerLoad([running!.url])
    await createTopics(running!.url)
    load.start(TOPICS)
    await expect.poll(() => load.acked.length, { timeout: 20_000 }).toBeGreaterThan(20)
    await load.stop()
    out = join(temporaryFolder(), 'backup')
    manifest = await createBackup({ urls: [running!.url], out })
    await running!.close()
  })

  function filesOf(folder: string): string[] {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name =>
      statSync(join(folder, name)).isFile(),
    )
  }

  test('with one flipped bit, anywhere in any file, is found damaged and not restored', async () => {
    const files = filesOf(out)
    expect(files).toHaveLength(2 + 2 * manifest.groups.length)
    for (const file of files) {
      const path = join(out, file)
      const whole = readFileSync(path)
      // Every byte of a small file would be read from end to end that often: eleven places, first and last among them.
      for (let i = 0; i <= 10; i++) {
        const at = Math.floor(((whole.length - 1) * i) / 10)
        const bytes = Buffer.from(whole)
        bytes[at]! ^= 1 << (i % 8)
        writeFileSync(path, bytes)
        const { damage } = await verifyBackup(out)
        expect(damage.length, `${file}, byte ${at}`).toBeGreaterThan(0)
        if (file.startsWith('groups')) expect(damage.map(each => each.file)).toContain(file)
      }
      const [config] = freshFolders([node])
      await expect(restoreBackup(out, config!)).rejects.toThrow(/damaged/)
      expect(existsSync(config!.dataDir)).toBe(false)
      writeFileSync(path, whole)
    }
    expect((await verifyBackup(out)).damage).toEqual([])
  })

  test('with a file that is cut off, longer or missing is found damaged; a strange file is named', async () => {
    const path = join(out, 'groups/1.frames')
    const whole = readFileSync(path)
    for (const bytes of [whole.subarray(0, -8), Buffer.concat([whole, whole.subarray(0, 8)]), Buffer.alloc(0)]) {
      writeFileSync(path, bytes)
      expect((await verifyBackup(out)).damage.map(({ file }) => file)).toEqual(['groups/1.frames'])
    }
    writeFileSync(path, whole)
    writeFileSync(join(out, 'notes.txt'), 'from Monday')
    expect(await verifyBackup(out)).toMatchObject({ damage: [], others: ['notes.txt'] })
  })

  test('without its manifest was never finished', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'groups'))
    await expect(verifyBackup(folder)).rejects.toMatchObject({ code: 'NOT_A_BACKUP' })
    await expect(verifyBackup(join(folder, 'none'))).rejects.toMatchObject({ code: 'NOT_A_BACKUP' })
  })

  test('is not made over anything, nor beside one that was broken off', async () => {
    await expect(createBackup({ urls: [], out })).rejects.toMatchObject({ code: 'OUT_EXISTS' })
    const other = join(temporaryFolder(), 'other')
    mkdirSync(`${other}.partial`)
    await expect(createBackup({ urls: [], out: other })).rejects.toMatchObject({ code: 'OUT_EXISTS' })
  })

  test('is restored into an empty folder only, under another cluster id', async () => {
    await expect(restoreBackup(out, node)).rejects.toMatchObject({ code: 'FOLDER_NOT_EMPTY' })
    const [fresh] = freshFolders([node])
    await expect(restoreBackup(out, fresh!, { clusterId: 'first' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    expect(existsSync(fresh!.dataDir)).toBe(false)
  })

  test('that is restored in part runs nowhere until it is restored as a whole', async () => {
    const [config] = freshFolders([node])
    await restoreBackup(out, config!)
    writeFileSync(
      join(config!.dataDir, 'unfinished'),
      JSON.stringify({ what: 'a restore', advice: 'empty the folder' }),
    )
    await expect(serveNode(config!, silent)).rejects.toThrow(/a restore was interrupted there; empty the folder/)
    await expect(initNode(config!)).rejects.toMatchObject({ code: 'FOLDER_NOT_EMPTY' })
    await expect(restoreBackup(out, config!)).rejects.toMatchObject({ code: 'FOLDER_NOT_EMPTY' })
  })
})
