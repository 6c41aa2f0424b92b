/**
 * How much may be lost for good. Raft promises nothing once a majority of a configuration's disks is gone, so whoever
 * breaks disks asks here first.
 */
import type { Configuration, ReplicaId } from '@millrace/raft-core'
import type { SimGroup } from './sim-group.ts'

/** Replicas that have lost something which they had acknowledged, and have not got it back. */
export function damagedReplicas(group: SimGroup): Set<ReplicaId> {
  const damaged = new Set(group.lost)
  for (const replica of group.replicas.values()) {
    const { disk } = replica
    const hasHoles = disk.holed !== undefined && disk.holed.holes.length > 0
    if (disk.uncertainUntil !== undefined || disk.isDamaged || hasHoles) damaged.add(replica.id)
  }
  return damaged
}

/** The same, and those whose log may yet turn out to be damaged. */
export function doubtfulReplicas(group: SimGroup): Set<ReplicaId> {
  const doubtful = damagedReplicas(group)
  for (const { id, disk } of group.replicas.values()) if (disk.hasRot) doubtful.add(id)
  return doubtful
}

/**
 * Whether, with this replica gone too, every configuration that may matter keeps a majority of whole ones. A learner counts
 * as the voter that it may be about to become.
 */
export function survives(group: SimGroup, gone: ReplicaId): boolean {
  const without = new Set([...doubtfulReplicas(group), gone])
  return group.configurationsInView().every(configuration => {
    const { voters, learners } = configuration
    const soon = { ...configuration, voters: [...voters, ...learners.filter(id => without.has(id))] }
    return keepsQuorum(configuration, without) && keepsQuorum(soon, without)
  })
}

/** Whether every voter set has a majority outside of `without`. */
export function keepsQuorum(configuration: Configuration, without: ReadonlySet<ReplicaId>): boolean {
  return [configuration.voters, configuration.votersOutgoing].every(
    set => set.length === 0 || set.filter(id => without.has(id)).length * 2 < set.length,
  )
}
