/** Cuts a file of frames out of chunks as they are read, and checks each frame and how it joins the one before. */
import type { LogPosition } from '@millrace/log-store'
import { frameMisfit, positionAfter } from '@millrace/log-store/offline'
import { decodeFrame, FRAME_HEADER_BYTES, type Frame } from '@millrace/record'

export class FrameScanner {
  readonly #group: number
  #at: LogPosition
  #carried: Buffer = Buffer.alloc(0)
  /** Where the carried bytes begin in the file. */
  #position = 0
  #fault: string | undefined

  /** @param base what the first frame follows */
  constructor(group: number, base: LogPosition) {
    this.#group = group
    this.#at = base
  }

  /** Where the log stands after what has been taken. */
  get at(): LogPosition {
    return this.#at
  }

  /** What is wrong with the first bytes that are; nothing is taken after that. */
  get fault(): string | undefined {
    return this.#fault
  }

  /** The frames that `chunk` completes: views on memory that is theirs alone. */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = []
    if (this.#fault !== undefined) return frames
    const bytes = this.#carried.length === 0 ? chunk : Buffer.concat([this.#carried, chunk])
    let start = 0
    while (bytes.length - start >= FRAME_HEADER_BYTES) {
      const frame = decodeFrame(bytes, start)
      if (frame === 'short') break
      const fault = typeof frame === 'string' ? frame : frameMisfit(frame, this.#at, this.#group)
      if (typeof frame === 'string' || fault !== null) {
        this.#fault = `byte ${this.#position + start}: what should be entry ${this.#at.index + 1} is damaged (${fault})`
        return frames
      }
      frames.push(frame)
      this.#at = positionAfter(frame)
      start += frame.bytes.length
    }
    this.#carried = bytes.subarray(start)
    this.#position += start
    return frames
  }

  /** After the last chunk. */
  end(): void {
    if (this.#fault !== undefined || this.#carried.length === 0) return
    this.#fault = `byte ${this.#position}: entry ${this.#at.index + 1} is cut off`
  }
}
