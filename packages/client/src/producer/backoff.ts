/** How long to wait before the next try. Pure; randomness is an argument. */

export interface BackoffConfig {
  /** Bound of the first wait, in ms; it doubles from try to try. */
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
}

/**
 * Half fixed, half jitter: never at once, and never all clients together.
 *
 * @param failures tries in a row that failed, from 1
 * @param random 0 ≤ random < 1
 * @returns ms
 */
export function backoffMs(failures: number, random: number, config: BackoffConfig): number {
  const bound = Math.min(config.backoffMaxMs, config.backoffMinMs * 2 ** Math.min(failures - 1, 16))
  return bound / 2 + (random * bound) / 2
}
