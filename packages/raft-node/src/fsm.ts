/**
 * Any replicated state machine over commands, with snapshots: state in memory, its newest snapshot in a `SnapshotStore`, and
 * the log from there on.
 */
import type { SnapshotInfo, SnapshotStore } from '@millrace/log-store'
import { FrameKind, framePayload } from '@millrace/record'
import type { MachineSnapshots, StateView } from './machine-snapshots.ts'
import { contentOf } from './snapshot-content.ts'
import type { AppliedPosition, StateMachine } from './state-machine.ts'

/** A view of the state, made by {@link Fsm.snapshot}. */
export interface FsmSnapshot {
  /** The state as bytes, in pieces of any size; a piece is not looked at any more when the next one is asked for. */
  content(): AsyncIterable<Uint8Array>
  /** The view is not needed any more: read to its end, or never. */
  release?(): void
}

export interface Fsm {
  /**
   * Applies a batch of commands, in log order, and returns a result for each. Must give the same on every replica (no
   * clock, no randomness) and must not throw: that would halt the replica. The bytes must not be changed.
   */
  apply(commands: readonly Uint8Array[]): readonly unknown[]
  /** A view of the state as it is now, made at once; commands are applied while it is read and must not change it. */
  snapshot(): FsmSnapshot
  /** Replaces the state by the content of a snapshot. No command is applied meanwhile. */
  restore(content: AsyncIterable<Uint8Array>): Promise<void>
}

/**
 * Makes a state machine that begins with the newest whole snapshot of `store`.
 *
 * @param store of this group; the state machine does not close it
 * @throws whatever `restore` throws
 */
export async function openFsm(fsm: Fsm, store: SnapshotStore): Promise<StateMachine> {
  const reader = await store.openNewest()
  if (reader === null) return new FsmMachine(fsm, store, { index: 0, term: 0 })
  try {
    await fsm.restore(contentOf(reader))
  } finally {
    await reader.close()
  }
  return new FsmMachine(fsm, store, reader.info)
}

class FsmMachine implements StateMachine {
  readonly applied: AppliedPosition
  readonly snapshots: MachineSnapshots
  readonly #fsm: Fsm
  readonly #store: SnapshotStore
  #last: AppliedPosition

  constructor(fsm: Fsm, store: SnapshotStore, { index, term }: AppliedPosition) {
    this.#fsm = fsm
    this.#store = store
    this.applied = { index, term }
    this.#last = this.applied
    this.snapshots = {
      kind: 'applied',
      store,
      view: () => this.#view(),
      restore: (snapshot, content) => this.#restore(snapshot, content),
    }
  }

  apply(frames: Parameters<StateMachine['apply']>[0]): readonly unknown[] {
    const commands = frames.filter(frame => frame.header.kind === FrameKind.command)
    const results = commands.length === 0 ? [] : this.#fsm.apply(commands.map(framePayload))
    this.#last = frames[frames.length - 1]!.header
    let next = 0
    return frames.map(frame => (frame.header.kind === FrameKind.command ? results[next++] : undefined))
  }

  leadership(): void {
    // Commands are judged when they are applied.
  }

  /** The newest snapshot is the checkpoint; the host has them taken. */
  async checkpoint(): Promise<AppliedPosition> {
    const newest = this.#store.list()[0]
    return newest === undefined ? { index: 0, term: 0 } : { index: newest.index, term: newest.term }
  }

  async close(): Promise<void> {
    // Nothing is open.
  }

  #view(): StateView {
    const { index, term } = this.#last
    const view = this.#fsm.snapshot()
    return { applied: { index, term }, content: () => view.content(), release: () => view.release?.() }
  }

  async #restore({ index, term }: SnapshotInfo, content: AsyncIterable<Uint8Array>): Promise<AppliedPosition> {
    await this.#fsm.restore(content)
    this.#last = { index, term }
    return this.#last
  }
}
