/** Who may be which node: replica ids are promised to one data folder, and only after somebody let it in. */
import type { ReplicaPlace } from '@millrace/raft-node'
import { beforeEach, describe, expect, test } from 'vitest'
import type { CatalogueCommand } from './catalogue-command.ts'
import { type CatalogueResult, CatalogueState } from './catalogue-state.ts'
import { TOPIC_DEFAULTS } from './topic-config.ts'
import { foundingOf } from './topic-places.ts'
import { groupWishes, wantedReplicas } from './wanted-replicas.ts'

const FOUNDED = { replicas: [1, 2, 3].map(node => ({ replica: node, node })), nextReplica: 4 }

let state: CatalogueState
let index: number
beforeEach(() => {
  state = new CatalogueState(undefined, () => undefined)
  index = 1
  for (const node of [1, 2, 3]) register(node)
  create('orders', 3)
})

function run(command: CatalogueCommand): CatalogueResult {
  index += 1
  return state.apply(command, { index, timestamp: index })
}

const register = (node: number) =>
  run({ type: 'registerNode', node, clientUrl: `http://${node}`, peerAddress: `${node}:1` })
const admit = (node: number, replace = true) => run({ type: 'admitNode', node, replace, catalogue: FOUNDED })
const claim = (node: number, folder: string) =>
  run({ type: 'claimNode', node, folder, clientUrl: `http://${node}`, peerAddress: `${node}:1` })
const remove = (node: number) => run({ type: 'removeNode', node, catalogue: FOUNDED })

function create(name: string, replication: number, nodes = [1, 2, 3, 4, 5]): void {
  const config = { ...TOPIC_DEFAULTS, partitions: 2, replication }
  expect(run({ type: 'createTopic', name, config, ifNotExists: false, nodes })).toMatchObject({ created: true })
}

const reason = (result: CatalogueResult): string => (result.type === 'refused' ? result.error.message : result.type)
const replicaOn = (group: number, node: number): number | undefined =>
  groupWishes(state)
    .get(group)
    ?.replicas.find(place => place.node === node)?.replica
const nodesOf = (replicas: readonly ReplicaPlace[]) => replicas.map(({ node }) => node).sort((a, b) => a - b)

describe('a lost folder', () => {
  test('is followed by one that somebody let in, with new replicas everywhere', () => {
    expect(reason(claim(2, 'a'))).toMatch(/replace-node 2/)
    expect(admit(2)).toEqual({ type: 'admitted' })
    expect(claim(2, 'a')).toEqual({ type: 'claimed', catalogueReplica: 4 })
    expect([0, 1, 2].map(group => replicaOn(group, 2))).toEqual([4, 4, 4])
    expect(claim(2, 'a')).toEqual({ type: 'claimed', catalogueReplica: 4 })
    expect(reason(claim(2, 'b'))).toMatch(/another data folder/)
    admit(2)
    expect(claim(2, 'b')).toEqual({ type: 'claimed', catalogueReplica: 5 })
    expect(reason(claim(2, 'a'))).toMatch(/another data folder/)
    expect([0, 1, 2].map(group => groupWishes(state).get(group)?.nextReplica)).toEqual([6, 6, 6])
  })

  test('gets no plans any more, and neither does one whose claim this node has not seen', () => {
    expect(wantedReplicas(state, 2, '').plans.size).toBe(2)
    expect(wantedReplicas(state, 2, 'a').plans.size).toBe(0)
    admit(2)
    expect(wantedReplicas(state, 2, '').plans.size).toBe(2)
    claim(2, 'a')
    expect(wantedReplicas(state, 2, '').plans.size).toBe(0)
    expect(wantedReplicas(state, 2, 'a').plans.size).toBe(2)
  })

  test('its successor joins groups that were there, and founds those that come', () => {
    admit(2)
    claim(2, 'a')
    create('later', 3)
    const founding = [...wantedReplicas(state, 2, 'a').plans.values()].map(plan => plan.founding !== undefined)
    expect(founding).toEqual([false, false, true, true])
  })
})

test('a node that was away when a group was made is born with what the group was founded with', () => {
  const topic = state.topic('orders')!
  const founding = topic.info.partitions.map(partition => foundingOf(topic, partition))
  admit(2)
  claim(2, 'a')
  expect(wantedReplicas(state, 3, '').plans.get(1)?.founding).toEqual(founding[0])
  expect(wantedReplicas(state, 3, '').plans.get(1)?.places).not.toEqual(founding[0])
})

