/** What the catalogue says about one node: which replicas belong there, and which groups are gone for good. */
import type { CatalogueState } from './catalogue-state.ts'
import type { ReplicaPlan } from './replica-opener.ts'
import type { WantedReplicas } from './replica-set.ts'

/** As the state is now; later changes do not show in the plans. */
export function wantedReplicas(state: CatalogueState, nodeId: number): WantedReplicas {
  const plans = new Map<number, ReplicaPlan>()
  for (const { info, createIndex, createTimestamp } of state.topics()) {
    for (const { partition, group, replicas } of info.partitions) {
      const own = replicas.find(place => place.node === nodeId)
      if (own === undefined) continue
      const { replica } = own
      plans.set(group, { topic: info.name, partition, group, replica, places: replicas, createIndex, createTimestamp })
    }
  }
  return { plans, isDeleted: group => isDeleted(state, group) }
}

function isDeleted(state: CatalogueState, group: number): boolean {
  for (const { firstGroup, partitions } of state.deleted()) {
    if (group >= firstGroup && group < firstGroup + partitions) return true
  }
  return false
}
