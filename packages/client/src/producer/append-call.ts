/** Promises of appends: one per call, for one record or for many. */
import { MillraceError, type Outcome } from '@millrace/record'
import { rpcError } from '../cluster/rpc-error.ts'
import type { AppendWaiter } from './append-batch.ts'
import type { Appended } from './append-input.ts'

/** Waits for one record. */
export class AppendOne implements AppendWaiter {
  readonly promise: Promise<Appended>
  #resolve!: (appended: Appended) => void
  #reject!: (error: MillraceError) => void
  #forget: (() => void) | null = null

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  stored(_mark: number, partition: number, offset: number, timestamp: number): void {
    this.#forget?.()
    this.#resolve({ partition, offset, timestamp })
  }

  failed(_mark: number, error: MillraceError): void {
    this.#forget?.()
    this.#reject(error)
  }

  /**
   * Ends the wait when `signal` fires.
   *
   * @param drop takes the record back; true where it is certainly not stored
   */
  watch(signal: AbortSignal, drop: (waiter: AppendWaiter) => boolean): void {
    const abort = (): void => {
      const outcome: Outcome = drop(this) ? 'not_stored' : 'unknown'
      const when = outcome === 'unknown' ? 'after it was sent' : 'before it was sent'
      this.failed(0, new MillraceError('CANCELLED', `the caller gave up ${when}`, { outcome, cause: signal.reason }))
    }
    signal.addEventListener('abort', abort, { once: true })
    this.#forget = () => signal.removeEventListener('abort', abort)
  }
}

/** Waits for many records of one call. */
export class AppendMany implements AppendWaiter {
  readonly promise: Promise<Appended[]>
  readonly #results: Appended[]
  #open: number
  #error: MillraceError | null = null
  #unknown = 0
  #notStored = 0
  #resolve!: (appended: Appended[]) => void
  #reject!: (error: MillraceError) => void

  constructor(count: number) {
    this.#open = count
    this.#results = new Array(count)
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    if (count === 0) this.#resolve([])
  }

  stored(mark: number, partition: number, offset: number, timestamp: number): void {
    this.#results[mark] = { partition, offset, timestamp }
    this.#settleOne()
  }

  failed(_mark: number, error: MillraceError): void {
    this.#error ??= error
    if (error.outcome === 'unknown') this.#unknown++
    else this.#notStored++
    this.#settleOne()
  }

  /** Nothing was taken of this record and those behind it. */
  refuseFrom(mark: number, reason: unknown): void {
    const error = rpcError(reason, 'not-sent')
    for (let rest = this.#results.length - mark; rest > 0; rest--) this.failed(mark, error)
  }

  /** The first error, with what is known of all: `not_stored` only if none of them was. */
  #settleOne(): void {
    if (--this.#open > 0) return
    const first = this.#error
    if (first === null) {
      this.#resolve(this.#results)
      return
    }
    const count = this.#results.length
    const stored = count - this.#unknown - this.#notStored
    const outcome = this.#notStored === count ? 'not_stored' : 'unknown'
    const message = `${first.message} (of ${count} records ${stored} stored, ${this.#notStored} not stored, ${this.#unknown} unknown)`
    this.#reject(
      new MillraceError(first.code, message, {
        cause: first,
        outcome,
        details: { ...first.details, stored, notStored: this.#notStored, unknown: this.#unknown },
      }),
    )
  }
}
