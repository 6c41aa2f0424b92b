import { afterEach, expect, test } from 'vitest'
import type { NodeTiming } from './node.ts'
import { TestCluster, type TestClusterOptions } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

/** Far longer than any test waits: whoever is elected here was elected on evidence. */
const PATIENT: NodeTiming = { heartbeatMs: 50, electionTimeoutMinMs: 60_000, campaignRankDelayMs: 20 }

const running: TestCluster[] = []

async function cluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const started = await TestCluster.start({ timing: PATIENT, ...options })
  running.push(started)
  return started
}

afterEach(async () => {
  for (const started of running.splice(0)) await started.stop()
})

test('at start a leader is elected as soon as a quorum is connected', async () => {
  const c = await cluster()
  await c.append('a')
  await c.converged(1)
})

test('a leader whose process is gone is replaced without waiting for the election timeout, again and again', async () => {
  const c = await cluster()
  for (let round = 0; round < 3; round++) {
    await c.append(`round ${round}`)
    const old = await c.leader()
    await c.kill(old)
    await c.append(`after ${round}`)
    await c.startNode(old)
  }
  await c.converged(6)
})

test('of many groups, those of a lost node move to both others', async () => {
  const groups = Array.from({ length: 24 }, (_, i) => i + 1)
  const c = await cluster({ groups })
  await Promise.all(groups.map(group => c.append('a', group)))
  const victim = 1
  const orphans = groups.filter(group => c.leaderOf(group) === victim)
  await c.kill(victim)
  await Promise.all(groups.map(group => c.append('b', group)))
  const heirs = new Set(orphans.map(group => c.leaderOf(group)))
  expect(heirs.size).toBeGreaterThan(orphans.length > 8 ? 1 : 0)
})

test('false evidence changes nothing while the others hear from the leader', async () => {
  const c = await cluster()
  await c.append('a')
  const leader = await c.leader()
  const { term } = c.handle(leader)
  const misled = c.nodeIds.find(id => id !== leader)!
  await until('it knows the leader', () => c.handle(misled).leaderNode === leader)
  const host = c.up.get(misled)!.node as unknown as { gone(node: number): void }
  host.gone(leader)
  await until('it has forgotten the leader', () => c.handle(misled).leaderNode !== leader)
  await until('and hears from it again', () => c.handle(misled).leaderNode === leader)
  await c.append('b')
  expect(c.handle(leader).leading).toBe(true)
  expect(c.handle(leader).term).toBe(term)
})
