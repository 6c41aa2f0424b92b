import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { verifyDataFolder } from '@millrace/log-store/offline'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { RunningNode } from '../node/running-node.ts'
import { serveNode } from '../node/serve-node.ts'
import { recoverNode } from '../recovery/recover-node.ts'
import { clusterConfigs, type DurableCluster, durableCluster } from '../testing/durable-cluster.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import { type AckedBatch, appendBatch, logClient, ProducerLoad } from '../testing/producer-load.ts'
import {
  createTopics,
  expectHashes,
  expectStored,
  freshFolders,
  renumbered,
  silent,
  startAll,
  status,
  TOPICS,
} from '../testing/restored-cluster.ts'
import { recordFrames } from '../testing/stored-groups.ts'
import { createBackup } from './create-backup.ts'
import { restoreBackup } from './restore-backup.ts'
import { verifyBackup } from './verify-backup.ts'

function urlsOf({ configs }: DurableCluster): string[] {
  return configs.map(({ listen }) => `http://${listen.client}`)
}

describe('a cluster of three under load', { timeout: 90_000 }, () => {
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

test('a catalogue whose log was trimmed is backed up from there on, and restored where it was and elsewhere', async () => {
  const cluster = await durableCluster(3, { 'snapshots.entries': 4, 'snapshots.trailingEntriesMax': 2 })
  const nodes = await Promise.all([1, 2, 3].map(node => cluster.start(node)))
  const { url } = nodes[0]!
  const names = Array.from({ length: 8 }, (_, i) => `topic-${i}`)
  for (const name of names) {
    const body = JSON.stringify({ name, partitions: 1 })
    expect((await fetch(`${url}/v1/topics`, { method: 'POST', body })).status).toBe(201)
  }
  await expect.poll(() => status(`${url}/v1/topics/topic-7/records`), { timeout: 20_000 }).toBe(200)
  const out = join(temporaryFolder(), 'backup')
  const manifest = await createBackup({ urls: [url], out })
  expect(manifest.groups[0]!.base.index).toBeGreaterThan(1)
  expect((await verifyBackup(out)).damage).toEqual([])
  await cluster.close()
  const stay = freshFolders(cluster.configs)
  const moved = renumbered(freshFolders(cluster.configs), 3)
  for (const configs of [stay, moved]) {
    for (const config of configs) await restoreBackup(out, config, { clusterId: `from-${configs[0]!.node}` })
    const restored = await startAll(configs)
    for (const node of restored) {
      await expect.poll(() => node.context.topics.list().map(({ name }) => name)).toEqual(names)
      await expectHashes(node, { groups: manifest.groups.slice(configs === stay ? 0 : 1) })
    }
    await expect.poll(() => status(`${restored[1]!.url}/v1/topics/topic-6/records`), { timeout: 20_000 }).toBe(200)
    await Promise.all(restored.map(node => node.close()))
    for (const { dataDir } of configs) expect((await verifyDataFolder(dataDir)).damage).toEqual([])
  }
}, 120_000)
