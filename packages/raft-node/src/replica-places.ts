/**
 * On which node each replica of a group lives: told by configurations, and by who speaks in a replica's name before its
 * configuration has arrived here. And what else a configuration says beside the algorithm's part, because each new one
 * says it again.
 */
import type { Configuration, ReplicaId } from '@millrace/raft-core'
import type { GroupConfiguration, ReplicaPlace } from './group-handle.ts'

export class ReplicaPlaces {
  readonly #places = new Map<ReplicaId, ReplicaPlace>()
  readonly #reach: (node: number, address: string) => void
  #leaseReads = false
  #lastReplica: ReplicaId = 0

  /** @param reach hears every address of another replica's node, again and again */
  constructor(reach: (node: number, address: string) => void = () => undefined) {
    this.#reach = reach
  }

  learn(configuration: GroupConfiguration): void {
    const { places, leaseReads = false, lastReplica = 0 } = configuration
    for (const place of places) this.add(place)
    this.#leaseReads = leaseReads
    this.#lastReplica = Math.max(this.#lastReplica, lastReplica, ...places.map(({ replica }) => replica))
  }

  /** A replica that is about to become a member. */
  add(place: ReplicaPlace): void {
    this.#places.set(place.replica, place)
    if (place.address !== undefined) this.#reach(place.node, place.address)
  }

  /** What the core made, with everything that a group's configuration says beside it. */
  describe({ voters, votersOutgoing, learners, learnersNext, autoLeave }: Configuration): GroupConfiguration {
    const ids = [...new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext])].sort((a, b) => a - b)
    const places = ids.map(replica => this.#places.get(replica) ?? { replica, node: 0 })
    return {
      ...{ voters, votersOutgoing, learners, learnersNext, autoLeave, places },
      ...(this.#leaseReads && { leaseReads: true }),
      ...(this.#lastReplica > (ids.at(-1) ?? 0) && { lastReplica: this.#lastReplica }),
    }
  }

  /** Node of a replica; 0 where it is not known. */
  nodeOf(replica: ReplicaId): number {
    return this.#places.get(replica)?.node ?? 0
  }

  /** Whether `replica` may speak from `node`; one that was not known is from now on. */
  admits(replica: ReplicaId, node: number): boolean {
    const known = this.#places.get(replica)
    if (known === undefined) this.#places.set(replica, { replica, node })
    return known === undefined || known.node === node
  }

  /** Every replica that was ever heard of, this one among them. */
  get known(): readonly ReplicaPlace[] {
    return [...this.#places.values()]
  }

  /** Replicas on a node. */
  replicasOn(node: number): ReplicaId[] {
    return [...this.#places.values()].filter(place => place.node === node).map(({ replica }) => replica)
  }
}
