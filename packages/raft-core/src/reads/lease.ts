/**
 * A leader's read lease (Raft thesis, section 6.4.1): while it runs, no other replica can have been elected, so the leader
 * may answer a read without asking. It runs from the *send* time of the newest round of heartbeats that a quorum has
 * acknowledged: each of those voters refuses votes for an election timeout from a later moment.
 */
export class Lease {
  readonly #durationMs: number
  #untilMs = Number.NEGATIVE_INFINITY
  #ended = false

  /** @param durationMs must be below the shortest election timeout, with room for clocks that run at different rates */
  constructor(durationMs: number) {
    this.#durationMs = durationMs
  }

  /** End of the lease on the monotonic clock; −Infinity without one. */
  get untilMs(): number {
    return this.#ended ? Number.NEGATIVE_INFINITY : this.#untilMs
  }

  renew(sentMs: number): void {
    this.#untilMs = Math.max(this.#untilMs, sentMs + this.#durationMs)
  }

  /** A transfer lets the target be elected at once: no lease any more in this term. */
  end(): void {
    this.#ended = true
  }

  reset(): void {
    this.#untilMs = Number.NEGATIVE_INFINITY
    this.#ended = false
  }

  valid(nowMs: number | undefined): boolean {
    return nowMs !== undefined && nowMs < this.untilMs
  }
}
