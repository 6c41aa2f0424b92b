/**
 * On which node each replica of a group lives: told by configurations, and by who speaks in a replica's name before its
 * configuration has arrived here.
 */
import type { ReplicaId } from '@millrace/raft-core'
import type { GroupConfiguration } from './group-handle.ts'

export class ReplicaPlaces {
  readonly #nodes = new Map<ReplicaId, number>()

  learn(configuration: GroupConfiguration): void {
    for (const { replica, node } of configuration.places) this.#nodes.set(replica, node)
  }

  /** Node of a replica; 0 where it is not known. */
  nodeOf(replica: ReplicaId): number {
    return this.#nodes.get(replica) ?? 0
  }

  /** Whether `replica` may speak from `node`; one that was not known is from now on. */
  admits(replica: ReplicaId, node: number): boolean {
    const known = this.#nodes.get(replica)
    if (known === undefined) this.#nodes.set(replica, node)
    return known === undefined || known === node
  }

  /** Replicas on a node. */
  replicasOn(node: number): ReplicaId[] {
    return [...this.#nodes].filter(([, place]) => place === node).map(([replica]) => replica)
  }
}
