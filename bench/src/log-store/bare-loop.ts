/**
 * What the disk does without a log: one writev and one fdatasync per write, through the same calls of `node:fs`, into a
 * file that grows or over zeroes that were written and synced before.
 */
import * as fs from 'node:fs'

export type Space = 'extending' | 'prepared'

const ZEROES: Uint8Array = new Uint8Array(1_048_576)

/** A file that bare writes go to, one after the other. */
export class BareFile {
  readonly path: string
  readonly #fd: number
  readonly #bytesMax: number
  #position = 0

  constructor(path: string, space: Space, bytesMax: number) {
    this.path = path
    this.#fd = fs.openSync(path, 'w')
    this.#bytesMax = space === 'prepared' ? bytesMax : Number.POSITIVE_INFINITY
    if (space === 'extending') return
    for (let at = 0; at < bytesMax; at += ZEROES.length)
      fs.writeSync(this.#fd, ZEROES, 0, Math.min(ZEROES.length, bytesMax - at), at)
    fs.fsyncSync(this.#fd)
  }

  /** Writes at the end and waits until it is durable. */
  append(bytes: Uint8Array): Promise<void> {
    const at = this.#position
    this.#position += bytes.length
    if (this.#position > this.#bytesMax) throw new RangeError('more is written than space was prepared for')
    return new Promise((resolve, reject) => {
      fs.writev(this.#fd, [bytes], at, error => {
        if (error !== null) return reject(error)
        fs.fdatasync(this.#fd, failure => (failure === null ? resolve() : reject(failure)))
      })
    })
  }

  close(): void {
    fs.closeSync(this.#fd)
  }
}

/** Appends each payload, to all files in turn, at most `slots` of them at once. */
export async function appendInTurn(
  files: readonly BareFile[],
  payloads: readonly Uint8Array[],
  slots: number,
): Promise<void> {
  let next = 0
  const busy = new Map<BareFile, Promise<void>>()
  const worker = async (): Promise<void> => {
    while (next < payloads.length) {
      const bytes = payloads[next] as Uint8Array
      const file = files[next++ % files.length] as BareFile
      const write = (busy.get(file) ?? Promise.resolve()).then(() => file.append(bytes))
      busy.set(file, write)
      await write
    }
  }
  await Promise.all(Array.from({ length: slots }, worker))
}
