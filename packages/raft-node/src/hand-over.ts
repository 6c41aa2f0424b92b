/** Giving leaderships away, and waiting until that is done; bounded, because a node that stops must stop. */
import type { GroupReplica } from './group-replica.ts'
import type { Clock } from './node.ts'

const POLL_MS = 5

export class HandOver {
  readonly #clock: Clock
  readonly #isConnected: (node: number) => boolean

  constructor(clock: Clock, isConnected: (node: number) => boolean) {
    this.#clock = clock
    this.#isConnected = isConnected
  }

  /** Hands every leadership to the connected voter that is furthest, and waits for it at most `limitMs`. */
  async away(replicas: readonly GroupReplica[], limitMs: number): Promise<void> {
    const leaving = replicas.filter(replica => this.start(replica))
    await this.#wait(() => leaving.every(replica => replica.leadership.role !== 'leader'), limitMs)
  }

  /** @returns whether there is somebody to hand over to */
  start(replica: GroupReplica): boolean {
    if (replica.halted !== undefined || replica.leadership.role !== 'leader') return false
    const candidates = replica
      .status()
      .peers.filter(peer => peer.id !== replica.replica && !peer.learner && peer.recentActive)
      .filter(peer => this.#isConnected(replica.places.nodeOf(peer.id)))
      .sort((a, b) => b.match - a.match)
    const [best] = candidates
    return best !== undefined && replica.proposals.transferTo(best.id).type !== 'dropped'
  }

  /** Waits at most `limitMs` until nothing of these groups is on its way to the disk or the state machine. */
  settled(replicas: readonly GroupReplica[], limitMs: number): Promise<void> {
    return this.#wait(() => replicas.every(replica => replica.idle), limitMs)
  }

  async #wait(done: () => boolean, limitMs: number): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + limitMs
    while (!done() && this.#clock.monotonicMs() < untilMs) {
      await new Promise<void>(resolve => this.#clock.setTimer(POLL_MS, resolve))
    }
  }
}
