/**
 * Which nodes hold a partition, and under which replica ids. The first is the preferred leader; first places rotate, so that leaders spread evenly,
 * and the distance between first and further places grows each time round, so that the partitions of a node that
 * stops are taken over by all others, not by its neighbour alone. Source: Kafka's replica assignment.
 *
 * Pure, and part of the replicated state: a change of what it returns needs a new command.
 */
import type { ReplicaPlace } from '@millrace/raft-node'
import { InvariantError } from './invariant-error.ts'

/**
 * @param nodes candidates, distinct
 * @param start where the rotation of this topic begins
 * @returns `replication` nodes per partition, the preferred leader first
 */
export function placeReplicas(
  nodes: readonly number[],
  partitions: number,
  replication: number,
  start: number,
): readonly (readonly number[])[] {
  const count = nodes.length
  if (replication < 1 || replication > count) throw new InvariantError(`${replication} replicas on ${count} nodes`)
  return Array.from({ length: partitions }, (_, partition) => {
    const first = (start + partition) % count
    const round = Math.floor((start + partition) / count)
    const places = [nodes[first]!]
    for (let further = 0; places.length < replication; further++) {
      const distance = 1 + ((round + further) % (count - 1))
      places.push(nodes[(first + distance) % count]!)
    }
    return places
  })
}

/**
 * Replica ids 1 to R for the nodes of a new group. Without a leader, replicas campaign in an order that begins at another
 * id in each group: position (id − 1 + group) mod R. Ids are dealt out so that this is the order of `nodes`, and the
 * preferred leader is the first to ask.
 */
export function replicaIds(nodes: readonly number[], group: number): readonly ReplicaPlace[] {
  const count = nodes.length
  return nodes.map((node, position) => ({ replica: ((position + count - (group % count)) % count) + 1, node }))
}
