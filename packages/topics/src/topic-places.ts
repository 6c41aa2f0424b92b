/**
 * Where the partitions of a topic live, and how that changes when nodes come and go. Pure, and part of the replicated
 * state: a change of what it returns needs a new command.
 *
 * Never forgets what a group was born with: a node that was away at its birth makes its replica from that, and not from
 * what the replicas have become.
 */
import type { ReplicaPlace } from '@millrace/raft-node'
import type { CatalogueTopicEntry } from './catalogue-state.ts'
import type { GroupWish } from './group-wish.ts'
import { extended, nextReplicaAfter, replaced, withoutNodes } from './group-wish.ts'
import type { PartitionInfo } from './topics.ts'

/** Of a partition whose replicas have changed since. */
export interface PartitionBirth {
  /** The replicas that the group is born with. */
  readonly founding: readonly ReplicaPlace[]
  readonly nextReplica: number
}

export function wishOf({ births }: Pick<CatalogueTopicEntry, 'births'>, partition: PartitionInfo): GroupWish {
  const { replicas } = partition
  return { replicas, nextReplica: births.get(partition.partition)?.nextReplica ?? nextReplicaAfter(replicas) }
}

export function foundingOf({ births }: CatalogueTopicEntry, partition: PartitionInfo): readonly ReplicaPlace[] {
  return births.get(partition.partition)?.founding ?? partition.replicas
}

/**
 * A new data folder is the node: new replicas in the place of all that it had, and one more for each partition that has fewer
 * than its topic is to have, since nodes were lost for good.
 */
export function withNewReplicasOn(topic: CatalogueTopicEntry, node: number): CatalogueTopicEntry {
  const { replication } = topic.info.config
  return withWishes(topic, ({ replicas }, wish) => {
    return replaced(wish, node, node) ?? (replicas.length < replication ? extended(wish, node) : undefined)
  })
}

/** @param load replicas per node that may take some; counts those that are moved here */
export function movedOff(topic: CatalogueTopicEntry, node: number, load: Map<number, number>): CatalogueTopicEntry {
  return withWishes(topic, ({ replicas }, wish) => {
    if (!replicas.some(place => place.node === node)) return undefined
    const to = leastLoaded(load, replicas)
    if (to === undefined) return undefined
    load.set(to, load.get(to)! + 1)
    return replaced(wish, node, to)
  })
}

/**
 * The nodes are gone for good. A partition that had replicas nowhere else keeps its places: nothing is left of it, and
 * that is what they say.
 */
export function withoutLost(topic: CatalogueTopicEntry, nodes: ReadonlySet<number>): CatalogueTopicEntry {
  const left = withWishes(topic, (_, wish) => withoutNodes(wish, nodes))
  if (left === topic) return topic
  const births = new Map<number, PartitionBirth>()
  for (const [partition, { founding, nextReplica }] of left.births) {
    births.set(partition, { founding: withoutNodes({ replicas: founding }, nodes).replicas, nextReplica })
  }
  return { ...left, births }
}

/** The groups begin anew where `places` says, as they were founded there; ids that were given are not given again. */
export function placedAnew(
  topic: CatalogueTopicEntry,
  places: ReadonlyMap<number, readonly ReplicaPlace[]>,
): CatalogueTopicEntry {
  const births = new Map(topic.births)
  const partitions = topic.info.partitions.map(partition => {
    const replicas = places.get(partition.group)
    if (replicas === undefined) return partition
    const { nextReplica } = wishOf(topic, partition)
    births.set(partition.partition, {
      founding: replicas,
      nextReplica: Math.max(nextReplica, nextReplicaAfter(replicas)),
    })
    return { ...partition, replicas }
  })
  return places.size === 0 ? topic : { ...topic, info: { ...topic.info, partitions }, births }
}

/** @returns the topic itself where nothing changes */
function withWishes(
  topic: CatalogueTopicEntry,
  change: (partition: PartitionInfo, wish: GroupWish) => GroupWish | undefined,
): CatalogueTopicEntry {
  const births = new Map(topic.births)
  const partitions = topic.info.partitions.map(partition => {
    const wish = wishOf(topic, partition)
    const changed = change(partition, wish)
    if (changed === undefined || changed === wish) return partition
    births.set(partition.partition, { founding: foundingOf(topic, partition), nextReplica: changed.nextReplica })
    return { ...partition, replicas: changed.replicas }
  })
  const isSame = partitions.every((partition, i) => partition === topic.info.partitions[i])
  return isSame ? topic : { ...topic, info: { ...topic.info, partitions }, births }
}

/** The lowest number among equals. */
function leastLoaded(load: ReadonlyMap<number, number>, taken: readonly ReplicaPlace[]): number | undefined {
  const free = [...load].filter(([node]) => !taken.some(place => place.node === node))
  return free.sort(([a, loadA], [b, loadB]) => loadA - loadB || a - b)[0]?.[0]
}
