/** The clock of this process, moved ahead at will: what a process sees that was stopped for a while. */
import type { Clock } from '../node.ts'
import { systemClock } from '../system-clock.ts'

export class JumpingClock implements Clock {
  #aheadMs = 0

  jump(ms: number): void {
    this.#aheadMs += ms
  }

  wallMs(): number {
    return systemClock.wallMs() + this.#aheadMs
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#aheadMs
  }

  setTimer(delayMs: number, run: () => void): { cancel(): void } {
    return systemClock.setTimer(delayMs, run)
  }

  nextTurn(run: () => void): void {
    systemClock.nextTurn(run)
  }
}
