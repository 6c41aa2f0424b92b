/** Time that stands still until a test moves it. */
import type { Clock } from '../node.ts'

interface Timer {
  readonly atMs: number
  readonly run: () => void
}

export class ManualTimers implements Pick<Clock, 'monotonicMs' | 'setTimer'> {
  #nowMs = 0
  #timers: Timer[] = []

  get pending(): number {
    return this.#timers.length
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  setTimer(delayMs: number, run: () => void): { cancel(): void } {
    const timer = { atMs: this.#nowMs + delayMs, run }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter(other => other !== timer)
      },
    }
  }

  /** Runs what is due until then, in order of time. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs
    for (;;) {
      const [next] = this.#timers.filter(({ atMs }) => atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs)
      if (next === undefined) break
      this.#timers = this.#timers.filter(other => other !== next)
      this.#nowMs = next.atMs
      next.run()
    }
    this.#nowMs = untilMs
  }
}
