/**
 * Envelopes, as the streams of the Connect protocol have them: one byte of flags, four of length (big-endian), a message.
 * Cuts them out of chunks as they arrive, with at most one copy: a message that lies in one chunk is a view on it.
 */

export const ENVELOPE_HEADER_BYTES = 5

/** Bits of the first byte. */
export const EnvelopeFlag: { readonly compressed: 1; readonly end: 2 } = { compressed: 1, end: 2 }

export interface Envelope {
  readonly flags: number
  /** Nobody else writes to it. A small message may keep the chunk that it came in alive. */
  readonly message: Uint8Array
  /** The memory around the message, as it was allocated for it, is the taker's too. */
  readonly owned: boolean
}

/** A message above the limit. Nothing of it was kept. */
export class EnvelopeTooLongError extends RangeError {
  readonly length: number
  readonly lengthMax: number

  constructor(length: number, lengthMax: number) {
    super(`message size ${length} is larger than the limit of ${lengthMax} bytes`)
    this.name = 'EnvelopeTooLongError'
    this.length = length
    this.lengthMax = lengthMax
  }
}

export class EnvelopeReader {
  readonly #messageBytesMax: number
  readonly #allocate: (bytes: number) => Uint8Array
  readonly #header = new Uint8Array(ENVELOPE_HEADER_BYTES)
  #headerLength = 0
  #message: Uint8Array | null = null
  #messageLength = 0

  /** @param allocate makes room for a message; it need not be zeroed */
  constructor(messageBytesMax: number, allocate: (bytes: number) => Uint8Array) {
    this.#messageBytesMax = messageBytesMax
    this.#allocate = allocate
  }

  /** Whether what came so far ends inside an envelope. */
  get inside(): boolean {
    return this.#headerLength > 0
  }

  /**
   * Takes the next bytes and hands out the envelopes that they complete.
   *
   * @param chunk kept by reference in what is handed out: its owner must not write to it any more
   * @throws EnvelopeTooLongError as soon as the length is known; the reader is of no use afterwards
   */
  push(chunk: Uint8Array, take: (envelope: Envelope) => void): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#headerLength < ENVELOPE_HEADER_BYTES) at = this.#takeHeader(chunk, at)
      if (this.#headerLength < ENVELOPE_HEADER_BYTES) return
      const flags = this.#header[0]!
      const length = this.#length()
      if (this.#message === null) {
        if (chunk.length - at >= length) {
          this.#headerLength = 0
          take({ flags, message: chunk.subarray(at, at + length), owned: false })
          at += length
          continue
        }
        this.#message = this.#allocate(length)
        this.#messageLength = 0
      }
      const part = chunk.subarray(at, at + length - this.#messageLength)
      this.#message.set(part, this.#messageLength)
      this.#messageLength += part.length
      at += part.length
      if (this.#messageLength < length) return
      const message = this.#message
      this.#message = null
      this.#headerLength = 0
      take({ flags, message, owned: true })
    }
  }

  #takeHeader(chunk: Uint8Array, from: number): number {
    let at = from
    while (this.#headerLength < ENVELOPE_HEADER_BYTES && at < chunk.length) {
      this.#header[this.#headerLength++] = chunk[at++]!
    }
    if (this.#headerLength === ENVELOPE_HEADER_BYTES && this.#length() > this.#messageBytesMax) {
      throw new EnvelopeTooLongError(this.#length(), this.#messageBytesMax)
    }
    return at
  }

  #length(): number {
    const [, a = 0, b = 0, c = 0, d = 0] = this.#header
    return a * 0x1000000 + ((b << 16) | (c << 8) | d)
  }
}
