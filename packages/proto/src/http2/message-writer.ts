/**
 * Sends messages in envelopes on one HTTP/2 stream. What is written is handed to the stream at once, in one go and
 * without a copy; the caller is asked to wait while more than `unsentBytesMax` have not left.
 */
import type { Http2Stream } from 'node:http2'
import { ENVELOPE_HEADER_BYTES } from './envelope-reader.ts'
import type { MessageParts } from './message-parts.ts'

/** First parts up to this size are copied behind the envelope's header: one buffer less to send. */
const JOINED_BYTES_MAX = 512

export class MessageWriter {
  readonly #stream: Http2Stream
  readonly #unsentBytesMax: number
  #unsentBytes = 0
  #over = false
  #wake: (() => void) | null = null

  constructor(stream: Http2Stream, unsentBytesMax: number) {
    this.#stream = stream
    this.#unsentBytesMax = unsentBytesMax
    stream.once('close', () => this.end())
  }

  /** The stream takes nothing more: it is closed, or `finish` was called. */
  get over(): boolean {
    return this.#over
  }

  /** Whether there is room for another message. */
  get roomy(): boolean {
    return this.#unsentBytes < this.#unsentBytesMax
  }

  /** Resolves once there is room, or the stream is over. For one caller at a time. */
  async room(): Promise<void> {
    while (!this.roomy && !this.#over) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  /** Sends a message; nothing where the stream is over. */
  write(flags: number, parts: MessageParts): void {
    if (this.#over) return
    const stream = this.#stream
    const buffers = enveloped(flags, parts)
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    this.#unsentBytes += bytes
    const sent = (): void => {
      this.#unsentBytes -= bytes
      if (this.roomy) this.#wakeUp()
    }
    if (buffers.length === 1) {
      stream.write(buffers[0], sent)
      return
    }
    const last = buffers.length - 1
    stream.cork()
    for (let i = 0; i < last; i++) stream.write(buffers[i])
    stream.write(buffers[last], sent)
    stream.uncork()
  }

  /** Sends a last message and ends this side of the stream. */
  finish(flags: number, parts: MessageParts, finished?: () => void): void {
    if (this.#over) return
    this.#stream.end(Buffer.concat(enveloped(flags, parts)), finished)
    this.end()
  }

  /** Nothing is sent any more; whoever waits for room goes on. */
  end(): void {
    this.#over = true
    this.#wakeUp()
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }
}

function enveloped(flags: number, parts: MessageParts): readonly Uint8Array[] {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const [first] = parts
  const joined = first !== undefined && first.length <= JOINED_BYTES_MAX ? first.length : 0
  const head = Buffer.allocUnsafe(ENVELOPE_HEADER_BYTES + joined)
  head[0] = flags
  head.writeUInt32BE(length, 1)
  if (joined > 0) head.set(first!, ENVELOPE_HEADER_BYTES)
  return [head, ...(joined > 0 ? parts.slice(1) : parts)]
}
