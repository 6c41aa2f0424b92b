/**
 * Sequential access to a file through one buffer at a time. Views that were handed out stay valid: the next stretch gets
 * a buffer of its own, so frames can be kept without a copy. What is left of the old stretch is moved to the front of the
 * next one, so no byte is read from the file twice.
 *
 * With a {@link ReadAhead}, from the second stretch on the one after it is on its way while this one is used.
 */
import type { DiskFile } from './disk.ts'

/** Room in front of a stretch that is read ahead, for the start of a frame that begins in the one before. */
const HEADROOM_BYTES = 65_536

/** Starts a read that may outlive the caller's use of the file; null: not now. */
export type ReadAhead = (into: Uint8Array, position: number) => Promise<number> | null

/** A stretch on its way: `count` bytes of the file from `start` on, after the headroom. */
interface Ahead {
  readonly start: number
  readonly buffer: Uint8Array
  /** Null where the read failed: whoever needs the bytes reads them again, and is told. */
  readonly count: Promise<number | null>
}

export class FileWindow {
  readonly #chunkBytes: number
  readonly #readAhead: ReadAhead | null
  #file: DiskFile
  /** Nothing is read beyond: small files cost small buffers. */
  #end: number
  #bytes: Uint8Array = new Uint8Array(0)
  #start = 0
  #ahead: Ahead | null = null
  #stretches = 0

  constructor(file: DiskFile, chunkBytes: number, end: number, readAhead: ReadAhead | null = null) {
    this.#file = file
    this.#chunkBytes = chunkBytes
    this.#end = end
    this.#readAhead = readAhead
  }

  /** Goes on where it was, with the same content: the file was opened again, and may have grown. */
  reopen(file: DiskFile, end: number): void {
    this.#file = file
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
    await this.#takeAhead(position)
    if (this.peek(position, length) === null) await this.#read(position, length)
    this.#stretches++
    this.#startAhead()
    return this.#bytes.subarray(0, Math.min(length, this.#bytes.length))
  }

  /** What the buffer has from `position` on. */
  #held(position: number): Uint8Array {
    const at = position - this.#start
    return at >= 0 && at < this.#bytes.length ? this.#bytes.subarray(at) : new Uint8Array(0)
  }

  async #takeAhead(position: number): Promise<void> {
    const ahead = this.#ahead
    if (ahead === null) return
    this.#ahead = null
    const count = await ahead.count
    const held = this.#held(position)
    const joins = position + held.length === ahead.start && held.length <= HEADROOM_BYTES
    if (count === null || !joins) return
    ahead.buffer.set(held, HEADROOM_BYTES - held.length)
    this.#bytes = ahead.buffer.subarray(HEADROOM_BYTES - held.length, HEADROOM_BYTES + count)
    this.#start = position
  }

  async #read(position: number, length: number): Promise<void> {
    const held = this.#held(position)
    const from = position + held.length
    const wanted = Math.max(length - held.length, this.#chunkBytes)
    const fresh = Math.max(0, Math.min(wanted, this.#end - from))
    const bytes = uninitialized(held.length + fresh)
    bytes.set(held)
    const count = fresh === 0 ? 0 : await this.#file.read(bytes.subarray(held.length), from)
    this.#bytes = bytes.subarray(0, held.length + count)
    this.#start = position
  }

  #startAhead(): void {
    const start = this.#start + this.#bytes.length
    const length = Math.min(this.#chunkBytes, this.#end - start)
    if (this.#readAhead === null || this.#stretches < 2 || this.#ahead !== null || length <= 0) return
    const buffer = uninitialized(HEADROOM_BYTES + length)
    const reading = this.#readAhead(buffer.subarray(HEADROOM_BYTES), start)
    if (reading !== null) this.#ahead = { start, buffer, count: reading.catch(() => null) }
  }
}

/** Bytes that are about to be written over. They have a buffer of their own, never a part of Node's pool. */
function uninitialized(length: number): Uint8Array {
  const buffer = Buffer.allocUnsafeSlow(length)
  return new Uint8Array(buffer.buffer, buffer.byteOffset, length)
}
