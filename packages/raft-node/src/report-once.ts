/** Reports of conditions that last: each distinct message once, and a bounded number of them remembered. */
import type { NodeEvent } from './node.ts'

const REMEMBERED_MAX = 256

export class ReportOnce {
  readonly #report: (event: NodeEvent) => void
  readonly #seen = new Set<string>()

  constructor(report: (event: NodeEvent) => void) {
    this.#report = report
  }

  report(event: NodeEvent): void {
    if (this.#seen.has(event.message)) return
    if (this.#seen.size >= REMEMBERED_MAX) this.#seen.clear()
    this.#seen.add(event.message)
    this.#report(event)
  }
}
