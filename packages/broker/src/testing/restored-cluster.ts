/** What tests of backups share: topics to fill, folders to restore into, nodes to start there, and what has to be in them. */
import { join } from 'node:path'
import pino, { type Logger } from 'pino'
import { expect } from 'vitest'
import type { BackupManifest } from '../backup/manifest.ts'
import type { NodeConfig } from '../config/node-config.ts'
import type { RunningNode } from '../node/running-node.ts'
import { serveNode } from '../node/serve-node.ts'
import { temporaryFolder } from './fake-node.ts'
import type { AckedBatch } from './producer-load.ts'
import { recordFrames, stateHashes } from './stored-groups.ts'

export const TOPICS: Readonly<Record<string, number>> = { orders: 2, audit: 1 }
export const silent: { readonly log: Logger; readonly onFatal: (error: Error) => void } = {
  log: pino({ level: 'silent' }),
  onFatal: (error: Error) => {
    throw error
  },
}

export async function createTopics(url: string): Promise<void> {
  for (const [name, partitions] of Object.entries(TOPICS)) {
    const body = JSON.stringify({ name, partitions })
    expect((await fetch(`${url}/v1/topics`, { method: 'POST', body })).status).toBe(201)
  }
}

/** The nodes that the configurations name, over other folders. */
export function freshFolders(configs: readonly NodeConfig[]): NodeConfig[] {
  const folder = temporaryFolder()
  return configs.map(config => ({ ...config, dataDir: join(folder, String(config.node)) }))
}

/** Other numbers for the same nodes. */
export function renumbered(configs: readonly NodeConfig[], by: number): NodeConfig[] {
  const nodes = configs[0]!.cluster.nodes.map(entry => ({ ...entry, node: entry.node + by }))
  return configs.map(config => ({ ...config, node: config.node + by, cluster: { nodes } }))
}

export async function status(url: string): Promise<number> {
  return (await fetch(url, { method: 'POST', body: 'value' })).status
}

export async function startAll(configs: readonly NodeConfig[]): Promise<RunningNode[]> {
  const nodes = await Promise.all(configs.map(config => serveNode(config, silent)))
  for (const { url } of nodes)
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status, { timeout: 20_000 }).toBe(200)
  return nodes
}

export async function expectHashes(node: RunningNode, manifest: Pick<BackupManifest, 'groups'>): Promise<void> {
  const wanted = new Map(manifest.groups.map(({ group, state }) => [group, state.hash]))
  const found = () => new Map([...stateHashes(node)].filter(([group]) => wanted.has(group)).sort(([a], [b]) => a - b))
  await expect.poll(found, { timeout: 20_000 }).toEqual(wanted)
}

/** The batch stands in the restored log where it was acknowledged, with its time and its bytes. */
export async function expectStored(node: RunningNode, batches: readonly AckedBatch[]): Promise<void> {
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
