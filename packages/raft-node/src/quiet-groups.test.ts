import { afterEach, describe, expect, test } from 'vitest'
import type { RaftGroupHandle } from './raft-group-handle.ts'
import { configurationOf, FAST, replicaOn, TestCluster, type TestClusterOptions } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

/** 20 ticks to an election timeout, 8 of silence until groups wake. */
const TIMING = { ...FAST, electionTimeoutMinMs: 400 }

describe('quiet groups of three nodes', () => {
  const clusters: TestCluster[] = []
  afterEach(async () => {
    for (const cluster of clusters.splice(0)) await cluster.stop()
  })

  async function start(options: TestClusterOptions = {}): Promise<TestCluster> {
    const cluster = await TestCluster.start({ timing: TIMING, ...options })
    clusters.push(cluster)
    return cluster
  }

  /** Resolves when beats have come and gone for a while, and nothing else. */
  async function quiet(c: TestCluster, groups: readonly number[] = c.groups): Promise<void> {
    let beats = 0
    c.network.setFilter((_from, _to, { group }) => {
      if (groups.includes(group)) beats = 0
      return true
    })
    c.network.setBeatFilter(() => {
      beats += 1
      return true
    })
    await until('only beats travel', () => beats >= 60)
    c.network.setFilter(undefined)
    c.network.setBeatFilter(undefined)
  }

  test('exchange nothing but beats, take a proposal at once and are quiet again', async () => {
    const groups = [1, 2, 3, 4, 5, 6, 7, 8]
    const c = await start({ groups })
    for (const group of groups) await c.append('a', group)
    await quiet(c)
    const terms = groups.map(group => c.handle(1, group).term)
    for (const group of groups) await c.append('b', group)
    await quiet(c)
    expect(groups.map(group => c.handle(1, group).term)).toEqual(terms)
    for (const group of groups) await c.converged(2, group)
  })

  test('answer reads everywhere', async () => {
    const c = await start()
    const { index } = (await c.append('a')).header
    for (const id of c.nodeIds) {
      await quiet(c)
      expect(await c.handle(id).readIndex()).toBeGreaterThanOrEqual(index)
    }
  })

  test('replace a leader that falls silent, which steps down', async () => {
    const c = await start()
    await c.append('a')
    await quiet(c)
    const leader = await c.leader()
    c.network.isolate(leader)
    const others = c.nodeIds.filter(node => node !== leader)
    await until('another leads', () => others.some(node => c.handle(node).leading))
    await until('the old one has stepped down', () => !c.handle(leader).leading)
    c.network.heal()
    await c.append('b')
    await c.converged(2)
  })

  test('have no leader that hears from nobody, although everybody hears it', async () => {
    const c = await start()
    await c.append('a')
    await quiet(c)
    const leader = await c.leader()
    const others = c.nodeIds.filter(node => node !== leader)
    for (const node of others) c.network.cut(node, leader)
    await until('it has stepped down', () => !c.handle(leader).leading)
    await until('another leads', () => others.some(node => c.handle(node).leading))
  })

  test('replace a leader that took no further part, though its node beats on for other groups', async () => {
    const c = await start({ groups: [1, 2, 3, 4, 5, 6] })
    for (const group of c.groups) await c.append('a', group)
    // Moves everything to one node, so that it beats whatever happens to one of its groups.
    for (const group of c.groups) {
      await until(`group ${group} is led by 1`, () => {
        const by = c.leaderOf(group)
        if (by > 1) c.handle(by, group).transferLeadership(1)
        return by === 1
      })
    }
    await quiet(c)
    let lost = 3
    c.network.setBeatFilter((from, _to, beat) => !(from === 1 && beat.left.includes(4) && lost-- > 0))
    await c.up.get(1)!.node.closeGroup(4)
    await until('another leads group 4', () => [2, 3].some(node => c.handle(node, 4).leading))
    expect(lost).toBeLessThan(3)
    expect([1, 2, 3, 5, 6].map(group => c.leaderOf(group))).toEqual([1, 1, 1, 1, 1])
  })

  test('have no leader whose followers took no further part, though their nodes answer for other groups', async () => {
    const c = await start({ groups: [1, 2] })
    for (const group of c.groups) await c.append('a', group)
    for (const group of c.groups) {
      await until(`group ${group} is led by 1`, () => {
        const by = c.leaderOf(group)
        if (by > 1) c.handle(by, group).transferLeadership(1)
        return by === 1
      })
    }
    await quiet(c)
    for (const node of [2, 3]) await c.up.get(node)!.node.closeGroup(1)
    await until('the leader of group 1 has stepped down', () => !c.handle(1, 1).leading)
    expect(c.handle(1, 2).leading).toBe(true)
  })

  test('do without a node that is down, and take it in when it is back', async () => {
    const c = await start()
    await c.append('a')
    const down = c.nodeIds.find(node => node !== c.leaderOf())!
    await c.kill(down)
    await quiet(c)
    const term = c.handle(await c.leader()).term
    await c.startNode(down)
    await until('it follows', () => c.handle(down).leaderNode !== 0)
    await quiet(c)
    await c.append('b')
    await c.converged(2)
    expect(c.handle(down).term).toBe(term)
  })

  test('take in a learner that is back, which would never ask for it', async () => {
    const configuration = {
      ...configurationOf([1, 2, 3]),
      voters: [replicaOn(1), replicaOn(2)],
      learners: [replicaOn(3)],
    }
    const c = await start({ configuration })
    await c.append('a')
    await c.kill(3)
    await quiet(c)
    await c.startNode(3)
    await until('it follows', () => c.handle(3).leaderNode !== 0)
    await quiet(c)
    await c.append('b')
    await c.converged(2)
  })

  test('tell who waits for a read whose question was lost', async () => {
    const c = await start()
    await c.append('a')
    await quiet(c)
    const follower = c.nodeIds.find(node => node !== c.leaderOf())!
    c.network.setFilter((_from, _to, { message }) => message.type !== 'readIndex')
    await expect(c.handle(follower).readIndex()).rejects.toMatchObject({ code: 'NO_LEADER' })
  })

  test('are none of those whose leader holds leases: ticks keep these up, of a single node too', async () => {
    for (const nodes of [[1, 2, 3], [1]]) {
      const c = await start({ nodes, configuration: { ...configurationOf(nodes), leaseReads: true } })
      await c.append('a')
      const { replica } = c.handle(await c.leader()) as RaftGroupHandle
      let ticks = 0
      let last = -1
      const sees = (now: number): void => {
        if (now !== last) ticks += 1
        last = now
      }
      await until('it ticks on', () => {
        sees(replica.status().electionTicksElapsed)
        return ticks > 40
      })
    }
  })

  test('move on evidence that the process of the leader is gone', async () => {
    const c = await start({ timing: { ...FAST, heartbeatMs: 100, electionTimeoutMinMs: 60_000 } })
    await c.append('a')
    await until('it rests', () => c.handle(c.leaderOf()).status().followers.length === 2)
    await quiet(c)
    const leader = await c.leader()
    await c.kill(leader)
    await c.append('b')
    expect(await c.leader()).not.toBe(leader)
  })

  test('survive links that lose, repeat and delay what they carry', async () => {
    const groups = [1, 2, 3, 4]
    const c = await start({ groups })
    let appended = 0
    for (let round = 0; round < 4; round++) {
      c.network.setFaults({ dropPermille: 200, duplicatePermille: 200, delayMsMax: 15 })
      for (const group of groups) await c.append(`${round}`, group)
      appended += 1
      let beats = 0
      c.network.setBeatFilter(() => ++beats > 0)
      await until('beats travel', () => beats > 40)
      c.network.setBeatFilter(undefined)
    }
    c.network.setFaults({})
    for (const group of groups) await c.converged(appended, group)
    await quiet(c)
    for (const group of groups) expect(c.nodeIds.filter(node => c.handle(node, group).leading)).toHaveLength(1)
  })
})
