/** How long to wait before starting a process again: doubling, and forgiven after a long enough run. Pure. */

const FIRST_MS = 500
const LAST_MS = 30_000
/** A run of this length counts as healthy: the next wait is the first one again. */
const HEALTHY_RUN_MS = 60_000

export class BackOff {
  private failures = 0

  /** The wait in ms after a run of `ranMs` that ended unasked. */
  next(ranMs: number): number {
    this.failures = ranMs >= HEALTHY_RUN_MS ? 1 : this.failures + 1
    return Math.min(LAST_MS, FIRST_MS * 2 ** (this.failures - 1))
  }
}
