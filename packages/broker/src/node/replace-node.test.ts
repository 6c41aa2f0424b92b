/** A node whose folder is lost gets a new one: real sockets, real files, under load. */
import { join } from 'node:path'
import { Code, ConnectError } from '@connectrpc/connect'
import pino from 'pino'
import { afterEach, expect, test } from 'vitest'
import { createBackup } from '../backup/create-backup.ts'
import { restoreBackup } from '../backup/restore-backup.ts'
import { type DurableCluster, durableCluster } from '../testing/durable-cluster.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import {
  clusterClient,
  expectStoredOnce,
  hostOf,
  loseAndPrepare,
  membersByGroup,
  PATIENCE,
  settled,
} from '../testing/membership.ts'
import { ProducerLoad } from '../testing/producer-load.ts'
import { serveNode } from './serve-node.ts'

const FLAGS = { 'raft.heartbeatMs': 50, 'raft.electionTimeoutMinMs': 500 }
const PARTITIONS = 3

let cluster: DurableCluster
let load: ProducerLoad | undefined
afterEach(async () => {
  await load?.stop()
  load = undefined
  await cluster.close()
})

const urlOf = (node: number): string => `http://${cluster.configs[node - 1]!.listen.client}`
const groupsOf = (node: number): readonly number[] =>
  hostOf(cluster.nodes[node - 1]!)
    .describe('orders')
    .partitions.map(({ group }) => group)

async function threeUnderLoad(): Promise<ProducerLoad> {
  cluster = await durableCluster(3, FLAGS)
  await Promise.all([1, 2, 3].map(node => cluster.start(node)))
  const create = () =>
    fetch(`${urlOf(1)}/v1/topics`, {
      method: 'POST',
      body: `{"name":"orders","partitions":${PARTITIONS},"ifNotExists":true}`,
    })
  await expect.poll(async () => (await create()).ok, PATIENCE).toBe(true)
  load = new ProducerLoad([1, 2, 3].map(urlOf))
  load.start({ orders: PARTITIONS })
  await acknowledged(30)
  return load
}

/** So many more batches. */
async function acknowledged(more: number): Promise<void> {
  const least = load!.acked.length + more
  await expect.poll(() => load!.acked.length, PATIENCE).toBeGreaterThan(least)
}

/** Node 2 has lost its folder, has a new one, and everything that was acknowledged. */
async function replaceSecond(): Promise<void> {
  await cluster.stop(2)
  await acknowledged(30)
  await loseAndPrepare(cluster.configs[1]!, [urlOf(1)])
  await clusterClient(urlOf(3)).admitNode({ node: 2, replace: true })
  await cluster.start(2)
  await settled(cluster.nodes, [0, ...groupsOf(1)], ['1', '2:4', '3'])
}

test('one of three whose folder is lost is replaced by one command, and has everything that was acknowledged, once', async () => {
  const producers = await threeUnderLoad()
  const groups = groupsOf(1)
  await cluster.stop(2)
  await acknowledged(30)
  await loseAndPrepare(cluster.configs[1]!, [urlOf(1)])
  const starting = cluster.start(2)
  // Not before somebody said that the folder is lost.
  const why = async () => (await fetch(`${urlOf(2)}/readyz`)).text()
  await expect.poll(why, PATIENCE).toContain('millrace cluster replace-node 2')
  expect(
    [...membersByGroup(cluster.nodes).values()].flatMap(({ voters, learners }) => [...voters, ...learners]),
  ).not.toContain('2:4')
  await clusterClient(urlOf(3)).admitNode({ node: 2, replace: true })
  await starting
  await settled(cluster.nodes, [0, ...groups], ['1', '2:4', '3'])
  await acknowledged(30)
  await producers.stop()
  for (const node of cluster.nodes) await expectStoredOnce(node!, producers.acked)
}, 40_000)

test('a cluster with a replaced node comes back from its backup with all three', async () => {
  const producers = await threeUnderLoad()
  await replaceSecond()
  await producers.stop()
  const folder = temporaryFolder()
  await createBackup({ urls: [urlOf(1)], out: join(folder, 'backup') })
  await cluster.close()
  const original = cluster.configs
  const configs = original.map(config => ({ ...config, dataDir: join(folder, String(config.node)) }))
  for (const config of configs) await restoreBackup(join(folder, 'backup'), config, { clusterId: 'restored' })
  const started = configs.map(config => serveNode(config, { onFatal: fail, log: pino({ level: 'silent' }) }))
  const nodes = await Promise.all(started)
  cluster = { ...cluster, nodes, close: async () => void (await Promise.all(nodes.map(node => node.close()))) }
  await settled(nodes, [0, ...groupsOf(1)], ['1', '2:4', '3'])
  for (const node of nodes) await expectStoredOnce(node, producers.acked)
}, 40_000)

test('a lost folder is not replaced while its node runs, and its place is not for sale', async () => {
  await threeUnderLoad()
  const { code, message } = await refusalOf(clusterClient(urlOf(3)).admitNode({ node: 2, replace: true }))
  expect({ code, message }).toMatchObject({ code: Code.InvalidArgument, message: expect.stringMatching(/node 2 runs/) })
  await replaceSecond()
  const clientUrl = urlOf(2)
  const { clusterId } = cluster.nodes[0]!
  const other = { node: 2, folder: 'other', clientUrl, peerAddress: '127.0.0.1:1', clusterId }
  const refused = await refusalOf(clusterClient(urlOf(1)).joinCluster(other))
  expect(refused.message).toMatch(/another data folder/)
  const elsewhere = await refusalOf(clusterClient(urlOf(1)).joinCluster({ ...other, clusterId: 'elsewhere' }))
  expect(elsewhere.message).toMatch(/prepared for cluster elsewhere/)
}, 40_000)

function fail(error: Error): never {
  throw error
}

async function refusalOf(call: Promise<unknown>): Promise<ConnectError> {
  const error = await call.then(
    () => new Error('it was not refused'),
    (reason: unknown) => reason,
  )
  if (error instanceof ConnectError) return error
  throw error
}
