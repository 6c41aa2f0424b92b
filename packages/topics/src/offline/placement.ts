/** Where the replicas of groups go that begin anew on other nodes: as for new topics. */
import type { ReplicaPlace } from '@millrace/raft-node'
import { placeReplicas, replicaIds } from '../replica-placement.ts'
import type { TopicInfo } from '../topics.ts'

/**
 * By group, the preferred leader first. Fewer nodes than the topic's replication: one replica on each.
 *
 * @param nodes ids, in the same order wherever the same placement is wanted
 */
export function placesOn(
  nodes: readonly number[],
  { id, config, partitions }: TopicInfo,
): Map<number, readonly ReplicaPlace[]> {
  const replication = Math.min(config.replication, nodes.length)
  const places = placeReplicas(nodes, partitions.length, replication, id - 1)
  return new Map(partitions.map(({ group }, at) => [group, replicaIds(places[at]!, group)]))
}

/** Of the catalogue: a replica on every node. */
export function cataloguePlacesOn(nodes: readonly number[]): readonly ReplicaPlace[] {
  return nodes.toSorted((a, b) => a - b).map((node, at) => ({ replica: at + 1, node }))
}
