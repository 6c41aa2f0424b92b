/** Nodes that come, go and are replaced, for tests: what a person would do, and what a group has come to. */
import { rmSync } from 'node:fs'
import { type Client, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { ClusterService } from '@millrace/proto'
import { FrameKind } from '@millrace/record'
import type { TopicHost } from '@millrace/topics'
import { expect } from 'vitest'
import type { NodeConfig } from '../config/node-config.ts'
import { initJoiningNode } from '../node/init-node.ts'
import type { RunningNode } from '../node/running-node.ts'
import type { AckedBatch } from './producer-load.ts'
import { recordFrames } from './stored-groups.ts'

export const PATIENCE = { timeout: 30_000, interval: 100 }

export function clusterClient(url: string): Client<typeof ClusterService> {
  return createClient(ClusterService, createConnectTransport({ baseUrl: url, httpVersion: '1.1' }))
}

/** The folder is gone, and is prepared anew to join the cluster. */
export async function loseAndPrepare(config: NodeConfig, urls: readonly string[]): Promise<void> {
  rmSync(config.dataDir, { recursive: true, force: true })
  await initJoiningNode(config, { urls })
}

export const hostOf = (node: RunningNode): TopicHost => node.context.topics as TopicHost

export interface Members {
  readonly group: number
  /** `node:replica`, by node. */
  readonly voters: readonly string[]
  readonly learners: readonly string[]
}

/** What the leaders among these nodes say; groups without a leader there are left out. */
export function membersByGroup(nodes: readonly (RunningNode | undefined)[]): ReadonlyMap<number, Members> {
  const groups = new Map<number, Members>()
  for (const node of nodes) {
    for (const { handle } of node === undefined ? [] : hostOf(node).replicas()) {
      const { role, configuration } = handle.status()
      if (role !== 'leader' || configuration.votersOutgoing.length > 0) continue
      const named = (ids: readonly number[]) =>
        ids
          .map(id => `${configuration.places.find(place => place.replica === id)?.node}:${id}`)
          .toSorted((a, b) => Number(a.split(':')[0]) - Number(b.split(':')[0]))
      const { voters, learners } = configuration
      groups.set(handle.group, { group: handle.group, voters: named(voters), learners: named(learners) })
    }
  }
  return groups
}

/**
 * Waits until every one of `groups` has exactly these voters, and no learners.
 *
 * @param expected `node:replica`, or `node` for whatever replica is there
 */
export async function settled(
  nodes: readonly (RunningNode | undefined)[],
  groups: readonly number[],
  expected: readonly string[],
): Promise<void> {
  const plain = (voter: string): string => (expected.includes(voter) ? voter : voter.split(':')[0]!)
  await expect
    .poll(() => {
      const found = membersByGroup(nodes)
      return groups.map(group => {
        const { voters = [], learners = [] } = found.get(group) ?? {}
        return [group, voters.map(plain), learners]
      })
    }, PATIENCE)
    .toEqual(groups.map(group => [group, expected, []]))
}

/** Every acknowledged batch is on the node, at its offset, and no batch is there twice. */
export async function expectStoredOnce(node: RunningNode, acked: readonly AckedBatch[]): Promise<void> {
  const places = new Map<string, number[]>()
  const partitions = new Map(acked.map(batch => [`${batch.topic}/${batch.partition}`, batch]))
  for (const { topic, partition } of partitions.values()) {
    const last = Math.max(...acked.filter(b => b.topic === topic && b.partition === partition).map(b => b.offset))
    const replica = () => hostOf(node).partition(topic, partition)
    await expect.poll(() => replica()?.highWatermark ?? 0, PATIENCE).toBeGreaterThan(last)
    for (const { header } of await recordFrames(node, topic, partition)) {
      if (header.kind !== FrameKind.records) continue
      const key = keyOf(topic, partition, header.producerId, header.sequence)
      places.set(key, [...(places.get(key) ?? []), header.baseOffset])
    }
  }
  const wrong = acked.filter(({ topic, partition, producer, offset }) => {
    const found = places.get(keyOf(topic, partition, producer.id, producer.sequence))
    return found?.length !== 1 || found[0] !== offset
  })
  expect(wrong.map(({ topic, partition, offset }) => `${topic}/${partition}@${offset}`)).toEqual([])
  expect([...places.values()].filter(offsets => offsets.length > 1)).toEqual([])
}

function keyOf(topic: string, partition: number, producer: Uint8Array, sequence: number): string {
  return `${topic}/${partition} ${Buffer.from(producer).toString('hex')} ${sequence}`
}
