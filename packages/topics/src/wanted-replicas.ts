/** What the catalogue says about one node: which replicas belong there, and which groups are gone for good. */
import type { CatalogueState, CatalogueTopicEntry } from './catalogue-state.ts'
import type { GroupWish } from './group-wish.ts'
import type { ReplicaPlan } from './replica-opener.ts'
import type { WantedReplicas } from './replica-set.ts'
import { foundingOf, wishOf } from './topic-places.ts'
import type { PartitionInfo } from './topics.ts'

/**
 * As the state is now; later changes do not show in the plans. Nothing is planned for a data folder that is not the
 * node's, or not yet: the replica ids that the state names were promised to another one.
 *
 * @param folder id of the data folder; '' is that of the founding
 */
export function wantedReplicas(state: CatalogueState, nodeId: number, folder: string): WantedReplicas {
  const plans = new Map<number, ReplicaPlan>()
  const others = new Map<number, (replica: number) => ReplicaPlan>()
  for (const entry of isFolderOf(state, nodeId, folder) ? state.topics() : []) {
    for (const partition of entry.info.partitions) {
      const own = partition.replicas.find(place => place.node === nodeId)
      if (own === undefined) others.set(partition.group, replica => planOf(entry, partition, replica))
      else plans.set(partition.group, planOf(entry, partition, own.replica))
    }
  }
  return {
    plans,
    leaving: (group, replica) => others.get(group)?.(replica),
    isDeleted: group => isDeleted(state, group),
  }
}

function planOf(entry: CatalogueTopicEntry, partition: PartitionInfo, replica: number): ReplicaPlan {
  const { info, createIndex, createTimestamp } = entry
  const founding = foundingOf(entry, partition)
  const isFounding = founding.some(place => place.replica === replica)
  return {
    ...{ topic: info.name, partition: partition.partition, group: partition.group, replica },
    ...{ places: partition.replicas, founding: isFounding ? founding : undefined, createIndex, createTimestamp },
  }
}

/** Whether replicas are promised to this data folder. */
export function isFolderOf(state: CatalogueState, nodeId: number, folder: string): boolean {
  return (state.members.get(nodeId)?.folder ?? '') === folder
}

/** Of all groups that exist, by group; group 0 where somebody ever changed its members. */
export function groupWishes(state: CatalogueState): ReadonlyMap<number, GroupWish> {
  const wishes = new Map<number, GroupWish>()
  if (state.members.catalogue !== undefined) wishes.set(0, state.members.catalogue)
  for (const topic of state.topics()) {
    for (const partition of topic.info.partitions) wishes.set(partition.group, wishOf(topic, partition))
  }
  return wishes
}

function isDeleted(state: CatalogueState, group: number): boolean {
  for (const { firstGroup, partitions } of state.deleted()) {
    if (group >= firstGroup && group < firstGroup + partitions) return true
  }
  return false
}
