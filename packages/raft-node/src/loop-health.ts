/**
 * What a node does after it stood still: a process that was stopped, or whose event loop was kept busy, for an election
 * timeout has let its groups down and may do so again. It gives its leaderships to followers that have kept up.
 */
import type { GroupReplica } from './group-replica.ts'
import { HandOver } from './hand-over.ts'
import type { HostServices } from './host-services.ts'

/** Shorter pauses are those of any busy machine, however short the election timeout. */
const STALL_MS_MIN = 1_000

export class LoopHealth {
  readonly #services: HostServices
  readonly #replicas: () => Iterable<GroupReplica>
  readonly #handOver: HandOver
  #lastMs: number

  constructor(services: HostServices, replicas: () => Iterable<GroupReplica>) {
    this.#services = services
    this.#replicas = replicas
    this.#handOver = new HandOver(services.clock, services.isConnected)
    this.#lastMs = services.clock.monotonicMs()
  }

  /** To be called several times per heartbeat interval, whatever happens. */
  check(): void {
    const { clock, timing, report } = this.#services
    const nowMs = clock.monotonicMs()
    const stoodMs = nowMs - this.#lastMs
    this.#lastMs = nowMs
    if (stoodMs < Math.max(timing.electionTimeoutMinMs, STALL_MS_MIN)) return
    const given = [...this.#replicas()].filter(replica => this.#handOver.start(replica)).length
    report({
      level: 'error',
      message: `the event loop stood still for ${Math.round(stoodMs)} ms: ${given} leaderships are given away`,
    })
  }
}
