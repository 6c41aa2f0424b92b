/**
 * The liveness phase: every fault is over, a quorum stays for good, and everything must come to an end in bounded time: a
 * leader, acknowledged proposals, confirmed reads, a plain configuration, equal replicas.
 */
import { damagedReplicas, doubtfulReplicas, keepsQuorum } from './damage.ts'
import { isJoint, isMember, sameConfiguration, textOf } from './invariants/configuration.ts'
import { Violation } from './invariants/violation.ts'
import type { Operator } from './membership.ts'
import type { RandomStream } from './random-stream.ts'
import type { Replica } from './replica.ts'
import type { SimGroup } from './sim-group.ts'
import type { SimNode } from './sim-node.ts'
import type { Scene } from './timed-faults.ts'

/** Ends every fault. Some nodes may stay down, as long as every group keeps a majority that is up and whole. */
export function heal(scene: Scene, random: RandomStream): void {
  scene.world.network.heal()
  const stayingDown: SimNode[] = []
  for (const node of random.shuffled(scene.nodes)) {
    const stays = random.chance(0.3) && scene.groups.every(group => liveWithout(group, [...stayingDown, node]))
    if (stays) stayingDown.push(node)
  }
  for (const node of scene.nodes) {
    node.disk.heal()
    node.resume()
    if (stayingDown.includes(node)) node.retire()
    else node.start()
  }
}

function liveWithout(group: SimGroup, nodes: readonly SimNode[]): boolean {
  const gone = doubtfulReplicas(group)
  for (const replica of group.replicas.values()) if (nodes.includes(replica.node)) gone.add(replica.id)
  return group.configurationsInView().every(configuration => keepsQuorum(configuration, gone))
}

/** Watches one group until it has settled. */
export class Settling {
  readonly #group: SimGroup
  readonly #operator: Operator
  readonly #acknowledgedBefore: number
  #read = false
  /** Reads that the leader had confirmed when it was last asked. */
  #readsBefore: number | undefined

  constructor(group: SimGroup, operator: Operator) {
    this.#group = group
    this.#operator = operator
    this.#acknowledgedBefore = group.outcomes.acknowledged
  }

  get isServing(): boolean {
    return this.#group.outcomes.acknowledged > this.#acknowledgedBefore && this.#read
  }

  /** @throws Violation unless clients are served again */
  mustServe(): void {
    if (!this.isServing) this.#violate('clients are served soon after the last fault', 'nobody was served')
  }

  /** What clients and the operator do meanwhile; call again and again. */
  push(): void {
    this.#operator.repair()
    const leader = this.#group.leader()
    if (leader === undefined || this.isServing) return
    leader.inTurn(() => {
      if (this.#group.outcomes.acknowledged === this.#acknowledgedBefore && leader.clients.waiting === 0)
        leader.clients.propose(1)
      const confirmed = leader.clients.confirmed
      if (this.#readsBefore !== undefined && confirmed > this.#readsBefore) this.#read = true
      this.#readsBefore = confirmed
      leader.clients.read()
    })
  }

  /** Moves as long as entries are still being committed, stored or applied somewhere. */
  get progress(): number {
    return this.#group
      .running()
      .reduce((sum, { status }) => sum + status.commit + status.applied + status.durableIndex, 0)
  }

  /** What is still missing, undefined when nothing is. */
  trouble(): string | undefined {
    const leader = this.#group.leader()
    if (leader === undefined) return 'there is no leader'
    const { configuration } = leader.status
    if (isJoint(configuration)) return `the configuration is joint: ${textOf(configuration)}`
    if (this.#group.replacesLost && [...this.#group.lost].some(id => isMember(configuration, id)))
      return 'a lost replica is still a member'
    if (!this.isServing) return 'no proposal was acknowledged and no read confirmed since the faults ended'
    for (const replica of this.#group.running()) {
      if (!isMember(configuration, replica.id)) continue
      const difference = differenceOf(leader, replica)
      if (difference !== undefined) return `replica ${replica.id} ${difference}`
    }
    return undefined
  }

  /** @throws Violation that says what is missing */
  fail(): never {
    this.#violate('everything completes once faults are over', this.trouble() ?? 'it settled too late')
  }

  #violate(invariant: string, trouble: string): never {
    const replicas = [...this.#group.replicas.values()].map(replica => {
      const { role, term, leader, applied, commit, lastIndex, configuration } = replica.status
      const where = `node ${replica.node.id}${replica.isRunning ? '' : ' (down)'}`
      const log = `applied ${applied} commit ${commit} last ${lastIndex}`
      return `  replica ${replica.id} on ${where}: ${role} term ${term} leader ${leader} ${log} under ${textOf(configuration)}`
    })
    const damaged = [...damagedReplicas(this.#group)].join(', ') || 'none'
    const detail = [`group ${this.#group.id}: ${trouble}; damaged replicas: ${damaged}`, ...replicas].join('\n')
    throw new Violation(invariant, detail)
  }
}

function differenceOf(leader: Replica, replica: Replica): string | undefined {
  const { status } = replica
  const last = leader.status.lastIndex
  if (status.lastIndex !== last || status.commit !== last || status.applied !== last) {
    return `has applied ${status.applied} of ${status.commit} committed of ${status.lastIndex}, the leader has ${last}`
  }
  if (replica.machine.state.hash !== leader.machine.state.hash) return 'has another state than the leader'
  if (replica.disk.uncertainUntil !== undefined) return 'is still uncertain of the end of its log'
  if (replica.disk.holed !== undefined && replica.disk.holed.holes.length > 0) return 'still has holes in its log'
  if (!sameConfiguration(status.configuration, leader.status.configuration)) return 'is under another configuration'
  return undefined
}
