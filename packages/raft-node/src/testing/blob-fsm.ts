/** A state machine for tests of snapshots: values by key, as large as a test wants them. */
import { crc32 } from '@millrace/record'
import type { Fsm, FsmSnapshot } from '../fsm.ts'

const PIECE_BYTES = 64 * 1024

/** A command that sets a key. */
export function setBlob(key: number, value: Uint8Array): Uint8Array {
  const command = new Uint8Array(4 + value.length)
  new DataView(command.buffer).setUint32(0, key)
  command.set(value, 4)
  return command
}

export class BlobFsm implements Fsm {
  #blobs = new Map<number, Uint8Array>()
  /** Commands applied to this instance, not counting what a snapshot brought. */
  commands = 0
  restores = 0
  views = 0
  /** A view that is read waits for it between two pieces. */
  gate: Promise<void> = Promise.resolve()
  /** Thrown by the next restore. */
  failure: Error | undefined
  #restoring = false

  get keys(): number[] {
    return [...this.#blobs.keys()].sort((a, b) => a - b)
  }

  get bytes(): number {
    let bytes = 0
    for (const blob of this.#blobs.values()) bytes += blob.length
    return bytes
  }

  /** Equal for equal state. */
  get hash(): number {
    let hash = 0
    for (const key of this.keys) hash = crc32(this.#blobs.get(key)!, (hash + key) >>> 0)
    return hash
  }

  apply(commands: readonly Uint8Array[]): readonly unknown[] {
    if (this.#restoring) throw new Error('applied while it was restored')
    return commands.map(command => {
      const key = new DataView(command.buffer, command.byteOffset).getUint32(0)
      this.#blobs.set(key, command.subarray(4))
      this.commands += 1
      return this.#blobs.size
    })
  }

  snapshot(): FsmSnapshot {
    if (this.#restoring) throw new Error('a view while it was restored')
    // Values are never changed, so that a copy of the map is a view.
    const blobs = new Map(this.#blobs)
    const gate = this.gate
    this.views += 1
    return {
      content: () => pieces(blobs, gate),
      release: () => {
        this.views -= 1
      },
    }
  }

  async restore(content: AsyncIterable<Uint8Array>): Promise<void> {
    this.#restoring = true
    const failure = this.failure
    if (failure !== undefined) throw failure
    const blobs = new Map<number, Uint8Array>()
    let rest: Uint8Array = new Uint8Array(0)
    for await (const bytes of content) {
      rest = Buffer.concat([rest, bytes])
      for (let blob = takeBlob(rest); blob !== undefined; blob = takeBlob(rest)) {
        blobs.set(blob.key, blob.value)
        rest = rest.subarray(8 + blob.value.length)
      }
    }
    if (rest.length > 0) throw new Error('the content ends inside a value')
    this.#blobs = blobs
    this.restores += 1
    this.#restoring = false
  }
}

async function* pieces(blobs: ReadonlyMap<number, Uint8Array>, gate: Promise<void>): AsyncGenerator<Uint8Array> {
  for (const [key, value] of blobs) {
    const head = new Uint8Array(8)
    new DataView(head.buffer).setUint32(0, key)
    new DataView(head.buffer).setUint32(4, value.length)
    yield head
    for (let at = 0; at < value.length; at += PIECE_BYTES) {
      await gate
      yield value.subarray(at, at + PIECE_BYTES)
    }
  }
}

function takeBlob(bytes: Uint8Array): { key: number; value: Uint8Array } | undefined {
  if (bytes.length < 8) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const length = view.getUint32(4)
  if (bytes.length < 8 + length) return undefined
  return { key: view.getUint32(0), value: bytes.slice(8, 8 + length) }
}
