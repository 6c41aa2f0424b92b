/** A state machine for tests whose log is its data: snapshots are of the log's base, and it keeps a checkpoint apart from them. */
import type { SnapshotInfo, SnapshotStore } from '@millrace/log-store'
import { expect } from 'vitest'
import { BIRTH_INDEX, BIRTH_TERM } from '../birth-record.ts'
import type { MachineSnapshots, StateView } from '../machine-snapshots.ts'
import type { AppliedPosition, StateMachine } from '../state-machine.ts'
import type { BlobFsm } from './blob-fsm.ts'

/** What is left of a machine when its process ends. */
export interface Durable {
  applied: AppliedPosition
  content: Uint8Array
}

const HEAD_BYTES = 16

/** Of a machine that never wrote a checkpoint. */
export function nothingDurable(): Durable {
  return { applied: { index: 0, term: 0 }, content: new Uint8Array(0) }
}

export class BaseMachine implements StateMachine {
  readonly applied: AppliedPosition
  readonly snapshots: MachineSnapshots
  readonly restored: SnapshotInfo[] = []
  readonly #inner: StateMachine
  readonly #fsm: BlobFsm
  readonly #durable: Durable
  #last: AppliedPosition

  constructor(inner: StateMachine, fsm: BlobFsm, store: SnapshotStore, durable: Durable) {
    this.#inner = inner
    this.#fsm = fsm
    this.#durable = durable
    this.applied = durable.applied
    this.#last = durable.applied
    const restore: MachineSnapshots['restore'] = (info, content) => this.#restore(info, content)
    this.snapshots = { kind: 'base', store, view: () => this.#view(), restore }
  }

  apply(frames: Parameters<StateMachine['apply']>[0]): readonly unknown[] | undefined {
    this.#last = frames.at(-1)!.header
    return this.#inner.apply(frames)
  }

  passLost({ index, term }: AppliedPosition): void {
    this.#last = { index, term }
  }

  leadership(): void {
    // Nothing to do.
  }

  async checkpoint(): Promise<AppliedPosition> {
    const { index, term } = this.#last
    this.#durable.applied = { index, term }
    this.#durable.content = await whole(this.#fsm.snapshot().content())
    return this.#durable.applied
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }

  #view(): StateView {
    const { index, term } = this.#last
    const state = this.#fsm.snapshot()
    const content = async function* (): AsyncGenerator<Uint8Array> {
      const head = new Uint8Array(HEAD_BYTES)
      new DataView(head.buffer).setBigUint64(0, BigInt(index))
      new DataView(head.buffer).setBigUint64(8, BigInt(term))
      yield head
      yield* state.content()
    }
    return { applied: { index, term }, content, release: () => state.release?.() }
  }

  async #restore(info: SnapshotInfo, content: AsyncIterable<Uint8Array>): Promise<AppliedPosition> {
    this.restored.push(info)
    const bytes = await whole(content)
    if (info.index === BIRTH_INDEX) {
      expect(bytes).toHaveLength(0)
      this.#last = { index: BIRTH_INDEX, term: BIRTH_TERM }
    } else {
      const head = new DataView(bytes.buffer, bytes.byteOffset)
      this.#last = { index: Number(head.getBigUint64(0)), term: Number(head.getBigUint64(8)) }
      await this.#fsm.restore(one(bytes.subarray(HEAD_BYTES)))
    }
    await this.checkpoint()
    return this.#last
  }
}

/** Makes of a state machine what it was when its process ended. */
export async function recall(fsm: BlobFsm, { content }: Durable): Promise<void> {
  await fsm.restore(one(content))
}

async function whole(content: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of content) pieces.push(piece)
  return Buffer.concat(pieces)
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
