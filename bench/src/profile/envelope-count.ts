/**
 * Counts the messages of a stream of gRPC or of Connect from its bytes alone: both put a byte of flags and four of length
 * (big-endian) before each. The bytes may come in any pieces. Begins between two messages.
 */

const HEADER_BYTES = 5
/** Flags that either protocol knows: compressed, end of a Connect stream, trailers of gRPC-Web. */
const FLAGS = 0b1000_0011

export class EnvelopeCount {
  messages = 0
  /** What came is no such stream, or began inside of a message. */
  lost = false
  readonly #header = new Uint8Array(HEADER_BYTES)
  #headerLength = 0
  /** Bytes of the message under way that are still to come. */
  #left = 0

  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length && !this.lost) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, bytes.length - at)
        this.#left -= taken
        at += taken
        continue
      }
      this.#header[this.#headerLength++] = bytes[at++]!
      if (this.#headerLength === HEADER_BYTES) this.#begin()
    }
  }

  #begin(): void {
    this.#headerLength = 0
    const [flags = 0, ...length] = this.#header
    this.lost = (flags & ~FLAGS) !== 0
    this.#left = length.reduce((sum, byte) => sum * 256 + byte, 0)
    this.messages++
  }
}
