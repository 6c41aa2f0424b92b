/** How long to wait before the next try. Pure; randomness is an argument. */

export interface BackoffConfig {
  /** Bound of the first wait, in ms; it grows by half from try to try. */
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
}

/** A new leader is there within 100 ms in most cases: doubling would wait for that long again once it is. */
const GROWTH = 1.5

/**
 * Half fixed, half jitter: never at once, and never all clients together.
 *
 * @param failures tries in a row that failed, from 1
 * @param random 0 ≤ random < 1
 * @returns ms
 */
export function backoffMs(failures: number, random: number, config: BackoffConfig): number {
  const bound = Math.min(config.backoffMaxMs, config.backoffMinMs * GROWTH ** Math.min(failures - 1, 32))
  return bound / 2 + (random * bound) / 2
}
