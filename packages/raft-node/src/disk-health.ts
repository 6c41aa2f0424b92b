/**
 * What a node does while its disk is stuck: nothing that keeps it in office. A disk that has not finished a write for an
 * election timeout makes a leader that cannot acknowledge; its groups do not tick, so that it sends no heartbeats, and
 * it tries to hand over to a follower that has kept up.
 */
import type { GroupReplica } from './group-replica.ts'
import { HandOver } from './hand-over.ts'
import type { HostServices } from './host-services.ts'

export class DiskHealth {
  readonly #services: HostServices
  readonly #replicas: () => Iterable<GroupReplica>
  readonly #handOver: HandOver
  #stuck = false

  constructor(services: HostServices, replicas: () => Iterable<GroupReplica>) {
    this.#services = services
    this.#replicas = replicas
    this.#handOver = new HandOver(services.clock, services.isConnected)
  }

  /** @returns false while the disk is stuck */
  check(): boolean {
    const { stuckMs } = this.#services.store.stats()
    const stuck = stuckMs >= this.#services.timing.electionTimeoutMinMs
    if (stuck && !this.#stuck) this.#giveAway(stuckMs)
    if (!stuck && this.#stuck) this.#services.report({ level: 'info', message: 'the disk writes again' })
    this.#stuck = stuck
    return !stuck
  }

  #giveAway(stuckMs: number): void {
    this.#services.report({
      level: 'error',
      message: `the disk has not finished a write for ${Math.round(stuckMs)} ms: leaderships are given away`,
    })
    for (const replica of this.#replicas()) this.#handOver.start(replica)
  }
}
