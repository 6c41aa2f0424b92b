/** Time, waiting and chance, injected so that a simulator owns them. */
import { randomFillSync } from 'node:crypto'

export interface Clock {
  /** Wall clock, milliseconds since 1970. */
  wallMs(): number
  /** A clock that never goes back, milliseconds. */
  monotonicMs(): number
  /** Runs `task` on a later turn of the event loop. */
  later(task: () => void): void
  /** Runs `task` once after `ms`. The timer keeps no process alive, unless somebody waits for it (`isAwaited`). */
  after(ms: number, task: () => void, isAwaited?: boolean): Timer
}

export interface Timer {
  cancel(): void
}

/** Fills `bytes` with what nobody can guess. */
export type RandomFill = (bytes: Uint8Array) => void

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  later: task => void setImmediate(task),
  after(ms, task, isAwaited = false) {
    const timer = setTimeout(task, ms)
    if (!isAwaited) timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

export const systemRandom: RandomFill = bytes => void randomFillSync(bytes)
