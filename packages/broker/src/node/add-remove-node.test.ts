/** A node comes and another one goes under load: real sockets, real files. The new one is told of itself only. */
import pino from 'pino'
import { afterEach, expect, test } from 'vitest'
import { recoverNode } from '../recovery/recover-node.ts'
import { clusterConfigs, type DurableCluster, durableCluster, durableClusterOf } from '../testing/durable-cluster.ts'
import { clusterClient, expectStoredOnce, hostOf, loseAndPrepare, PATIENCE, settled } from '../testing/membership.ts'
import { logClient, ProducerLoad } from '../testing/producer-load.ts'
import type { RunningNode } from './running-node.ts'
import { serveNode } from './serve-node.ts'

const FLAGS = { 'raft.heartbeatMs': 50, 'raft.electionTimeoutMinMs': 500 }

let cluster: DurableCluster
let fourth: RunningNode | undefined
let load: ProducerLoad
const recovered: RunningNode[] = []
afterEach(async () => {
  await load.stop()
  await fourth?.close()
  fourth = undefined
  await Promise.all(recovered.splice(0).map(node => node.close()))
  await cluster.close()
})

test('a fourth node joins by the address of one, takes over from the first, and finds the others again when it is started again', async () => {
  const all = await clusterConfigs(4, FLAGS)
  const known = all[0]!.cluster.nodes.slice(0, 3)
  const configs = all.slice(0, 3).map(config => ({ ...config, cluster: { nodes: known } }))
  const joining = { ...all[3]!, cluster: { nodes: all[3]!.cluster.nodes.slice(3) } }
  cluster = await durableClusterOf(configs)
  await Promise.all([1, 2, 3].map(node => cluster.start(node)))
  const urls = configs.map(({ listen }) => `http://${listen.client}`)
  const body = '{"name":"orders","partitions":2,"replication":3,"ifNotExists":true}'
  const create = () => fetch(`${urls[0]}/v1/topics`, { method: 'POST', body })
  await expect.poll(async () => (await create()).ok, PATIENCE).toBe(true)
  load = new ProducerLoad(urls.slice(1))
  load.start({ orders: 2 })
  await expect.poll(() => load.acked.length, PATIENCE).toBeGreaterThan(30)

  await loseAndPrepare(joining, [urls[2]!])
  const serve = () => serveNode(joining, { onFatal: fail, log: pino({ level: 'silent' }) })
  const starting = serve()
  await clusterClient(urls[0]!).admitNode({ node: 4, replace: false })
  fourth = await starting
  await settled([...cluster.nodes, fourth], [0], ['1', '2', '3', '4:4'])

  await clusterClient(fourth.url).removeNode({ node: 1 })
  const groups = hostOf(fourth)
    .describe('orders')
    .partitions.map(({ group }) => group)
  await settled([...cluster.nodes, fourth], groups, ['2', '3', '4:4'])
  await settled([...cluster.nodes, fourth], [0], ['2', '3', '4:4'])
  const { nodes } = await clusterClient(urls[1]!).describeCluster({})
  expect(nodes.map(({ node, clientUrl }) => [node, clientUrl])).toEqual([
    [2, urls[1]],
    [3, urls[2]],
    [4, fourth.url],
  ])
  await readsFromOthers(cluster.nodes[0]!)
  await cluster.stop(1)

  await fourth.close()
  fourth = await serve()
  const acked = load.acked.length
  await expect.poll(() => load.acked.length, PATIENCE).toBeGreaterThan(acked + 20)
  await load.stop()
  for (const node of [cluster.nodes[1]!, cluster.nodes[2]!, fourth]) await expectStoredOnce(node, load.acked)
}, 40_000)

test('the survivor of a lost majority gets two nodes again, and each partition its three replicas', async () => {
  cluster = await durableCluster(3, FLAGS)
  await Promise.all([1, 2, 3].map(node => cluster.start(node)))
  const urls = cluster.configs.map(({ listen }) => `http://${listen.client}`)
  const create = () =>
    fetch(`${urls[0]}/v1/topics`, { method: 'POST', body: '{"name":"orders","partitions":2,"ifNotExists":true}' })
  await expect.poll(async () => (await create()).ok, PATIENCE).toBe(true)
  load = new ProducerLoad(urls)
  load.start({ orders: 2 })
  await expect.poll(() => load.acked.length, PATIENCE).toBeGreaterThan(30)
  await load.stop()
  await expectStoredOnce(cluster.nodes[0]!, load.acked)
  await cluster.close()
  const alone = cluster.configs.map(config => ({
    ...config,
    cluster: { nodes: config.cluster.nodes.filter(({ node }) => node === config.node) },
  }))
  await recoverNode(alone[0]!, { acceptDataLoss: true })
  const serve = async (node: number) => {
    const running = await serveNode(alone[node - 1]!, { onFatal: fail, log: pino({ level: 'silent' }) })
    recovered.push(running)
    return running
  }
  const survivor = await serve(1)
  for (const node of [2, 3]) {
    await loseAndPrepare(alone[node - 1]!, [survivor.url])
    const add = async () => {
      await clusterClient(survivor.url).admitNode({ node, replace: false })
      return true
    }
    await expect.poll(add, PATIENCE).toBe(true)
    await serve(node)
  }
  const groups = hostOf(survivor)
    .describe('orders')
    .partitions.map(({ group }) => group)
  await settled(recovered, [0, ...groups], ['1', '2:4', '3:5'])
  for (const node of recovered) await expectStoredOnce(node, load.acked)
}, 40_000)

/** It is not one of the cluster any more, and its replicas hear nothing: what was appended since is read nevertheless. */
async function readsFromOthers(removed: RunningNode): Promise<void> {
  const acked = load.acked.length
  await expect.poll(() => load.acked.length, PATIENCE).toBeGreaterThan(acked + 10)
  for (const partition of [0, 1]) {
    const last = Math.max(...load.acked.filter(batch => batch.partition === partition).map(({ offset }) => offset))
    const ends: number[] = []
    const read = logClient(removed.url).read({ topic: 'orders', partition, anyReplica: true, recordsMax: 1n })
    for await (const { event } of read) if (event.case === 'subscribed') ends.push(Number(event.value.highWatermark))
    expect(ends[0]).toBeGreaterThan(last)
  }
}

function fail(error: Error): never {
  throw error
}
