/**
 * Quorums and configuration changes, computed here from the configurations alone: nothing of the code under test decides
 * what a majority is.
 */
import type { Configuration, ReplicaId } from '@millrace/raft-core'

/** A majority of every voter set says yes. */
export function hasQuorum(configuration: Configuration, says: (id: ReplicaId) => boolean): boolean {
  const sets = [configuration.voters, configuration.votersOutgoing].filter(set => set.length > 0)
  return sets.length > 0 && sets.every(set => set.filter(says).length * 2 > set.length)
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0
}

export function isVoter(configuration: Configuration, id: ReplicaId): boolean {
  return configuration.voters.includes(id) || configuration.votersOutgoing.includes(id)
}

export function isMember(configuration: Configuration, id: ReplicaId): boolean {
  return isVoter(configuration, id) || configuration.learners.includes(id) || configuration.learnersNext.includes(id)
}

/**
 * Why one configuration may not follow another, undefined where it may: quorums of both must overlap (Raft thesis,
 * sections 4.1 and 4.3).
 */
export function illegalStep(from: Configuration, to: Configuration): string | undefined {
  if (to.voters.length === 0) return 'it has no voters'
  if (to.learners.some(id => isVoter(to, id))) return 'a learner is a voter too'
  if (to.learnersNext.some(id => !to.votersOutgoing.includes(id))) return 'a later learner is no outgoing voter'
  if (isJoint(from)) {
    if (isJoint(to)) return 'a joint configuration follows a joint one'
    return same(from.voters, to.voters) ? undefined : 'leaving a joint configuration changes its voters'
  }
  if (isJoint(to)) {
    return same(from.voters, to.votersOutgoing) ? undefined : 'the outgoing voters are not those of before'
  }
  const changed = [
    ...from.voters.filter(id => !to.voters.includes(id)),
    ...to.voters.filter(id => !from.voters.includes(id)),
  ]
  return changed.length <= 1 ? undefined : `voters ${changed.join(', ')} change at once without a joint configuration`
}

export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return (
    same(a.voters, b.voters) &&
    same(a.votersOutgoing, b.votersOutgoing) &&
    same(a.learners, b.learners) &&
    same(a.learnersNext, b.learnersNext)
  )
}

/** A configuration as people write it. */
export function textOf(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext } = configuration
  const joint = votersOutgoing.length > 0 ? ` from (${votersOutgoing.join(' ')})` : ''
  const next = learnersNext.length > 0 ? ` later learners (${learnersNext.join(' ')})` : ''
  return `(${voters.join(' ')})${joint} learners (${learners.join(' ')})${next}`
}

function same(a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean {
  return a.length === b.length && a.every(id => b.includes(id))
}
