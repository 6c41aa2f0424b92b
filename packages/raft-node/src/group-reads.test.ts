import { afterEach, expect, test } from 'vitest'
import { JumpingClock } from './testing/jumping-clock.ts'
import { configurationOf, FAST, TestCluster, type TestClusterOptions } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

const running: TestCluster[] = []
const LEASED: TestClusterOptions = { configuration: { ...configurationOf([1, 2, 3]), leaseReads: true } }

async function cluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const started = await TestCluster.start(options)
  running.push(started)
  return started
}

afterEach(async () => {
  for (const started of running.splice(0)) await started.stop()
})

/** A leader whose lease runs. */
async function leased(options: TestClusterOptions = LEASED): Promise<{ c: TestCluster; leader: number }> {
  const c = await cluster(options)
  await c.append('a')
  const leader = await c.leader()
  for (let held = false; !held; ) {
    held = await c
      .handle(leader)
      .leaseRead(() => true)
      .catch(() => false)
    if (!held) await new Promise(resolve => setTimeout(resolve, 2))
  }
  return { c, leader }
}

test('a read index on the leader and on a follower: what was acknowledged before is there once it is applied', async () => {
  const c = await cluster()
  for (let i = 0; i < 5; i++) {
    const { index } = (await c.append(`entry ${i}`)).header
    for (const id of c.nodeIds) {
      const handle = c.handle(id)
      await until('it knows the leader', () => handle.leaderNode !== 0)
      const read = await handle.readIndex()
      expect(read).toBeGreaterThanOrEqual(index)
      await handle.waitApplied(read)
      expect(c.machine(id).entries).toHaveLength(i + 1)
    }
  }
})

test('the leader is verified by a majority, on itself and through a follower', async () => {
  const c = await cluster()
  const leader = await c.leader()
  const { term } = c.handle(leader)
  for (const id of c.nodeIds) {
    await until('it knows the leader', () => c.handle(id).leaderNode !== 0)
    expect(await c.handle(id).verifyLeader()).toEqual({ node: leader, term })
  }
  c.network.isolate(leader)
  await expect(c.handle(leader).verifyLeader()).rejects.toMatchObject({ code: 'NO_LEADER' })
  const others = c.nodeIds.filter(id => id !== leader)
  await until('another one leads', () => others.some(id => c.handle(id).leading))
  const next = others.find(id => c.handle(id).leading)!
  expect((await c.handle(next).verifyLeader()).node).toBe(next)
})

test('a read index before the first commit of the term waits, bounded', async () => {
  const c = await cluster()
  await c.append('old')
  const old = await c.leader()
  const others = c.nodeIds.filter(id => id !== old)
  c.network.setFilter((_from, _to, { message }) => message.type !== 'appendResponse')
  await c.kill(old)
  const elected = (): number | undefined => others.find(id => c.handle(id).status().role === 'leader')
  await until('a leader without a commit', () => elected() !== undefined)
  let answered: number | undefined
  let failed: unknown
  const bounded = c.handle(elected()!)
  const first = bounded.readIndex().then(
    index => (answered = index),
    error => (failed = error),
  )
  await first
  expect([answered, failed]).toMatchObject([undefined, { code: 'NO_LEADER' }])

  await until('a leader again', () => elected() !== undefined)
  const waiting = c.handle(elected()!)
  const second = waiting.readIndex()
  c.network.setFilter(undefined)
  const index = await second.catch(() => c.handle(elected()!).readIndex())
  expect(index).toBeGreaterThanOrEqual(waiting.status().lastIndex)
})

test('lease reads are off by default, and only for the leader', async () => {
  const c = await cluster()
  await expect(c.handle(await c.leader()).leaseRead(() => 1)).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  const { c: on, leader } = await leased()
  const follower = on.nodeIds.find(id => id !== leader)!
  await until('it knows the leader', () => on.handle(follower).leaderNode !== 0)
  await expect(on.handle(follower).leaseRead(() => 1)).rejects.toMatchObject({
    ...{ code: 'NOT_LEADER', details: { leaderNode: leader } },
  })
})

test('a lease read sees what was acknowledged, without a message', async () => {
  const { c, leader } = await leased({ ...LEASED, timing: { ...FAST, electionTimeoutMinMs: 2_000 } })
  await c.append('b')
  c.network.isolate(leader)
  expect(await c.handle(leader).leaseRead(() => c.machine(leader).entries.map(entry => entry.split(':')[1]))).toEqual([
    'a',
    'b',
  ])
})

test('a lease read after the clock has jumped is refused, and one that was under way then too', async () => {
  const clocks = new Map([1, 2, 3].map(id => [id, new JumpingClock()]))
  const { c, leader } = await leased({ ...LEASED, clock: id => clocks.get(id)! })
  const { electionTimeoutMinMs } = FAST
  let reads = 0
  // As if the process had been stopped between the look at the lease and the read.
  const under = c.handle(leader).leaseRead(() => {
    reads += 1
    clocks.get(leader)!.jump(electionTimeoutMinMs!)
    return 'stale?'
  })
  await expect(under).rejects.toMatchObject({ code: 'NO_LEADER' })
  expect(reads).toBe(1)
  const after = c.handle(leader).leaseRead(() => {
    reads += 1
  })
  await expect(after).rejects.toMatchObject({ code: 'NO_LEADER' })
  expect(reads).toBe(1)
})

test('a lease ends with the start of a transfer', async () => {
  const { c, leader } = await leased()
  c.network.setFilter((_from, _to, { message }) => message.type !== 'timeoutNow')
  c.handle(leader).transferLeadership(c.nodeIds.find(id => id !== leader)!)
  await expect(c.handle(leader).leaseRead(() => 1)).rejects.toMatchObject({ code: 'NO_LEADER' })
})

test('whoever loses the leadership unawares stops lease reads before another one is elected', async () => {
  const { c, leader } = await leased()
  const others = c.nodeIds.filter(id => id !== leader)
  c.network.isolate(leader)
  await until('another one is elected', () => others.some(id => c.handle(id).status().role === 'leader'))
  for (let i = 0; i < 20; i++) {
    const read = c.handle(leader).leaseRead(() => 'old')
    await expect(read).rejects.toMatchObject({ outcome: 'not_stored' })
    await new Promise(resolve => setTimeout(resolve, 2))
  }
})

test('a change of members keeps the option', async () => {
  const { c, leader } = await leased()
  const { GroupMembers } = await import('./group-members.ts')
  const configuration = await new GroupMembers(c.handle(leader)).demote(c.nodeIds.find(id => id !== leader)! + 10)
  expect(configuration.leaseReads).toBe(true)
})
