/**
 * A promise for each record over a client that makes a request of every call: what comes while the requests allowed are
 * under way goes into the next one, as the SDK of Millrace does by itself.
 */
import type { Outgoing } from '../client.ts'

interface Waiting {
  readonly record: Outgoing
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface Limits {
  readonly requestsInFlight: number
  readonly requestRecords: number
}

export class RecordGatherer {
  readonly #request: (records: readonly Outgoing[]) => Promise<unknown>
  readonly #limits: Limits
  #waiting: Waiting[] = []
  #inFlight = 0

  constructor(request: (records: readonly Outgoing[]) => Promise<unknown>, limits: Limits) {
    this.#request = request
    this.#limits = limits
  }

  /** Resolves when the request with this record was answered. */
  send(record: Outgoing): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject })
      // What is sent in the same turn travels together.
      if (this.#waiting.length === 1) queueMicrotask(() => this.#flush())
    })
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#inFlight < this.#limits.requestsInFlight) {
      const call = this.#waiting.splice(0, this.#limits.requestRecords)
      this.#inFlight++
      void this.#carry(call)
    }
  }

  async #carry(call: readonly Waiting[]): Promise<void> {
    try {
      await this.#request(call.map(({ record }) => record))
      for (const { resolve } of call) resolve()
    } catch (error) {
      for (const { reject } of call) reject(error)
    }
    this.#inFlight--
    this.#flush()
  }
}
