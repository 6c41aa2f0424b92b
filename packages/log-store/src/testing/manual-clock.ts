/** A clock that moves only when a test says so. */
import type { Clock } from '../clock.ts'

export class ManualClock implements Clock {
  #nowMs = 1_000_000
  #timers: { readonly at: number; readonly task: () => void }[] = []

  wallMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  later(task: () => void): void {
    setImmediate(task)
  }

  after(ms: number, task: () => void): { cancel(): void } {
    const timer = { at: this.#nowMs + ms, task }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter(other => other !== timer)
      },
    }
  }

  /** Moves on, and runs what has become due. */
  advance(ms: number): void {
    this.#nowMs += ms
    const due = this.#timers.filter(timer => timer.at <= this.#nowMs)
    this.#timers = this.#timers.filter(timer => timer.at > this.#nowMs)
    for (const timer of due) timer.task()
  }
}
