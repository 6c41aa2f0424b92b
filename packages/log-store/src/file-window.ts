/**
 * Sequential access to a file through one buffer at a time. Views that were handed out stay valid: the next stretch gets
 * a buffer of its own, so frames can be kept without a copy.
 */
import type { DiskFile } from './disk.ts'

export class FileWindow {
  readonly #file: DiskFile
  readonly #chunkBytes: number
  /** Nothing is read beyond: small files cost small buffers. */
  readonly #end: number
  #bytes: Uint8Array = new Uint8Array(0)
  #start = 0

  constructor(file: DiskFile, chunkBytes: number, end: number) {
    this.#file = file
    this.#chunkBytes = chunkBytes
    this.#end = end
  }

  /** The bytes [position, position + length) where they are in the buffer, else null: call {@link load} then. */
  peek(position: number, length: number): Uint8Array | null {
    const at = position - this.#start
    return at >= 0 && at + length <= this.#bytes.length ? this.#bytes.subarray(at, at + length) : null
  }

  /** The bytes [position, position + length), fewer only at the end. */
  async load(position: number, length: number): Promise<Uint8Array> {
    const there = this.peek(position, length)
    if (there !== null) return there
    const wanted = Math.max(length, this.#chunkBytes)
    const bytes = new Uint8Array(Math.max(0, Math.min(wanted, this.#end - position)))
    const count = await this.#file.read(bytes, position)
    this.#bytes = bytes.subarray(0, count)
    this.#start = position
    return this.#bytes.subarray(0, Math.min(length, count))
  }
}
