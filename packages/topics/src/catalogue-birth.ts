/** What the catalogue's group is born from: made once, when a cluster is founded, the same on all of its nodes. */
import type { Birth } from '@millrace/log-store'
import type { GroupConfiguration, ReplicaPlace } from '@millrace/raft-node'
import { birthRecord } from '@millrace/raft-node'
import { CATALOGUE_GROUP } from './catalogue-machine.ts'

/**
 * The catalogue's birth on node `nodeId`, for `LogStore.create(0, …)`. Replica ids follow the order of the node ids, so
 * every node makes the same base record by itself.
 *
 * @param nodes ids of all founding nodes, in any order
 * @throws RangeError where `nodeId` is not one of them
 */
export function birthCatalogue(cluster: {
  readonly clusterId: string
  readonly nodes: readonly number[]
  readonly nodeId: number
}): Birth {
  const nodes = [...new Set(cluster.nodes)].sort((a, b) => a - b)
  const places = nodes.map((node, i): ReplicaPlace => ({ replica: i + 1, node }))
  const own = places.find(place => place.node === cluster.nodeId)
  if (own === undefined)
    throw new RangeError(`node ${cluster.nodeId} is not one of the founding nodes ${nodes.join(', ')}`)
  const base = birthRecord({
    clusterId: cluster.clusterId,
    group: CATALOGUE_GROUP,
    createIndex: 0,
    createTimestamp: 0,
    configuration: configurationOf(places),
  })
  return { replicaId: own.replica, base }
}

/** All of `places` as voters. */
export function configurationOf(places: readonly ReplicaPlace[]): GroupConfiguration {
  const voters = places.map(place => place.replica).sort((a, b) => a - b)
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false, places }
}
