// In virtual time: a busy machine changes nothing.
import { afterEach, expect, test } from 'vitest'
import { TIMING_DEFAULTS } from './host-services.ts'
import { Load } from './testing/load.ts'
import { TestCluster } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'
import { VirtualClock } from './testing/virtual-clock.ts'

let clock: VirtualClock
let passing: Promise<void>
let c: TestCluster

/** @param writeMs a write of the disk */
async function start(nodes: readonly number[], writeMs: number): Promise<void> {
  clock = new VirtualClock()
  passing = clock.run()
  c = await TestCluster.start({
    ...{ nodes, timing: TIMING_DEFAULTS, clock: () => clock, network: { clock } },
    store: { schedule: task => void clock.setTimer(writeMs, task) },
  })
  c.network.setFaults({ delayMsMax: 2 })
}

afterEach(async () => {
  await c.stop()
  clock.stop()
  await passing
})

test('a transfer takes one election, however long votes take to be durable', async () => {
  await start([1, 2, 3, 4, 5], 60)
  await c.append('a')
  for (let round = 0; round < 4; round++) {
    const old = await c.leader()
    const { term } = c.handle(old)
    const next = c.nodeIds[(c.nodeIds.indexOf(old) + 1) % 5]!
    c.handle(old).transferLeadership(next)
    await until('the target leads', () => c.handle(next).leading)
    expect(c.handle(next).term).toBe(term + 1)
    await c.append(`round ${round}`)
  }
})

test('a leader whose process ends is replaced by one election, however long votes take to be durable', async () => {
  await start([1, 2, 3, 4, 5], 60)
  await c.append('a')
  const old = await c.leader()
  const { term } = c.handle(old)
  await c.kill(old)
  await c.append('b')
  expect(c.handle(await c.leader()).term).toBe(term + 1)
})

test('a node that is stopped gives its leaderships away first: writes stand still for at most 100 ms', async () => {
  await start([1, 2, 3], 5)
  await c.leader()
  const load = new Load(c, clock)
  await until('writes go on', () => load.acknowledged > 50)
  const old = await c.leader()
  const { node, store } = c.up.get(old)!
  await node.shutdown()
  await store.close()
  c.up.delete(old)
  const before = load.acknowledged
  await until('writes go on', () => load.acknowledged > before + 50)
  await load.stop()
  expect(load.gapMs).toBeLessThan(100)
  const [first] = c.up.keys()
  await until('both have all', () => new Set([...c.up.keys()].map(id => c.machine(id).lastIndex)).size === 1)
  load.check(c.machine(first!).entries)
})
