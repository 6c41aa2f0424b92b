/**
 * Messages on their way into one stream, bounded by bytes.
 *
 * They are encoded when the stream can take them, so that what waits travels together. Bytes count as queued until the
 * stream says that they are flushed: a peer that stops reading fills its own queue and nothing else. What does not fit
 * is refused as a whole.
 */
import { ALONE_BYTES_MIN } from '../outbox.ts'
import type { GroupMessage, QuietBeat } from '../transport.ts'
import { appendBytes } from './append-codec.ts'

/** `M`: a message as the stream takes it. */
export interface SendQueueOptions<T extends GroupMessage | QuietBeat, M extends { readonly length: number } = Buffer> {
  readonly queueBytesMax: number
  readonly encode: (items: readonly T[]) => M
  /** Writes one message to the stream and calls `flushed` when the stream has passed it on. */
  readonly write: (message: M, flushed: () => void) => void
}

/** Frames that share a stream message; a single larger one still travels. */
const BATCH_BYTES_MAX = 1024 * 1024
/** Handed to the stream and not flushed: enough to keep a socket busy while the next turn is made. */
const UNFLUSHED_BYTES_MAX = 4 * 1024 * 1024
const SMALL_MESSAGE_BYTES = 48
const LEFT_GROUP_BYTES = 4

export class SendQueue<T extends GroupMessage | QuietBeat, M extends { readonly length: number } = Buffer> {
  readonly #options: SendQueueOptions<T, M>
  #waiting: T[] = []
  #next = 0
  #waitingBytes = 0
  #unflushedBytes = 0
  #closed = false

  constructor(options: SendQueueOptions<T, M>) {
    this.#options = options
  }

  get queuedBytes(): number {
    return this.#waitingBytes + this.#unflushedBytes
  }

  /** @returns false when there was no room, or the stream is closed, and nothing was taken */
  push(items: readonly T[]): boolean {
    let bytes = 0
    for (const item of items) bytes += itemBytes(item)
    if (this.#closed || (this.queuedBytes > 0 && this.queuedBytes + bytes > this.#options.queueBytesMax)) return false
    for (const item of items) this.#waiting.push(item)
    this.#waitingBytes += bytes
    this.#pump()
    return true
  }

  /** Forgets what waits. Callbacks that are still to come change nothing. */
  close(): void {
    this.#closed = true
    this.#waiting = []
    this.#next = 0
    this.#waitingBytes = 0
  }

  #pump(): void {
    while (!this.#closed && this.#next < this.#waiting.length && this.#unflushedBytes < UNFLUSHED_BYTES_MAX) {
      const batch = this.#takeBatch()
      const message = this.#options.encode(batch)
      const { length } = message
      this.#unflushedBytes += length
      this.#options.write(message, () => {
        this.#unflushedBytes -= length
        this.#pump()
      })
    }
  }

  #takeBatch(): readonly T[] {
    const first = this.#next
    let bytes = 0
    while (this.#next < this.#waiting.length) {
      const more = itemBytes(this.#waiting[this.#next]!)
      if (bytes > 0 && (bytes + more > BATCH_BYTES_MAX || more >= ALONE_BYTES_MIN)) break
      bytes += more
      this.#next += 1
      if (more >= ALONE_BYTES_MIN) break
    }
    this.#waitingBytes -= bytes
    const batch = this.#waiting.slice(first, this.#next)
    if (this.#next === this.#waiting.length) {
      this.#waiting = []
      this.#next = 0
    }
    return batch
  }
}

function itemBytes(item: GroupMessage | QuietBeat): number {
  if (!('message' in item)) return SMALL_MESSAGE_BYTES + item.left.length * LEFT_GROUP_BYTES
  return item.message.type === 'append' ? appendBytes(item.message) : SMALL_MESSAGE_BYTES
}
