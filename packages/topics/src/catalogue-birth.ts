/** How the catalogue's group comes into being: once, when a cluster is founded, by all of its nodes together. */
import type { GroupLog } from '@millrace/log-store'
import type { BootstrapOptions, GroupConfiguration, RaftNode, ReplicaPlace } from '@millrace/raft-node'
import { CATALOGUE_GROUP } from './catalogue-machine.ts'

/**
 * Gives this node its replica of the catalogue, when all founding nodes are there and do the same; see
 * `RaftNode.bootstrap`. Replica ids follow the order of the node ids.
 *
 * @param nodes ids of all founding nodes, in any order
 * @throws as `RaftNode.bootstrap`
 */
export function foundCatalogue(
  node: Pick<RaftNode, 'bootstrap'>,
  { clusterId, nodes }: { readonly clusterId: string; readonly nodes: readonly number[] },
  options: BootstrapOptions = {},
): Promise<GroupLog> {
  return node.bootstrap({ clusterId, group: CATALOGUE_GROUP, nodes }, options)
}

/** All of `places` as voters. */
export function configurationOf(places: readonly ReplicaPlace[]): GroupConfiguration {
  const voters = places.map(place => place.replica).sort((a, b) => a - b)
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false, places }
}
