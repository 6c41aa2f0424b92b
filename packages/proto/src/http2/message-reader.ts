/**
 * Messages in envelopes from one HTTP/2 stream, as their reader asks for them. While it does not, at most `aheadBytesMax`
 * of whole messages wait here, then the stream is paused, and HTTP/2's flow control reaches the sender.
 */
import type { Http2Stream } from 'node:http2'
import { type Envelope, EnvelopeReader } from './envelope-reader.ts'

/** What a message costs beside its bytes, so that many tiny ones are bounded too. */
const MESSAGE_OVERHEAD_BYTES = 128

export interface MessageReaderOptions {
  readonly messageBytesMax: number
  /** Messages that wait to be taken, in bytes, before the stream is paused; the chunk that crosses it still comes. */
  readonly aheadBytesMax: number
  /** Bytes to leave free before and behind each message that is put together here. Default: none. */
  readonly room?: { readonly before: number; readonly behind: number }
}

export class MessageReader implements AsyncIterable<Envelope>, AsyncIterator<Envelope> {
  readonly #stream: Http2Stream
  readonly #aheadBytesMax: number
  readonly #envelopes: EnvelopeReader
  readonly #ahead: Envelope[] = []
  readonly #keep = (envelope: Envelope): void => this.#offer(envelope)
  #aheadBytes = 0
  #paused = false
  #ended = false
  #error: Error | null = null
  #waiting: PromiseWithResolvers<IteratorResult<Envelope>> | null = null

  constructor(stream: Http2Stream, options: MessageReaderOptions) {
    this.#stream = stream
    this.#aheadBytesMax = options.aheadBytesMax
    const { before, behind } = options.room ?? { before: 0, behind: 0 }
    this.#envelopes = new EnvelopeReader(options.messageBytesMax, bytes =>
      Buffer.allocUnsafeSlow(before + bytes + behind).subarray(before, before + bytes),
    )
    stream.on('data', (chunk: Buffer) => this.#take(chunk))
    stream.once('end', () => this.#end(this.#endError()))
    stream.on('error', error => this.#end(error))
    stream.once('close', () => this.#end(this.#closed()))
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** @throws Error where the stream failed or broke off; EnvelopeTooLongError. What came whole before is handed out first. */
  next(): Promise<IteratorResult<Envelope>> {
    const envelope = this.#ahead.shift()
    if (envelope !== undefined) {
      this.#aheadBytes -= envelope.message.length + MESSAGE_OVERHEAD_BYTES
      if (this.#paused && this.#aheadBytes < this.#aheadBytesMax) {
        this.#paused = false
        this.#stream.resume()
      }
      return Promise.resolve({ done: false, value: envelope })
    }
    if (this.#error !== null) return Promise.reject(this.#error)
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    this.#waiting = Promise.withResolvers()
    return this.#waiting.promise
  }

  /** The reader takes no more. */
  return(): Promise<IteratorResult<Envelope>> {
    this.#ahead.length = 0
    this.#end(null)
    this.#stream.resume()
    return Promise.resolve({ done: true, value: undefined })
  }

  #take(chunk: Uint8Array): void {
    if (this.#ended) return
    try {
      this.#envelopes.push(chunk, this.#keep)
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)))
      return
    }
    if (this.#aheadBytes >= this.#aheadBytesMax && !this.#paused) {
      this.#paused = true
      this.#stream.pause()
    }
  }

  #offer(envelope: Envelope): void {
    const waiting = this.#waiting
    if (waiting !== null) {
      this.#waiting = null
      waiting.resolve({ done: false, value: envelope })
      return
    }
    this.#ahead.push(envelope)
    this.#aheadBytes += envelope.message.length + MESSAGE_OVERHEAD_BYTES
  }

  /** A stream that is reset ends, too, before it closes. */
  #endError(): Error | null {
    if (this.#stream.aborted) return this.#closed()
    return this.#envelopes.inside ? new Error('the stream ended inside a message') : null
  }

  #closed(): Error {
    return new Error(`the stream was closed (code ${this.#stream.rstCode})`)
  }

  /** The first end counts: a stream that has ended is closed later. */
  #end(error: Error | null): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    const waiting = this.#waiting
    this.#waiting = null
    if (error !== null) waiting?.reject(error)
    else waiting?.resolve({ done: true, value: undefined })
  }
}
