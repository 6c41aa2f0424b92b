/**
 * The file of one partition of a bare process: writes go through to the disk, and what comes while one is under way goes
 * into the next, as in the log of a real node.
 */
import * as fs from 'node:fs'

interface Waiting {
  readonly bytes: Buffer
  readonly durable: () => void
}

export class PartitionFile {
  readonly path: string
  readonly #fd: number
  readonly #onError: (error: Error) => void
  #waiting: Waiting[] = []
  #writing = false
  #end = 0

  constructor(path: string, onError: (error: Error) => void) {
    this.path = path
    this.#onError = onError
    this.#fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT | (fs.constants.O_DSYNC ?? 0), 0o644)
  }

  /** Bytes that are durable. */
  get end(): number {
    return this.#end
  }

  append(bytes: Buffer, durable: () => void): void {
    this.#waiting.push({ bytes, durable })
    if (!this.#writing) this.#write()
  }

  /**
   * Calls back when all that was appended so far is durable here: two others may have made an acknowledgement of it
   * before that.
   */
  whenWritten(written: () => void): void {
    if (this.#writing || this.#waiting.length > 0) this.append(Buffer.alloc(0), written)
    else written()
  }

  /** Nothing may be under way. */
  close(): void {
    fs.closeSync(this.#fd)
    fs.rmSync(this.path)
  }

  #write(): void {
    const round = this.#waiting
    this.#waiting = []
    this.#writing = true
    fs.writev(
      this.#fd,
      round.map(({ bytes }) => bytes),
      this.#end,
      (error, written) => {
        this.#writing = false
        const wanted = round.reduce((sum, { bytes }) => sum + bytes.length, 0)
        if (error !== null) return this.#onError(error)
        if (written !== wanted) return this.#onError(new Error(`${written} of ${wanted} bytes were written`))
        this.#end += written
        for (const { durable } of round) durable()
        if (this.#waiting.length > 0 && !this.#writing) this.#write()
      },
    )
  }
}
