/**
 * A message in pieces, so that frames are copied once per follower on their way out and not twice.
 *
 * grpc-js copies every message behind a prefix of five bytes. Of a message that is not compressed, which none is here,
 * it uses `length` and `copy` and nothing else; so it is given an object that has just these. Checked by
 * `gathered-message.test.ts` and by every test that sends an append over a socket.
 */
import { countCopy } from '../payload-copies.ts'
import { release } from './release.ts'

/** A message as bytes, or in pieces that become bytes when it is written. */
export type OutgoingMessage = Buffer | GatheredMessage

export class GatheredMessage {
  readonly length: number
  readonly #pieces: readonly Uint8Array[]
  /** What grpc-js made of it, to be written to the socket. */
  #copied: Uint8Array | undefined

  /** `pieces` are views that must not change until they are copied. */
  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces
    let length = 0
    for (const piece of pieces) length += piece.length
    this.length = length
  }

  /** As `Buffer.copy`, of the whole. @returns the bytes copied */
  copy(target: Uint8Array, targetStart: number = 0): number {
    let at = targetStart
    for (const piece of this.#pieces) {
      target.set(piece, at)
      at += piece.length
    }
    countCopy('sent', this.length)
    this.#copied = target
    return this.length
  }

  /** The stream has passed it on: what was copied for it is not needed any more. */
  flushed(): void {
    if (this.#copied !== undefined) release(this.#copied)
    this.#copied = undefined
  }

  /** For grpc-js, whose types ask for more than it uses. */
  asBuffer(): Buffer {
    return this as unknown as Buffer
  }

  /** All of it in one buffer, at the price of a copy. */
  toBuffer(): Buffer {
    const whole = Buffer.allocUnsafe(this.length)
    this.copy(whole)
    this.#copied = undefined
    return whole
  }
}

/** Adds a view to pieces; what continues the last one in the same memory becomes one piece with it. */
export function addPiece(pieces: Uint8Array[], next: Uint8Array): void {
  const last = pieces[pieces.length - 1]
  if (last === undefined || last.buffer !== next.buffer || last.byteOffset + last.length !== next.byteOffset) {
    pieces.push(next)
  } else {
    pieces[pieces.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.length + next.length)
  }
}
