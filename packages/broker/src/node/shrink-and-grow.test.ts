/** Five nodes become three and five again under load, one at a time: real sockets, real files. */
import { afterEach, expect, test } from 'vitest'
import { type DurableCluster, durableCluster } from '../testing/durable-cluster.ts'
import {
  clusterClient,
  expectStoredOnce,
  hostOf,
  loseAndPrepare,
  membersByGroup,
  PATIENCE,
} from '../testing/membership.ts'
import { type AckedBatch, ProducerLoad } from '../testing/producer-load.ts'

const FLAGS = { 'raft.heartbeatMs': 50, 'raft.electionTimeoutMinMs': 500 }
const ALL = [1, 2, 3, 4, 5]

let cluster: DurableCluster
const loads: ProducerLoad[] = []
afterEach(async () => {
  await Promise.all(loads.splice(0).map(load => load.stop()))
  await cluster.close()
})

const urlOf = (node: number): string => `http://${cluster.configs[node - 1]!.listen.client}`
const running = (): readonly number[] => ALL.filter(node => cluster.nodes[node - 1] !== undefined)
const anyUrl = (): string => urlOf(running()[0]!)

async function underLoad(name: string, partitions: number, replication: number): Promise<ProducerLoad> {
  const body = JSON.stringify({ name, partitions, replication, ifNotExists: true })
  const create = async () => (await fetch(`${anyUrl()}/v1/topics`, { method: 'POST', body })).ok
  await expect.poll(create, PATIENCE).toBe(true)
  const load = new ProducerLoad(ALL.map(urlOf))
  loads.push(load)
  load.start({ [name]: partitions })
  await acknowledged(load, 20)
  return load
}

async function acknowledged(load: ProducerLoad, more: number): Promise<void> {
  const least = load.acked.length + more
  await expect.poll(() => load.acked.length, PATIENCE).toBeGreaterThan(least)
}

function leaderOf(topic: string, partition: number): number {
  return running().find(node => hostOf(cluster.nodes[node - 1]!).partition(topic, partition)?.leading) ?? 0
}

/** Resolves when no group has a member there; the process ends then. */
async function remove(node: number, load: ProducerLoad): Promise<void> {
  await clusterClient(anyUrl()).removeNode({ node })
  const groups = [0, ...groupsOf('three')]
  const members = () => {
    const found = membersByGroup(cluster.nodes)
    return groups.map(group => {
      const { voters = [], learners = [] } = found.get(group) ?? {}
      const isThere = [...voters, ...learners].some(member => member.startsWith(`${node}:`))
      return { voters: isThere ? 0 : voters.length, learners: learners.length }
    })
  }
  const [left, three] = [running().length - 1, { voters: 3, learners: 0 }]
  await expect.poll(members, PATIENCE).toEqual([{ voters: left, learners: 0 }, three, three])
  await acknowledged(load, 20)
  await cluster.stop(node)
  await acknowledged(load, 20)
}

/** Comes with an empty folder. */
async function add(node: number, load: ProducerLoad): Promise<void> {
  await loseAndPrepare(cluster.configs[node - 1]!, [anyUrl()])
  await clusterClient(anyUrl()).admitNode({ node, replace: false })
  await cluster.start(node)
  const isVoter = () =>
    membersByGroup(cluster.nodes)
      .get(0)
      ?.voters.some(voter => voter.startsWith(`${node}:`))
  await expect.poll(isVoter, PATIENCE).toBe(true)
  await acknowledged(load, 20)
}

function groupsOf(topic: string): readonly number[] {
  return hostOf(cluster.nodes[running()[0]! - 1]!)
    .describe(topic)
    .partitions.map(({ group }) => group)
}

/** Each replica has every batch at its offset, once; all replicas of a group have the same state. */
async function expectKept(acked: readonly AckedBatch[], replication: number): Promise<void> {
  const { topic } = acked[0]!
  const replicas = new Map(groupsOf(topic).map((_, partition) => [partition, 0]))
  for (const node of running().map(id => cluster.nodes[id - 1]!)) {
    const here = [...replicas.keys()].filter(partition => hostOf(node).partition(topic, partition) !== undefined)
    for (const partition of here) replicas.set(partition, replicas.get(partition)! + 1)
    const batches = acked.filter(({ partition }) => here.includes(partition))
    await expectStoredOnce(node, batches)
  }
  expect([...replicas.values()]).toEqual(groupsOf(topic).map(() => replication))
  const states = () => {
    const found = running().flatMap(id => hostOf(cluster.nodes[id - 1]!).stateHashes())
    return groupsOf(topic).map(group => {
      const own = found.filter(state => state.group === group)
      return { replicas: own.length, states: new Set(own.map(({ index, hash }) => `${index} ${hash}`)).size }
    })
  }
  await expect.poll(states, PATIENCE).toEqual(groupsOf(topic).map(() => ({ replicas: replication, states: 1 })))
}

test('from five nodes to three and back under load: every acknowledged batch is on every replica once, at its offset', async () => {
  cluster = await durableCluster(5, FLAGS)
  await Promise.all(ALL.map(node => cluster.start(node)))
  const three = await underLoad('three', 2, 3)
  const five = await underLoad('five', 1, 5)
  const first = leaderOf('three', 0)
  const tooFew = clusterClient(anyUrl()).removeNode({ node: first })
  await expect(tooFew).rejects.toThrow(
    /topic five has 5 replicas, and without node \d there are 4 nodes: add a node first/,
  )
  await five.stop()
  await expectKept(five.acked, 5)
  await fetch(`${anyUrl()}/v1/topics/five`, { method: 'DELETE' })

  await remove(first, three)
  const second = running().find(node => node !== leaderOf('three', 0))!
  await remove(second, three)
  await add(first, three)
  await add(second, three)

  const again = await underLoad('again', 1, 5)
  await again.stop()
  await three.stop()
  await expectKept(three.acked, 3)
  await expectKept(again.acked, 5)
}, 90_000)
