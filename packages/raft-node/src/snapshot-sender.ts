/**
 * The sending end of one snapshot's transfer to one replica: call after call until the receiver has it all, each going on
 * where the last one broke. The snapshot stays open, and so readable, all the while.
 *
 * Holds at most a window of chunks that are not answered, and only while its replica leads the term it began in.
 */
import type { SnapshotReader } from '@millrace/log-store'
import { crc32 } from '@millrace/record'
import type { Clock } from './node.ts'
import type { RateLimit } from './rate-limit.ts'
import type { SnapshotAnswer, SnapshotCall, SnapshotCallEvents, SnapshotOffer } from './snapshot-calls.ts'

/** Chunks that are sent and not answered. */
const WINDOW_CHUNKS = 4
/** Calls in a row that bring nothing further; then the transfer is given up, and the core asks for it again. */
const FRUITLESS_CALLS_MAX = 6
const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 1_000
/** A call without an answer for so long is taken for broken. The last answer waits for an fsync. */
const SILENCE_MS_MAX = 30_000

export interface SnapshotSenderOptions {
  readonly offer: SnapshotOffer
  readonly reader: Pick<SnapshotReader, 'read'>
  readonly chunkBytes: number
  readonly clock: Pick<Clock, 'setTimer' | 'monotonicMs'>
  readonly rate: RateLimit
  call(events: SnapshotCallEvents): SnapshotCall
  sent(bytes: number): void
}

export type TransferEnd = { readonly status: 'finished' } | { readonly status: 'failed'; readonly reason: string }

export class SnapshotSender {
  readonly #options: SnapshotSenderOptions
  readonly #resolve: (end: TransferEnd) => void
  /** How it ended. Never rejects. */
  readonly ended: Promise<TransferEnd>
  #over = false
  #call: SnapshotCall | undefined
  /** Names the present call; what an older one still reports is ignored. */
  #attempt = 0
  #fruitless = 0
  /** Answered by the receiver, in the present call and in any. */
  #received = 0
  #receivedMax = 0
  /** Of the next chunk to be read. */
  #next = 0
  #started = false
  #reading = false
  #lastSent = false
  #timer: { cancel(): void } | undefined
  #granted: { cancel(): void } | undefined

  constructor(options: SnapshotSenderOptions) {
    this.#options = options
    let resolve: (end: TransferEnd) => void = () => undefined
    this.ended = new Promise<TransferEnd>(done => {
      resolve = done
    })
    this.#resolve = resolve
    this.#connect()
  }

  /** Bytes that the receiver has. */
  get bytesReceived(): number {
    return this.#receivedMax
  }

  abort(reason: string): void {
    this.#end({ status: 'failed', reason })
  }

  #connect(): void {
    this.#attempt += 1
    this.#started = false
    this.#lastSent = false
    const attempt = this.#attempt
    const current = (): boolean => attempt === this.#attempt && !this.#over
    this.#watch()
    this.#call = this.#options.call({
      answered: answer => current() && this.#answered(answer),
      ended: reason => current() && this.#broken(reason),
    })
  }

  #answered(answer: SnapshotAnswer): void {
    const { refused, done, received } = answer
    if (refused !== undefined) {
      this.#end({ status: 'failed', reason: `refused: ${refused}` })
      return
    }
    if (done) {
      this.#end({ status: 'finished' })
      return
    }
    if (received > this.#options.offer.info.contentBytes || (this.#started && received > this.#next)) {
      this.#end({ status: 'failed', reason: `the receiver claims ${received} bytes` })
      return
    }
    if (!this.#started) this.#next = received
    this.#started = true
    this.#received = received
    if (received > this.#receivedMax) {
      this.#receivedMax = received
      this.#fruitless = 0
    }
    this.#watch()
    this.#pump()
  }

  /** Sends the next chunk, if the window has room. One is read at a time. */
  #pump(): void {
    const { chunkBytes, reader, rate } = this.#options
    const inFlight = Math.ceil((this.#next - this.#received) / chunkBytes)
    if (this.#reading || this.#lastSent || inFlight >= WINDOW_CHUNKS) return
    this.#reading = true
    const offset = this.#next
    reader.read(offset, chunkBytes).then(
      data => {
        if (this.#over) return
        this.#granted = rate.after(data.length, () => this.#send(offset, data))
      },
      (error: unknown) => this.abort(`the snapshot cannot be read: ${String(error)}`),
    )
  }

  #send(offset: number, data: Uint8Array): void {
    this.#reading = false
    if (this.#over || !this.#started) return
    // The call that this was read for may have broken meanwhile, and the next one may begin elsewhere.
    if (offset === this.#next && !this.#lastSent) {
      this.#next += data.length
      this.#lastSent = this.#next === this.#options.offer.info.contentBytes
      this.#options.sent(data.length)
      this.#call?.send({ offset, data, crc: crc32(data), done: this.#lastSent })
    }
    this.#pump()
  }

  #broken(reason: string): void {
    this.#call?.close()
    this.#call = undefined
    this.#started = false
    this.#attempt += 1
    this.#fruitless += 1
    if (this.#fruitless >= FRUITLESS_CALLS_MAX) {
      this.#end({ status: 'failed', reason })
      return
    }
    const delayMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (this.#fruitless - 1))
    this.#setTimer(delayMs, () => this.#connect())
  }

  #watch(): void {
    this.#setTimer(SILENCE_MS_MAX, () => this.#broken('the receiver does not answer'))
  }

  #setTimer(delayMs: number, run: () => void): void {
    this.#timer?.cancel()
    this.#timer = this.#options.clock.setTimer(delayMs, run)
  }

  #end(end: TransferEnd): void {
    if (this.#over) return
    this.#over = true
    this.#timer?.cancel()
    this.#granted?.cancel()
    this.#call?.close()
    this.#resolve(end)
  }
}
