/**
 * The two state machines of the benchmark, one of each kind: a log that is the data, and a large state in front of a short
 * log. Every command carries its number, so that each replica sees for itself whether one is missing or came twice.
 */
import { mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { SnapshotInfo, SnapshotStore } from '@millrace/log-store'
import {
  type AppliedPosition,
  BIRTH_INDEX,
  type Fsm,
  type FsmSnapshot,
  type MachineSnapshots,
  type StateMachine,
  type StateView,
} from '@millrace/raft-node'
import { crc32, type Frame, FrameKind, framePayload } from '@millrace/record'

const NUMBER_BYTES = 4
const KEY_BYTES = 4
const PIECE_BYTES = 64 * 1024

/** A command: its number, a key, a value of filler. */
export function numberedCommand(number: number, key: number, bytes: number): Uint8Array {
  const command = Buffer.alloc(bytes, number & 0xff)
  command.writeUInt32LE(number, 0)
  command.writeUInt32LE(key, NUMBER_BYTES)
  return command
}

/** Counts commands, and those that are not the next one. */
class Numbers {
  next = 0
  misfits = 0

  see(command: Uint8Array): void {
    const number = Buffer.from(command.buffer, command.byteOffset).readUInt32LE(0)
    if (number !== this.next) this.misfits += 1
    this.next = number + 1
  }
}

/** What both can say of themselves. */
export interface NumberedState {
  /** Number of the next command. */
  readonly next: number
  /** Commands that were not the next one: lost or doubled before them. */
  readonly misfits: number
}

interface LogState extends NumberedState, AppliedPosition {}

/** Kind `base`: the log is the data, the state a counter in a file. */
export class LogMachine implements StateMachine {
  readonly applied: AppliedPosition
  readonly snapshots: MachineSnapshots
  readonly #file: string
  readonly #numbers = new Numbers()
  #last: AppliedPosition

  private constructor(file: string, store: SnapshotStore, state: LogState | undefined) {
    this.#file = file
    this.#last = { index: state?.index ?? 0, term: state?.term ?? 0 }
    this.applied = this.#last
    this.#take(state)
    const restore: MachineSnapshots['restore'] = (info, content) => this.#restore(info, content)
    this.snapshots = { kind: 'base', store, view: () => this.#view(), restore }
  }

  static async open(file: string, store: SnapshotStore): Promise<LogMachine> {
    await mkdir(dirname(file), { recursive: true })
    return new LogMachine(file, store, undefined)
  }

  get state(): LogState {
    const { index, term } = this.#last
    return { index, term, next: this.#numbers.next, misfits: this.#numbers.misfits }
  }

  apply(frames: readonly Frame[]): undefined {
    for (const frame of frames) if (frame.header.kind === FrameKind.command) this.#numbers.see(framePayload(frame))
    this.#last = frames.at(-1)?.header ?? this.#last
  }

  leadership(): void {
    // Commands are judged when they are applied.
  }

  async checkpoint(): Promise<AppliedPosition> {
    const { state } = this
    const file = await open(`${this.#file}.new`, 'w')
    try {
      await file.writeFile(JSON.stringify(state))
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(`${this.#file}.new`, this.#file)
    return { index: state.index, term: state.term }
  }

  async close(): Promise<void> {
    // Nothing is open.
  }

  #view(): StateView {
    const { state } = this
    const content = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from(JSON.stringify(state))
    }
    return { applied: { index: state.index, term: state.term }, content, release: () => undefined }
  }

  async #restore({ index, term }: SnapshotInfo, content: AsyncIterable<Uint8Array>): Promise<AppliedPosition> {
    const pieces: Uint8Array[] = []
    for await (const piece of content) pieces.push(piece)
    const isEmpty = index === BIRTH_INDEX && pieces.length === 0
    const state = isEmpty ? undefined : (JSON.parse(Buffer.concat(pieces).toString()) as LogState)
    this.#last = { index: state?.index ?? index, term: state?.term ?? term }
    this.#take(state)
    await this.checkpoint()
    return this.#last
  }

  #take(state: NumberedState | undefined): void {
    this.#numbers.next = state?.next ?? 0
    this.#numbers.misfits = state?.misfits ?? 0
  }
}

/** Kind `applied`: values by key. */
export class BlobFsm implements Fsm {
  #blobs = new Map<number, Uint8Array>()
  readonly #numbers = new Numbers()

  get state(): NumberedState {
    return { next: this.#numbers.next, misfits: this.#numbers.misfits }
  }

  /** Equal for equal state. */
  get hash(): number {
    let hash = this.#numbers.next
    for (const key of [...this.#blobs.keys()].sort((a, b) => a - b)) hash = crc32(this.#blobs.get(key)!, hash)
    return hash
  }

  apply(commands: readonly Uint8Array[]): readonly unknown[] {
    for (const command of commands) {
      this.#numbers.see(command)
      const key = Buffer.from(command.buffer, command.byteOffset).readUInt32LE(NUMBER_BYTES)
      // A command aliases the message that it came with.
      this.#blobs.set(key, new Uint8Array(command.subarray(NUMBER_BYTES + KEY_BYTES)))
    }
    return []
  }

  snapshot(): FsmSnapshot {
    // Values are replaced and never changed, so a copy of the map is a view.
    const blobs = new Map(this.#blobs)
    const { next, misfits } = this.state
    return { content: () => contentOf(blobs, next, misfits) }
  }

  async restore(content: AsyncIterable<Uint8Array>): Promise<void> {
    const blobs = new Map<number, Uint8Array>()
    let rest = Buffer.alloc(0)
    let isHeadRead = false
    for await (const bytes of content) {
      rest = Buffer.concat([rest, bytes])
      if (!isHeadRead && rest.length >= 8) {
        this.#numbers.next = rest.readUInt32LE(0)
        this.#numbers.misfits = rest.readUInt32LE(4)
        rest = rest.subarray(8)
        isHeadRead = true
      }
      while (rest.length >= 8 && rest.length >= 8 + rest.readUInt32LE(4)) {
        const end = 8 + rest.readUInt32LE(4)
        blobs.set(rest.readUInt32LE(0), new Uint8Array(rest.subarray(8, end)))
        rest = rest.subarray(end)
      }
    }
    if (rest.length > 0) throw new Error('the content ends inside a value')
    this.#blobs = blobs
  }
}

async function* contentOf(
  blobs: ReadonlyMap<number, Uint8Array>,
  next: number,
  misfits: number,
): AsyncGenerator<Uint8Array> {
  yield twoNumbers(next, misfits)
  for (const [key, value] of blobs) {
    yield twoNumbers(key, value.length)
    for (let at = 0; at < value.length; at += PIECE_BYTES) yield value.subarray(at, at + PIECE_BYTES)
  }
}

function twoNumbers(a: number, b: number): Uint8Array {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(a, 0)
  head.writeUInt32LE(b, 4)
  return head
}
