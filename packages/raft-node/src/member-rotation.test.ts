// Five members become three and five again, one node at a time, while writes go on: in virtual time, and over sockets.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSegmentedLogStore } from '@millrace/log-store'
import { afterEach, expect, test } from 'vitest'
import { GroupMembers } from './group-members.ts'
import { createGrpcTransport } from './grpc/grpc-transport.ts'
import { TIMING_DEFAULTS } from './host-services.ts'
import { freePorts } from './testing/free-ports.ts'
import { Load } from './testing/load.ts'
import { configurationOf, FAST, replicaOn, TestCluster } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'
import { VirtualClock } from './testing/virtual-clock.ts'

const cleanup: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const run of cleanup.splice(0)) await run()
})

/** The group's members, wherever its leader is, again and again until one who leads has done it. */
async function change(
  c: TestCluster,
  clock: VirtualClock | undefined,
  run: (members: GroupMembers) => Promise<unknown>,
) {
  for (;;) {
    const members = new GroupMembers(c.handle(await c.leader()), clock)
    try {
      return await run(members)
    } catch (error) {
      const { outcome, code } = error as { outcome: string; code: string }
      if (
        outcome !== 'unknown' &&
        !['NOT_LEADER', 'NO_LEADER', 'LEADER_STARTING', 'CHANGE_IN_PROGRESS'].includes(code)
      ) {
        throw error
      }
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
}

/** 5 → 3, the leader among those who go, and 3 → 5 with new nodes. @returns nodes of the members at the end */
async function rotate(c: TestCluster, load: Load, clock?: VirtualClock): Promise<number[]> {
  const progress = async (): Promise<void> => {
    const target = load.acknowledged + 50
    await until('writes go on', () => load.acknowledged >= target)
  }
  const isMember = (id: number): boolean =>
    c.handle(c.leaderOf())?.status().configuration.voters.includes(replicaOn(id)) === true
  await progress()
  const follower = c.nodeIds.find(id => id !== c.leaderOf())!
  await change(c, clock, members => members.remove(replicaOn(follower)))
  await progress()
  const leader = await c.leader()
  const leaves = new GroupMembers(c.handle(leader), clock).remove(replicaOn(leader))
  expect((await leaves).voters).toHaveLength(3)
  await progress()
  for (const gone of [follower, leader]) await c.kill(gone)
  await progress()
  for (const node of [6, 7]) {
    await c.startNode(node)
    const { address } = c.up.get(node)!
    const place = { node, replica: replicaOn(node), ...(address !== undefined && { address }) }
    await change(c, clock, members => (isMember(node) ? Promise.resolve() : members.addVoter(place)))
    await progress()
  }
  await load.stop()
  const { configuration } = c.handle(await c.leader()).status()
  expect(configuration.voters).toHaveLength(5)
  return configuration.places.map(place => place.node)
}

async function check(c: TestCluster, load: Load, nodes: readonly number[]): Promise<void> {
  await until('all have all', () => new Set(nodes.map(node => c.machine(node).lastIndex)).size === 1)
  for (const node of nodes) load.check(c.machine(node).entries)
}

test('5 → 3 → 5 in virtual time: nothing is lost or doubled, and no gap is as long as half an election timeout', async () => {
  const clock = new VirtualClock()
  const passing = clock.run()
  const c = await TestCluster.start({
    ...{ nodes: [1, 2, 3, 4, 5], timing: TIMING_DEFAULTS, clock: () => clock, network: { clock } },
    store: { schedule: task => void clock.setTimer(1, task) },
  })
  c.network.setFaults({ delayMsMax: 2 })
  await c.leader()
  const load = new Load(c, clock)
  const nodes = await rotate(c, load, clock)
  await check(c, load, nodes)
  expect(load.acknowledged).toBeGreaterThan(250)
  expect(load.gapMs).toBeLessThan(TIMING_DEFAULTS.electionTimeoutMinMs / 2)
  process.stderr.write(`longest gap ${load.gapMs} ms of virtual time, ${load.acknowledged} entries\n`)
  await c.stop()
  clock.stop()
  await passing
})

test('5 → 3 → 5 over sockets and files; the new nodes are known by the address in the change only', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-members-'))
  const ports = await freePorts(7)
  const addressOf = (node: number): string => `127.0.0.1:${ports[node - 1]}`
  const founders = [1, 2, 3, 4, 5]
  const birth = configurationOf(founders)
  const places = birth.places.map(place => ({ ...place, address: addressOf(place.node) }))
  const c = await TestCluster.start({
    ...{
      nodes: founders,
      timing: { ...FAST, electionTimeoutMinMs: 500 },
      configuration: { ...birth, places },
      addressOf,
    },
    transport: async nodeId =>
      createGrpcTransport({ nodeId, clusterId: 'test', listen: { port: ports[nodeId - 1]! }, peers: new Map() }),
    openStore: node => {
      const onFatal = (error: Error): void => {
        throw error
      }
      return openSegmentedLogStore({ dir: join(folder, String(node)), onFatal, diskReserveBytes: 0 })
    },
    crashStore: (_node, store) => store.close(),
  })
  cleanup.push(async () => {
    await c.stop()
    await rm(folder, { recursive: true })
  })
  await c.leader()
  const load = new Load(c)
  const nodes = await rotate(c, load)
  await check(c, load, nodes)
  process.stderr.write(`longest gap ${Math.round(load.gapMs)} ms, ${load.acknowledged} entries\n`)
  // Nodes that came later speak to each other: one of them can lead.
  c.handle(await c.leader()).transferLeadership(7)
  await until('a new node leads', () => c.leaderOf() === 7)
  await c.append('by a new leader')
})
