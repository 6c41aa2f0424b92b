/**
 * From one configuration to the next, as pure functions. Raft thesis, section 4.1 (one voter at a time) and 4.3 (joint
 * consensus). A change that cannot be is an answer, not an exception: the message says why.
 */
import type { ConfigChange, ConfigChangeStep, Configuration } from '../configuration.ts'
import { NONE, type ReplicaId } from '../entry.ts'

export type ChangeResult =
  | {
      readonly type: 'changed'
      readonly configuration: Configuration
      /** Members that were removed and added again by the same change: nothing known about them holds any more. */
      readonly renewed: readonly ReplicaId[]
    }
  | { readonly type: 'refused'; readonly message: string }

/** The configuration of a replica that has none yet. */
export const EMPTY_CONFIGURATION: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

/** What a proposed change makes of `current`: leaves a joint configuration, enters one, or changes it in one step. */
export function applyChange(current: Configuration, change: ConfigChange): ChangeResult {
  if (change.steps.length === 0) return leaveJoint(current)
  if (change.transition !== 'auto' || change.steps.length > 1) {
    return enterJoint(current, change.transition !== 'explicit', change.steps)
  }
  return changeSimply(current, change.steps)
}

/** Steps that together change at most one voter. */
export function changeSimply(current: Configuration, steps: readonly ConfigChangeStep[]): ChangeResult {
  if (isJoint(current)) return refused("can't apply simple config change in joint config")
  const draft = new Draft(current)
  const failure = draft.run(steps)
  if (failure !== undefined) return refused(failure)
  if (draft.votersChanged(current) > 1) return refused('more than one voter changed without entering joint config')
  return draft.finish()
}

/** Steps of any number: until the configuration is left again, decisions need the old and the new voters. */
export function enterJoint(
  current: Configuration,
  autoLeave: boolean,
  steps: readonly ConfigChangeStep[],
): ChangeResult {
  if (isJoint(current)) return refused('config is already joint')
  if (current.voters.length === 0) return refused("can't make a zero-voter config joint")
  const draft = new Draft(current)
  draft.outgoing = new Set(current.voters)
  draft.autoLeave = autoLeave
  const failure = draft.run(steps)
  return failure === undefined ? draft.finish() : refused(failure)
}

/** The outgoing voters go; those that were to become learners do. */
export function leaveJoint(current: Configuration): ChangeResult {
  if (!isJoint(current)) return refused("can't leave a non-joint config")
  const draft = new Draft(current)
  for (const id of draft.learnersNext) draft.learners.add(id)
  draft.learnersNext.clear()
  draft.outgoing.clear()
  draft.autoLeave = false
  return draft.finish()
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0
}

function refused(message: string): ChangeResult {
  return { type: 'refused', message }
}

/** A configuration in the making. */
class Draft {
  readonly voters: Set<ReplicaId>
  outgoing: Set<ReplicaId>
  readonly learners: Set<ReplicaId>
  readonly learnersNext: Set<ReplicaId>
  autoLeave: boolean
  readonly #removed: Set<ReplicaId> = new Set()
  readonly #renewed: Set<ReplicaId> = new Set()

  constructor(from: Configuration) {
    this.voters = new Set(from.voters)
    this.outgoing = new Set(from.votersOutgoing)
    this.learners = new Set(from.learners)
    this.learnersNext = new Set(from.learnersNext)
    this.autoLeave = from.autoLeave
  }

  /** @returns why the steps cannot be taken, or undefined */
  run(steps: readonly ConfigChangeStep[]): string | undefined {
    for (const step of steps) {
      if (step.id === NONE) continue
      if (step.kind === 'addVoter') this.#addVoter(step.id)
      else if (step.kind === 'addLearner') this.#addLearner(step.id)
      else if (step.kind === 'remove') this.#remove(step.id)
    }
    return this.voters.size === 0 ? 'removed all voters' : undefined
  }

  votersChanged(before: Configuration): number {
    const added = [...this.voters].filter(id => !before.voters.includes(id))
    const removed = before.voters.filter(id => !this.voters.has(id))
    return added.length + removed.length
  }

  finish(): ChangeResult {
    return {
      type: 'changed',
      renewed: [...this.#renewed].filter(id => this.#isMember(id)),
      configuration: {
        voters: rising(this.voters),
        votersOutgoing: rising(this.outgoing),
        learners: rising(this.learners),
        learnersNext: rising(this.learnersNext),
        autoLeave: this.autoLeave,
      },
    }
  }

  #isMember(id: ReplicaId): boolean {
    return this.voters.has(id) || this.outgoing.has(id) || this.learners.has(id)
  }

  #joins(id: ReplicaId): void {
    if (this.#removed.has(id)) this.#renewed.add(id)
  }

  #addVoter(id: ReplicaId): void {
    if (!this.#isMember(id)) this.#joins(id)
    this.learners.delete(id)
    this.learnersNext.delete(id)
    this.voters.add(id)
  }

  #addLearner(id: ReplicaId): void {
    if (!this.#isMember(id)) {
      this.#joins(id)
      this.learners.add(id)
      return
    }
    if (this.learners.has(id)) return
    this.voters.delete(id)
    this.learnersNext.delete(id)
    // Still needed as a voter of the outgoing half: it becomes a learner when that is left.
    if (this.outgoing.has(id)) this.learnersNext.add(id)
    else this.learners.add(id)
  }

  #remove(id: ReplicaId): void {
    if (!this.#isMember(id)) return
    this.voters.delete(id)
    this.learners.delete(id)
    this.learnersNext.delete(id)
    if (!this.outgoing.has(id)) this.#removed.add(id)
  }
}

function rising(ids: ReadonlySet<ReplicaId>): ReplicaId[] {
  return [...ids].sort((a, b) => a - b)
}
