/** One record on its way through a pipeline, to be settled exactly once by whoever is done with it. */
import type { ReceivedRecord } from '../reader/received-record.ts'

/** How a delivery was settled. */
export type Settlement = 'ack' | 'nack'

export class Delivery<T, K = string> {
  readonly record: ReceivedRecord<T, K>
  /** Fires when the result is not wanted any more: the subscription has ended. */
  readonly signal: AbortSignal
  #settle: ((settlement: Settlement) => void) | null

  constructor(record: ReceivedRecord<T, K>, signal: AbortSignal, settle: (settlement: Settlement) => void) {
    this.record = record
    this.signal = signal
    this.#settle = settle
  }

  /** Whether `ack` or `nack` was called. */
  get settled(): boolean {
    return this.#settle === null
  }

  /** Done. Gives the record's place in the window back. A second call does nothing. */
  ack(): void {
    this.#end('ack')
  }

  /** Not done, and not wanted. Without a group it does what `ack` does: nobody keeps a position to go back to. */
  nack(): void {
    this.#end('nack')
  }

  #end(settlement: Settlement): void {
    const settle = this.#settle
    this.#settle = null
    settle?.(settlement)
  }
}
