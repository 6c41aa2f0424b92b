/**
 * Whether a node should get clients. Strict until it was ready once: its catalogue has to be as new as the leader's was,
 * and every replica here has to know a leader. After that only what concerns the whole node makes it unready: one
 * partition in trouble must not take away the readers of all others.
 */
import type { Topics } from '@millrace/topics'
import { sleep, within } from '../timing.ts'

const QUESTION_MS = 1_000
const ASK_AGAIN_MS = 50

export class Readiness {
  readonly #topics: Topics
  readonly #stopping: AbortSignal
  #caughtUp = false
  #wasReady = false

  constructor(topics: Topics, stopping: AbortSignal) {
    this.#topics = topics
    this.#stopping = stopping
  }

  /** Asks the catalogue's leader until it has answered once, or the node stops. Never rejects. */
  async watch(): Promise<void> {
    while (!this.#caughtUp && !this.#stopping.aborted) {
      this.#caughtUp = await within(QUESTION_MS, this.#topics.waitCatalogue())
      if (!this.#caughtUp) await sleep(ASK_AGAIN_MS, this.#stopping)
    }
  }

  /** Why the node is not ready; empty: it is. */
  reasons(): readonly string[] {
    if (this.#stopping.aborted) return ['the node is stopping']
    const reasons: string[] = []
    if (this.#topics.catalogue.leaderNode === 0) reasons.push('the catalogue has no leader that this node knows')
    else if (!this.#caughtUp) reasons.push('the catalogue here is not up to date yet')
    if (!this.#wasReady) reasons.push(...this.#replicasWithoutLeader())
    this.#wasReady ||= reasons.length === 0
    return reasons
  }

  *#replicasWithoutLeader(): Iterable<string> {
    for (const { topic, partition, handle } of this.#topics.replicas()) {
      if (topic !== '' && handle.leaderNode === 0) yield `${topic}/${partition} has no leader that this node knows`
    }
  }
}