describe('nodes that come and go', () => {
  test('a node that is added gets a replica of the catalogue, and those of new topics', () => {
    expect(reason(admit(4))).toMatch(/none of the cluster/)
    expect(reason(claim(4, 'a'))).toMatch(/add-node 4/)
    admit(4, false)
    expect(claim(4, 'a')).toEqual({ type: 'claimed', catalogueReplica: 4 })
    expect(reason(admit(4, false))).toMatch(/one of the cluster already/)
    create('wide', 4)
    expect(nodesOf(groupWishes(state).get(3)!.replicas)).toEqual([1, 2, 3, 4])
  })

  test('a node is removed only where the others can take its replicas, and spreads them', () => {
    expect(reason(remove(1))).toMatch(/orders has 3 replicas, and without node 1 there are 2 nodes/)
    expect(reason(remove(9))).toMatch(/none of the cluster/)
    for (const node of [4, 5]) {
      admit(node, false)
      claim(node, 'a')
    }
    expect(remove(1)).toEqual({ type: 'removed' })
    expect([0, 1, 2].map(group => nodesOf(groupWishes(state).get(group)!.replicas))).toEqual([
      [2, 3, 4, 5],
      [2, 3, 4],
      [2, 3, 5],
    ])
    expect(state.placeableNodes()).toEqual([2, 3, 4, 5])
    expect(reason(remove(1))).toMatch(/none of the cluster/)
    create('after', 4, [1, 2, 3, 4, 5])
    expect(nodesOf(groupWishes(state).get(3)!.replicas)).toEqual([2, 3, 4, 5])
  })

  test('a node that was removed takes part until the others have let it go, also after a restart', () => {
    admit(4, false)
    claim(4, 'a')
    const old = replicaOn(1, 1)!
    expect(wantedReplicas(state, 1, '').leaving(1, old)).toBeUndefined()
    remove(1)
    const { plans, leaving } = wantedReplicas(state, 1, '')
    expect(plans.size).toBe(0)
    expect(leaving(1, old)).toMatchObject({ topic: 'orders', group: 1, replica: old })
    expect(leaving(7, 1)).toBeUndefined()
    expect(wantedReplicas(state, 1, 'other').leaving(1, old)).toBeUndefined()
  })

  test('a node that was removed comes back as a new one only', () => {
    create('single', 1)
    admit(4, false)
    claim(4, 'a')
    remove(4)
    expect(reason(claim(4, 'a'))).toMatch(/add-node 4/)
    admit(4, false)
    expect(claim(4, 'b')).toEqual({ type: 'claimed', catalogueReplica: 5 })
  })

  test('partitions that lost replicas for good get them back from nodes that come', () => {
    create('single', 1, [1])
    run({ type: 'forgetNodes', nodes: [2, 3] })
    for (const node of [7, 8, 9]) {
      admit(node, false)
      claim(node, 'a')
    }
    const replicas = [1, 2].map(group => groupWishes(state).get(group)!.replicas)
    expect(replicas.map(nodesOf)).toEqual([
      [1, 7, 8],
      [1, 7, 8],
    ])
    expect(replicas.map(places => places.slice(1).map(({ replica }) => replica))).toEqual([
      [4, 5],
      [4, 5],
    ])
    expect(nodesOf(groupWishes(state).get(3)!.replicas)).toEqual([1])
  })

  test('ids of replicas that were struck from the places are not given again', () => {
    run({ type: 'forgetNodes', nodes: [3] })
    admit(2)
    claim(2, 'a')
    expect([1, 2].map(group => replicaOn(group, 2))).toEqual([4, 4])
    expect(foundingOf(state.topic('orders')!, state.topic('orders')!.info.partitions[0]!).length).toBe(2)
  })
})

test('groups that are placed anew belong to the folders of a new founding; ids go on from where they were', () => {
  admit(2)
  claim(2, 'a')
  for (const node of [4, 5]) {
    admit(node, false)
    claim(node, 'a')
  }
  remove(5)
  const places = [1, 2, 3].map(node => ({ replica: node, node }))
  expect(run({ type: 'placeReplicas', groups: [{ group: 1, replicas: places }] })).toEqual({ type: 'placed' })
  expect(state.members.list()).toEqual([])
  expect(state.members.catalogue).toBeUndefined()
  expect(state.placeableNodes()).toEqual([1, 2, 3, 4])
  expect(wantedReplicas(state, 2, '').plans.get(1)).toMatchObject({ replica: 2, founding: places })
  expect(groupWishes(state).get(1)).toEqual({ replicas: places, nextReplica: 5 })
})
