/**
 * Time that passes only when nothing is left to do: a test of seconds takes milliseconds, and a busy machine changes nothing
 * in it. What is awaited between two moments gets its turn.
 */
import type { Clock } from '../node.ts'

interface Timer {
  readonly atMs: number
  readonly run: () => void
}

const EPOCH_MS = 1_700_000_000_000

export class VirtualClock implements Clock {
  #nowMs = 0
  /** Rising. */
  #timers: Timer[] = []
  #turn: (() => void)[] = []
  #stopped = false

  /** Lets time pass until `stop`. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      this.#step()
      // Promises of what was run are settled before time goes on.
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  stop(): void {
    this.#stopped = true
  }

  wallMs(): number {
    return EPOCH_MS + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  setTimer(delayMs: number, run: () => void): { cancel(): void } {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), run }
    const later = this.#timers.findIndex(other => other.atMs > timer.atMs)
    this.#timers.splice(later < 0 ? this.#timers.length : later, 0, timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter(other => other !== timer)
      },
    }
  }

  nextTurn(run: () => void): void {
    this.#turn.push(run)
  }

  #step(): void {
    const due = this.#turn
    this.#turn = []
    if (due.length === 0) {
      const timer = this.#timers.shift()
      if (timer === undefined) return
      this.#nowMs = timer.atMs
      timer.run()
    }
    for (const run of due) run()
  }
}
