import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LogStore, openSegmentedLogStore } from '@millrace/log-store'
import { afterEach, expect, test } from 'vitest'
import { createGrpcTransport } from './grpc/grpc-transport.ts'
import type { NodeTiming } from './node.ts'
import { freePorts } from './testing/free-ports.ts'
import { FAST, TestCluster } from './testing/test-cluster.ts'

/** The clusters of these tests use real sockets and real files, all nodes in one process. */
const cleanup: (() => Promise<void>)[] = []

async function realCluster(options: { groups?: number[]; timing?: NodeTiming } = {}): Promise<TestCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-raft-node-'))
  const ports = await freePorts(3)
  const peers = new Map(ports.map((port, i) => [i + 1, `127.0.0.1:${port}`]))
  const cluster = await TestCluster.start({
    ...options,
    transport: async node =>
      createGrpcTransport({ nodeId: node, clusterId: 'test', listen: { port: ports[node - 1]! }, peers }),
    openStore: node => openStore(join(folder, `node-${node}`)),
    crashStore: (_node, store) => store.close(),
  })
  cleanup.push(async () => {
    await cluster.stop()
    await rm(folder, { recursive: true })
  })
  return cluster
}

function openStore(dir: string): Promise<LogStore> {
  const onFatal = (error: Error): void => {
    throw error
  }
  return openSegmentedLogStore({ dir, onFatal, diskReserveBytes: 0 })
}

afterEach(async () => {
  for (const run of cleanup.splice(0)) await run()
})

test('three nodes over sockets and files elect a leader and replicate', async () => {
  const c = await realCluster()
  for (let i = 0; i < 50; i++) await c.append(`entry ${i}`)
  const entries = await c.converged(50)
  expect(entries.map(entry => entry.split(':')[1])).toEqual(Array.from({ length: 50 }, (_, i) => `entry ${i}`))
})

test('each node stopped and started again in turn: everything acknowledged is there, at its place', async () => {
  const c = await realCluster()
  const indexes: number[] = []
  for (const id of c.nodeIds) {
    for (let i = 0; i < 5; i++) indexes.push((await c.append(`${id}.${i}`)).header.index)
    await c.kill(id)
    indexes.push((await c.append(`without ${id}`)).header.index)
    await c.startNode(id)
  }
  const entries = await c.converged(18)
  expect(entries.map(entry => Number(entry.split(':')[0]))).toEqual(indexes)
})

test('a leader whose process ends is replaced on the evidence of its closed port', async () => {
  const c = await realCluster({ timing: { ...FAST, electionTimeoutMinMs: 60_000, heartbeatMs: 50 } })
  await c.append('a')
  const old = await c.leader()
  await c.kill(old)
  await c.append('b')
  const next = await c.leader()
  expect(c.up.get(next)!.events.some(event => event.message === `node ${old} is gone`)).toBe(true)
})

test('many groups share the connections and the disk', async () => {
  const groups = Array.from({ length: 40 }, (_, i) => i + 1)
  const c = await realCluster({ groups })
  await Promise.all(groups.flatMap(group => [c.append('a', group), c.append('b', group)]))
  for (const group of groups) await c.converged(2, group)
})
