/**
 * Asks the nodes for their status, one after the other, at a fixed rate whatever becomes of the calls before. A call counts
 * from when it was made; how much later than due that was, which is the delay of this process, counts by itself.
 */
import { nodeStatus } from '@millrace/cli'
import { Histogram } from '@millrace/cli/bench'

const EVERY_MS = 100

type NodeStatus = Awaited<ReturnType<typeof nodeStatus>>

/** What came of the calls of a while. */
export class StatusTally {
  readonly latencies: Histogram = new Histogram()
  readonly lateness: Histogram = new Histogram()
  failed = 0
  lastError = ''
}

export class StatusCalls {
  readonly #urls: readonly string[]
  readonly #onStatus: (status: NodeStatus) => void
  /** By node, over the whole run. */
  readonly nodes: readonly StatusTally[]
  readonly total: StatusTally = new StatusTally()
  #period = new StatusTally()
  readonly #pending = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  #dueMs = 0
  #calls = 0

  constructor(urls: readonly string[], onStatus: (status: NodeStatus) => void) {
    this.#urls = urls
    this.#onStatus = onStatus
    this.nodes = urls.map(() => new StatusTally())
  }

  start(): void {
    this.#dueMs = performance.now() + EVERY_MS
    this.#timer = setTimeout(() => this.#due(), EVERY_MS)
  }

  /** What came since it was asked last; counts begin anew. */
  takePeriod(): StatusTally {
    const period = this.#period
    this.#period = new StatusTally()
    return period
  }

  /** Resolves when every call has ended; may be called again. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    await Promise.all(this.#pending)
  }

  #due(): void {
    const nowMs = performance.now()
    const node = this.#calls++ % this.#urls.length
    const tallies = [this.total, this.#period, this.nodes[node]!]
    // Timers may be early by a part of a millisecond.
    for (const { lateness } of tallies) lateness.record(Math.max(0, nowMs - this.#dueMs))
    const call = this.#call(this.#urls[node]!, tallies)
    this.#pending.add(call)
    void call.then(() => this.#pending.delete(call))
    this.#dueMs += EVERY_MS
    this.#timer = setTimeout(() => this.#due(), Math.max(0, this.#dueMs - nowMs))
  }

  async #call(url: string, tallies: readonly StatusTally[]): Promise<void> {
    const startedMs = performance.now()
    try {
      this.#onStatus(await nodeStatus(url))
    } catch (error) {
      for (const tally of tallies) {
        tally.failed++
        tally.lastError = String(error)
      }
    }
    // One that failed has taken its time too.
    for (const { latencies } of tallies) latencies.record(performance.now() - startedMs)
  }
}
