import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSegmentedLogStore, openSnapshotStore } from '@millrace/log-store'
import { expect, onTestFinished, test } from 'vitest'
import { createGrpcTransport } from './grpc/grpc-transport.ts'
import type { SnapshotOptions } from './snapshot-options.ts'
import { freePorts } from './testing/free-ports.ts'
import { SNAPSHOT_GROUP, SnapshotCluster, type SnapshotNode } from './testing/snapshot-cluster.ts'
import { TcpProxy } from './testing/tcp-proxy.ts'
import { until } from './testing/until.ts'

const MIB = 1024 * 1024
const VALUE_BYTES = 256 * 1024
const VALUES = 32

/** Slow enough that a transfer can be cut, small enough that the log is trimmed again and again meanwhile. */
const OPTIONS: SnapshotOptions = {
  ...{ snapshotEntries: 100, trailingEntriesMax: 10, snapshotChunkBytes: 64 * 1024 },
  snapshotBytesPerSecondMax: 8 * MIB,
}

interface Cuttable {
  readonly cluster: SnapshotCluster
  cut(leader: number): void
}

function fatal(error: Error): void {
  throw error
}

async function overMemory(): Promise<Cuttable> {
  const cluster = new SnapshotCluster({ snapshots: OPTIONS })
  onTestFinished(() => cluster.stop())
  return { cluster, cut: leader => void cluster.network.breakSnapshots(leader, 3) }
}

async function overGrpc(): Promise<Cuttable> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-snapshots-'))
  const ports = await freePorts(3)
  const proxy = await TcpProxy.to(ports[2]!)
  const peers = new Map([...ports.slice(0, 2), proxy.port].map((port, i) => [i + 1, `127.0.0.1:${port}`]))
  const cluster = new SnapshotCluster({
    snapshots: OPTIONS,
    transport: node =>
      createGrpcTransport({ nodeId: node, clusterId: 'test', listen: { port: ports[node - 1]! }, peers }),
    openStore: node => openSegmentedLogStore({ dir: join(folder, `${node}`), onFatal: fatal, diskReserveBytes: 0 }),
    openSnapshots: node => openSnapshotStore({ dir: join(folder, `snapshots-${node}`), group: SNAPSHOT_GROUP }),
  })
  onTestFinished(async () => {
    await cluster.stop()
    await proxy.close()
    await rm(folder, { recursive: true })
  })
  return { cluster, cut: () => proxy.cut() }
}

/** Sets small keys, one after the other, until told to stop. */
function load(cluster: SnapshotCluster): { stop(): Promise<number> } {
  let on = true
  let count = 0
  const run = async (): Promise<number> => {
    while (on) await cluster.set(1_000 + (count++ % 50), 100)
    return count
  }
  const running = run()
  return {
    stop: () => {
      on = false
      return running
    },
  }
}

function progressTo3({ handle }: SnapshotNode): number {
  return handle.status().followers.find(follower => follower.node === 3)?.snapshot?.bytes ?? 0
}

test('on a network that delays, reorders, doubles and loses, again and again: it arrives all the same', async () => {
  const { cluster } = await overMemory()
  for (const id of [1, 2]) await cluster.startNode(id)
  for (let key = 0; key < 8; key++) await cluster.set(key, VALUE_BYTES)
  for (let key = 100; key < 120; key++) await cluster.set(key, 10)
  await cluster.converged()
  for (const { handle } of cluster.up.values()) await handle.takeSnapshot()
  const writing = load(cluster)
  cluster.network.setFaults({ dropPermille: 20, duplicatePermille: 20, delayMsMax: 3 })
  const late = await cluster.startNode(3)
  await until('it is installed', () => late.fsm.restores > 0)
  cluster.network.setFaults({})
  await writing.stop()
  await cluster.converged()
  expect(late.fsm.keys.filter(key => key < 8)).toHaveLength(8)
})

test.each([
  ['in memory', overMemory],
  ['over gRPC and files', overGrpc],
])('an empty follower catches up under load although its transfer is cut three times, %s', async (_, open) => {
  const { cluster, cut } = await open()
  for (const id of [1, 2]) await cluster.startNode(id)
  for (let key = 0; key < VALUES; key++) await cluster.set(key, VALUE_BYTES)
  const leader = await cluster.leader()
  await leader.handle.takeSnapshot()
  const writing = load(cluster)
  const late = await cluster.startNode(3)
  const size = VALUES * VALUE_BYTES
  for (const part of [0.2, 0.4, 0.6]) {
    await until(`${part} of it is there`, () => progressTo3(leader) >= part * size)
    expect(late.fsm.restores).toBe(0)
    cut(leader.id)
  }
  await until('it is installed', () => late.fsm.restores === 1)
  expect(await writing.stop()).toBeGreaterThan(10)
  await cluster.converged()
  // Snapshots were taken and the log was trimmed meanwhile, but not what the follower needed next.
  expect(late.fsm.restores).toBe(1)
  expect(leader.node.snapshots().bytesSent).toBeLessThan(1.5 * size)
  await until('the sender knows', () => leader.node.snapshots().sending === 0)
  expect(leader.node.snapshots()).toMatchObject({ sent: 1, waiting: 0 })
  expect(late.node.snapshots()).toMatchObject({ installed: 1 })
  expect(late.store.groups()[0]!.base.index).toBeGreaterThan(VALUES)
})
