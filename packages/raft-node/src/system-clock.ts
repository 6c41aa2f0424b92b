/** The clock of a real process. */
import type { Clock } from './node.ts'

/** Wall clock, monotonic clock, timers and turns of this process. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  nextTurn(run) {
    setImmediate(run)
  },
}

/** Uniform integer in [0, bound), not for secrets. */
export function systemRandomInt(bound: number): number {
  return Math.floor(Math.random() * bound)
}
