import { expect, onTestFinished, test } from 'vitest'
import { SnapshotCluster, type SnapshotClusterOptions } from './testing/snapshot-cluster.ts'
import { until } from './testing/until.ts'

async function clusterOf(nodes: readonly number[], options: SnapshotClusterOptions = {}): Promise<SnapshotCluster> {
  const cluster = new SnapshotCluster(options)
  onTestFinished(() => cluster.stop())
  for (const id of nodes) await cluster.startNode(id)
  return cluster
}

test('an empty follower catches up by a snapshot and the log that follows it', async () => {
  const c = await clusterOf([1, 2], { snapshots: { trailingEntriesMax: 2 } })
  for (let key = 0; key < 20; key++) await c.set(key, 1_000)
  const leader = await c.leader()
  const info = await leader.handle.takeSnapshot()
  await until('the log is trimmed', () => leader.store.groups()[0]!.base.index === info.index - 2)
  for (let key = 20; key < 25; key++) await c.set(key, 1_000)
  const late = await c.startNode(3)
  await c.converged()
  expect([late.fsm.restores, late.fsm.keys.length]).toEqual([1, 25])
  expect(late.fsm.commands).toBeLessThanOrEqual(7)
  expect(leader.node.snapshots()).toMatchObject({ sent: 1, sending: 0 })
})
