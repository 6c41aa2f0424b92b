// A node that lost its folder and is given the cluster's id again: it has forgotten its votes and what it acknowledged,
// so it must not take part under the replica id that it had.
import { rmSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { StartError } from '../start-error.ts'
import { type DurableCluster, durableCluster } from '../testing/durable-cluster.ts'
import { initNode } from './init-node.ts'

let cluster: DurableCluster
afterEach(() => cluster.close())

const PATIENCE = { timeout: 20_000, interval: 100 }
const url = (node: number) => `http://${cluster.configs[node - 1]!.listen.client}`

async function post(node: number, path: string, body: string): Promise<number> {
  return (await fetch(`${url(node)}/v1/topics${path}`, { method: 'POST', body })).status
}

async function append(node: number, value: string): Promise<void> {
  await expect.poll(() => post(node, '/kept/records', value), PATIENCE).toBe(200)
}

async function values(node: number): Promise<readonly string[]> {
  const response = await fetch(`${url(node)}/v1/topics/kept/records?from=earliest`)
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  const lines = text.split('\n').filter(line => line !== '')
  return lines.map(line => (JSON.parse(line) as { value: string }).value)
}

/**
 * Three nodes with a topic of one partition, all stopped. Nodes 1 and 2 have acknowledged a record that node 3 never
 * heard of.
 *
 * @returns the cluster's id
 */
async function threeStopped(): Promise<string> {
  cluster = await durableCluster(3)
  await Promise.all([1, 2, 3].map(node => cluster.start(node)))
  await expect.poll(() => post(1, '', '{"name":"kept","partitions":1,"ifNotExists":true}'), PATIENCE).toBe(201)
  await append(1, 'before')
  await cluster.stop(3)
  await append(1, 'acknowledged')
  const { clusterId } = cluster.nodes[0]!
  await Promise.all([cluster.stop(1), cluster.stop(2)])
  return clusterId
}

/** The folder is gone, and `init` makes it anew, as the cluster's node that it was. */
async function lose(node: number, clusterId: string): Promise<void> {
  const config = cluster.configs[node - 1]!
  rmSync(config.dataDir, { recursive: true })
  await initNode(config, { clusterId })
}

async function refusal(node: number): Promise<StartError> {
  const error: unknown = await cluster.start(node).then(
    () => new Error(`node ${node} serves`),
    reason => reason,
  )
  if (error instanceof StartError) return error
  throw error
}

test('one of three is refused by name of a node that remembers, and nothing acknowledged is voted away', async () => {
  const clusterId = await threeStopped()
  await lose(2, clusterId)
  // With the vote and the empty log of node 2, node 3 would lead without the record.
  const [error] = await Promise.all([refusal(2), cluster.start(3)])
  expect(error).toMatchObject({ code: 'CLUSTER_EXISTS' })
  expect(error.message).toMatch(/node 3 has its catalogue\. If node 2 was part of it, its folder is lost/)
  expect(cluster.nodes[2]!.context.topics.catalogue.leaderNode).toBe(0)
  await cluster.start(1)
  await append(3, 'after')
  expect(await values(3)).toEqual(['before', 'acknowledged', 'after'])
  // Nor later, or after another `init`.
  expect((await refusal(2)).code).toBe('CLUSTER_EXISTS')
  await lose(2, clusterId)
  expect((await refusal(2)).code).toBe('CLUSTER_EXISTS')
}, 60_000)

test('two of three found no second cluster beside the third: they wait for it, and are refused', async () => {
  const clusterId = await threeStopped()
  await lose(2, clusterId)
  await lose(3, clusterId)
  const refused = Promise.all([refusal(2), refusal(3)])
  for (const node of [2, 3]) {
    const reasons = async () => (await fetch(`${url(node)}/readyz`).then(response => response.text(), String)) as string
    await expect.poll(reasons, PATIENCE).toContain('waiting for node 1 of 1, 2, 3')
  }
  await cluster.start(1)
  expect((await refused).map(({ code }) => code)).toEqual(['CLUSTER_EXISTS', 'CLUSTER_EXISTS'])
  expect(cluster.nodes[0]!.context.topics.list().map(({ name }) => name)).toEqual(['kept'])
  expect(cluster.nodes[0]!.context.topics.catalogue.leaderNode).toBe(0)
}, 60_000)
