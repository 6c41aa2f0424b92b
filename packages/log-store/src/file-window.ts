/**
 * Sequential access to a file through one buffer at a time. Views that were handed out stay valid: the next stretch gets
 * a buffer of its own, so frames can be kept without a copy. What is left of the old stretch is moved to the front of the
 * next one, so no byte is read from the file twice.
 *
 * With a {@link ReadAhead}, from the second stretch on the one after it is on its way while this one is used.
 */
import type { DiskFile } from './disk.ts'

/** Stretches that are read ahead are longer by this: fewer reads for whoever reads on, and a short read stays short. */
const AHEAD_FACTOR = 2
/** What is between two frames, at most, and the header of the next: read with a long frame, so that few bytes are moved. */
const BETWEEN_BYTES = 4_096

/** Starts a read that may outlive the caller's use of the file; null: not now. */
export type ReadAhead = (into: Uint8Array, position: number) => Promise<number> | null

/** A stretch on its way: `count` bytes of the file from `start` on. */
interface Ahead {
  readonly start: number
  readonly buffer: Uint8Array
  /** Room in front of the stretch in the buffer, for the start of a frame that begins in the one before. */
  readonly headroom: number
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
  /** Bytes of the largest loads of late: what does not fit into a stretch is about as long. */
  #longestLoad = 0

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

  /** The stretch that is in memory. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Where in {@link bytes} the file's [position, position + length) begins, or -1: call {@link load} then. */
  placeOf(position: number, length: number): number {
    const at = position - this.#start
    return at >= 0 && at + length <= this.#bytes.length ? at : -1
  }

  /** The bytes [position, position + length), fewer only at the end. */
  async load(position: number, length: number): Promise<Uint8Array> {
    if (this.placeOf(position, length) < 0) await this.#advance(position, length)
    const at = position - this.#start
    return this.#bytes.subarray(at, at + length)
  }

  /** Memory that the stretches take. */
  get heldBytes(): number {
    return this.#bytes.buffer.byteLength + (this.#ahead?.buffer.byteLength ?? 0)
  }

  async #advance(position: number, length: number): Promise<void> {
    this.#longestLoad = Math.max(length, this.#longestLoad - (this.#longestLoad >>> 3))
    await this.#takeAhead(position)
    if (this.placeOf(position, length) < 0) await this.#read(position, length)
    this.#stretches++
    this.#startAhead(this.#start + this.#bytes.length - position - length)
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
    if (count === null || position + held.length !== ahead.start) return
    this.#bytes = joined(held, ahead.buffer.subarray(0, ahead.headroom + count), ahead.headroom)
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

  /** @param spare bytes after those that were asked for */
  #startAhead(spare: number): void {
    const start = this.#start + this.#bytes.length
    const many = this.#chunkBytes * AHEAD_FACTOR
    const isLong = this.#longestLoad >= many
    // Many short frames, or what is missing of one that is longer: then little is left to be moved in front.
    const wanted = isLong ? Math.max(this.#chunkBytes, this.#longestLoad + BETWEEN_BYTES - spare) : many
    const length = Math.min(wanted, this.#end - start)
    if (this.#readAhead === null || this.#stretches < 2 || this.#ahead !== null || length <= 0) return
    const headroom = isLong ? 2 * BETWEEN_BYTES : this.#longestLoad
    const buffer = uninitialized(headroom + length)
    const reading = this.#readAhead(buffer.subarray(headroom), start)
    if (reading !== null) this.#ahead = { start, buffer, headroom, count: reading.catch(() => null) }
  }
}

/** `held` in front of what `buffer` has after its headroom: in the buffer itself where that has the room. */
function joined(held: Uint8Array, buffer: Uint8Array, headroom: number): Uint8Array {
  if (held.length <= headroom) {
    buffer.set(held, headroom - held.length)
    return buffer.subarray(headroom - held.length)
  }
  const bytes = uninitialized(held.length + buffer.length - headroom)
  bytes.set(held)
  bytes.set(buffer.subarray(headroom), held.length)
  return bytes
}

/** Bytes that are about to be written over. They have a buffer of their own, never a part of Node's pool. */
function uninitialized(length: number): Uint8Array {
  const buffer = Buffer.allocUnsafeSlow(length)
  return new Uint8Array(buffer.buffer, buffer.byteOffset, length)
}
