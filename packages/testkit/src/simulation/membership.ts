/**
 * The operator of one group: adds, promotes, demotes and removes replicas, and replaces those whose disk is gone by new
 * ones, as learners first. It takes no voter away while a disk is damaged, as no sound operator would.
 */
import type { ConfigChange, ConfigChangeStep, Configuration, LogIndex, ReplicaId } from '@millrace/raft-core'
import type { OperationName } from './coverage.ts'
import { damagedReplicas, doubtfulReplicas, keepsQuorum } from './damage.ts'
import { isJoint, isMember } from './invariants/configuration.ts'
import { invariant } from './invariants/violation.ts'
import type { RandomStream } from './random-stream.ts'
import type { Replica } from './replica.ts'
import type { SimGroup } from './sim-group.ts'
import type { SimNode } from './sim-node.ts'
import { traceKind } from './trace-log.ts'
import { note, type World } from './world.ts'

const CHANGE = traceKind('change proposed', 'group replica index steps')
const DESTROYED = traceKind('replica destroyed', 'group replica')

type ChangeName = 'addLearner' | 'addVoter' | 'demote' | 'remove' | 'jointChange' | 'leaveJoint' | 'staleChange'
const CHANGES: readonly ChangeName[] = [
  'addLearner',
  'addVoter',
  'demote',
  'remove',
  'jointChange',
  'leaveJoint',
  'staleChange',
]
const EVERY_US = 1_000_000

export class Operator {
  readonly #world: World
  readonly #group: SimGroup
  readonly #nodes: readonly SimNode[]
  readonly #random: RandomStream
  /** Replicas that were part of the group: they never come back. */
  readonly #admitted: Set<ReplicaId> = new Set()

  constructor(world: World, group: SimGroup, nodes: readonly SimNode[], random: RandomStream) {
    this.#world = world
    this.#group = group
    this.#nodes = nodes
    this.#random = random
    for (const id of group.replicas.keys()) this.#admitted.add(id)
  }

  /** Goes on until the world's faulty time is over. */
  start(): void {
    this.#world.queue.after(this.#random.exponential(EVERY_US), () => {
      if (!this.#world.faulty()) return
      this.#act()
      if (this.#random.chance(0.3)) this.sweep()
      this.start()
    })
  }

