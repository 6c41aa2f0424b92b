/** Time, waiting and chance, injected so that a simulator owns them. */
import { randomFillSync } from 'node:crypto'

export interface Clock {
  /** Wall clock, milliseconds since 1970. */
  wallMs(): number
  /** A clock that never goes back, milliseconds. */
  monotonicMs(): number
  /** Runs `task` on a later turn of the event loop. */
  later(task: () => void): void
  /** Runs `task` once after `ms`. The timer keeps no process alive. */
  after(ms: number, task: () => void): Timer
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
  after(ms, task) {
    const timer = setTimeout(task, ms).unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

export const systemRandom: RandomFill = bytes => void randomFillSync(bytes)
