/**
 * The window of unsettled deliveries of one subscription: what bounds everything downstream, whatever operators are in
 * between. RxJS has no other back-pressure, since `next()` answers nothing.
 */
import type { StatusBoard } from '../status/client-status.ts'

export interface WindowLimits {
  /** Deliveries that may be unsettled. */
  readonly count: number
  /** Bytes of records that may be unsettled. One delivery is always allowed. */
  readonly bytes: number
}

export interface WindowReport {
  readonly status: StatusBoard
  /** For messages: `observe orders`. */
  readonly what: string
  /** A full window in which nothing is settled for so long is stalled, in ms. */
  readonly stallMs: number
}

export class DeliveryWindow {
  readonly #limits: WindowLimits
  readonly #report: WindowReport
  #count = 0
  #bytes = 0
  #wake: (() => void) | null = null
  #closed = false

  constructor(limits: WindowLimits, report: WindowReport) {
    this.#limits = limits
    this.#report = report
  }

  get unsettled(): number {
    return this.#count
  }

  get unsettledBytes(): number {
    return this.#bytes
  }

  /** Nothing is to be delivered any more. */
  get closed(): boolean {
    return this.#closed
  }

  get full(): boolean {
    return this.#count >= this.#limits.count || (this.#count > 0 && this.#bytes >= this.#limits.bytes)
  }

  take(bytes: number): void {
    this.#count++
    this.#bytes += bytes
  }

  give(bytes: number): void {
    this.#count--
    this.#bytes -= bytes
    if (!this.full) this.#wake?.()
  }

  /** Resolves when there is room, or the window is closed. Says `stalled` when that takes long. */
  async room(): Promise<void> {
    if (!this.full || this.#closed) return
    const { status, stallMs } = this.#report
    const timer = setTimeout(() => this.#stalled(), stallMs)
    await new Promise<void>(resolve => {
      this.#wake = resolve
    })
    this.#wake = null
    clearTimeout(timer)
    if (!this.#closed) status.clear(this)
  }

  close(): void {
    this.#closed = true
    this.#report.status.remove(this)
    this.#wake?.()
  }

  #stalled(): void {
    const { status, what, stallMs } = this.#report
    status.report(this, {
      state: 'stalled',
      what,
      unsettled: this.#count,
      unsettledBytes: this.#bytes,
      windowCount: this.#limits.count,
      windowBytes: this.#limits.bytes,
      stalledMs: stallMs,
      reason:
        'the window is full and nothing is settled: a handler does not finish, or an operator holds or drops ' +
        'deliveries (filter, switchMap, debounceTime, bufferCount above the window) without ack()',
    })
  }
}