  /** Leads the group back to a plain configuration of living replicas. */
  repair(): void {
    const leader = this.#group.leader()
    if (leader === undefined) return
    this.sweep()
    const { configuration } = leader.status
    if (isJoint(configuration)) this.#propose(leader, [], 'auto')
    else {
      const lost = [...this.#group.lost].find(id => isMember(configuration, id))
      if (lost !== undefined) this.#propose(leader, [{ kind: 'remove', id: lost }], 'auto')
    }
  }

  /** Destroys replicas that were removed, once no member could need them any more. */
  sweep(): void {
    const views = this.#group.configurationsInView()
    for (const replica of [...this.#group.replicas.values()]) {
      if (!this.#admitted.has(replica.id) || views.some(view => isMember(view, replica.id))) continue
      note(this.#world, DESTROYED, this.#group.id, replica.id)
      this.#group.destroy(replica)
    }
    for (const id of [...this.#group.lost]) {
      if (!views.some(view => isMember(view, id))) this.#group.lost.delete(id)
    }
  }

  #act(): void {
    const enabled = CHANGES.filter(name => this.#world.plan.operations.has(name))
    const leader = this.#group.leader()
    if (enabled.length === 0 || leader === undefined) return
    const name = this.#random.pick(enabled)
    const proposed = this.#change(name, leader)
    if (proposed) this.#world.coverage.hit(name)
  }

  #change(name: ChangeName, leader: Replica): boolean {
    const { configuration } = leader.status
    switch (name) {
      case 'leaveJoint':
        return isJoint(configuration) && this.#propose(leader, [], 'auto')
      case 'staleChange':
        return this.#proposeStale(leader)
      case 'jointChange': {
        const steps = this.#manySteps(configuration)
        return steps.length > 0 && this.#propose(leader, steps, this.#random.pick(['implicit', 'explicit', 'auto']))
      }
      default: {
        const step = this.#oneStep(name, configuration)
        return step !== undefined && this.#propose(leader, [step], 'auto')
      }
    }
  }

  #manySteps(configuration: Configuration): ConfigChangeStep[] {
    const names = this.#random.shuffled(['addLearner', 'addVoter', 'addVoter', 'demote', 'remove'] as const)
    const steps: ConfigChangeStep[] = []
    for (const name of names.slice(0, this.#random.between(1, 3))) {
      const step = this.#oneStep(name, configuration)
      if (step !== undefined && !steps.some(other => other.id === step.id)) steps.push(step)
    }
    return this.#isSound(configuration, steps) ? steps : []
  }

  #oneStep(name: OperationName, configuration: Configuration): ConfigChangeStep | undefined {
    const { voters, learners } = configuration
    switch (name) {
      case 'addLearner': {
        const id = this.#newcomer(configuration)
        return id === undefined ? undefined : { kind: 'addLearner', id }
      }
      case 'addVoter': {
        const id = learners.length > 0 ? this.#random.pick(learners) : this.#newcomer(configuration)
        return id === undefined ? undefined : { kind: 'addVoter', id }
      }
      case 'demote':
        return this.#sound(configuration, { kind: 'addLearner', id: this.#random.pick(voters) })
      default: {
        const lost = [...this.#group.lost].find(id => isMember(configuration, id))
        return this.#sound(configuration, { kind: 'remove', id: lost ?? this.#random.pick([...voters, ...learners]) })
      }
    }
  }

  #sound(configuration: Configuration, step: ConfigChangeStep): ConfigChangeStep | undefined {
    return this.#isSound(configuration, [step]) ? step : undefined
  }

  /** Enough whole voters stay; with a disk damaged nobody goes but those whose disk is gone. */
  #isSound(configuration: Configuration, steps: readonly ConfigChangeStep[]): boolean {
    const damaged = damagedReplicas(this.#group)
    const leaving = steps.filter(
      step => step.kind === 'remove' || (step.kind === 'addLearner' && configuration.voters.includes(step.id)),
    )
    if (damaged.size > 0 && leaving.some(step => !this.#group.lost.has(step.id))) return false
    const gone = new Set(leaving.map(step => step.id))
    const added = steps.filter(step => step.kind === 'addVoter').map(step => step.id)
    const voters = [...configuration.voters.filter(id => !gone.has(id) && !added.includes(id)), ...added]
    return voters.length > 0 && keepsQuorum({ ...configuration, voters }, doubtfulReplicas(this.#group))
  }

  /** A replica that was never part of the group: one that exists, else a new one on a node without. */
  #newcomer(configuration: Configuration): ReplicaId | undefined {
    const waiting = [...this.#group.replicas.keys()].find(id => !this.#admitted.has(id))
    if (waiting !== undefined) return isMember(configuration, waiting) ? undefined : waiting
    const free = this.#nodes.filter(node => node.isServing && !node.replicas.has(this.#group.id))
    if (free.length === 0) return undefined
    const replica = this.#group.createEmpty(this.#random.pick(free))
    replica.node.reconcile()
    return replica.id
  }

  #propose(leader: Replica, steps: readonly ConfigChangeStep[], transition: ConfigChange['transition']): boolean {
    leader.inTurn(() => {
      // Between the decision and the turn of the leader a disk may have broken.
      const gone = steps.some(step => step.kind !== 'remove' && !this.#group.replicas.has(step.id))
      if (gone || (steps.length > 0 && !this.#isSound(leader.status.configuration, steps))) return
      const index = this.#submit(leader, { steps, transition })
      if (index > 0) for (const step of steps) this.#admitted.add(step.id)
    })
    return true
  }

  /** A change that counts on a configuration which is not the newest one must be refused. */
  #proposeStale(leader: Replica): boolean {
    leader.inTurn(() => {
      const expectedIndex = leader.status.configurationIndex + this.#random.pick([-1, 1, 2])
      const steps = [{ kind: 'update', id: leader.id }] as const
      const index = this.#submit(leader, { steps, transition: 'auto', expectedIndex })
      invariant(index === 0, 'stale changes are refused', () => `a change expecting ${expectedIndex} went to ${index}`)
    })
    return true
  }

  /** @returns the index of the change, 0 when it was refused */
  #submit(leader: Replica, change: ConfigChange): LogIndex {
    const result = leader.step({ type: 'proposeConfigChange', change })
    const index = result.type === 'accepted' ? result.index : 0
    note(this.#world, CHANGE, this.#group.id, leader.id, index, change.steps.length)
    return index
  }
}
