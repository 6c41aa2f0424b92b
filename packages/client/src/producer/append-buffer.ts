/**
 * The bytes that appends may hold in this client, from the call to the acknowledgement. Full means refused at once, or
 * waited for with `writable()`; it never grows.
 */
import { MillraceError } from '@millrace/record'
import { cancelled } from '../cluster/cluster-directory.ts'

export class AppendBuffer {
  readonly #bytesMax: number
  #bytes = 0
  #waiters: (() => void)[] = []

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @throws BUFFER_FULL: nothing was taken. A record is always taken by an empty buffer. */
  check(bytes: number): void {
    if (this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax) return
    throw new MillraceError(
      'BUFFER_FULL',
      `${this.#bytes} bytes wait to be acknowledged, and ${bytes} more are above bufferBytesMax (${this.#bytesMax}): await writable(), or append more slowly`,
      { details: { bufferBytesMax: this.#bytesMax, bufferedBytes: this.#bytes } },
    )
  }

  take(bytes: number): void {
    this.#bytes += bytes
  }

  give(bytes: number): void {
    this.#bytes -= bytes
    if (this.#waiters.length === 0 || !this.#roomy()) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }

  /**
   * Resolves once the buffer is at most half full: a writer that waits here is not woken for every record.
   *
   * @throws CANCELLED
   */
  async writable(signal?: AbortSignal): Promise<void> {
    while (!this.#roomy()) {
      if (signal?.aborted) throw cancelled(signal)
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiters.push(resolve)
      signal?.addEventListener('abort', () => resolve(), { once: true })
      await promise
    }
  }

  #roomy(): boolean {
    return this.#bytes <= this.#bytesMax / 2
  }
}
