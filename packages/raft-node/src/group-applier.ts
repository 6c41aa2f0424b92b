/**
 * Hands committed entries to the state machine, in log order, each once: what the state already holds when the group is
 * opened is skipped. A frame that cannot be applied stops the replica; it is never left out.
 */
import type { ApplyTask, LogIndex } from '@millrace/raft-core'
import { FRAME_VERSION, type Frame, FrameKind } from '@millrace/record'
import { type EntryPayload, isKnownKind, isSealed } from './entry-frame.ts'
import type { AppliedPosition, StateMachine } from './state-machine.ts'

/** Called after a batch has been applied, with one result per frame where there are results. */
export type Applied = (frames: readonly Frame[], results: readonly unknown[] | undefined) => void

/** Called after a batch, with each configuration in it, also where the state held the batch already. */
export type Configured = (frame: Frame) => void

export class GroupApplier {
  readonly #machine: StateMachine
  readonly #tasks: ApplyTask<EntryPayload>[] = []
  /** What the state held when the group was opened, or when a snapshot replaced it. */
  #opened: AppliedPosition
  #applied: LogIndex
  #checkpointed: LogIndex
  #checkpointing: Promise<void> = Promise.resolve()
  /** Settled unless a snapshot is replacing the state, the log aside. */
  #restored: Promise<unknown> = Promise.resolve()
  #restoring = false
  #missing: boolean

  /** @param missing nothing is applied until `replace` brings the state */
  constructor(machine: StateMachine, applied: LogIndex, missing = false) {
    this.#machine = machine
    this.#missing = missing
    this.#opened = machine.applied
    this.#applied = applied
    this.#checkpointed = machine.applied.index
  }

  get applied(): LogIndex {
    return this.#applied
  }

  get hasWork(): boolean {
    return this.#tasks.length > 0 && !this.restoring
  }

  /** Something was applied that no checkpoint covers. */
  get checkpointDue(): boolean {
    return this.#applied > this.#checkpointed && !this.restoring
  }

  /** What the newest checkpoint covers: the log need not hold it for this state any more. */
  get checkpointed(): LogIndex {
    return this.#checkpointed
  }

  /** The state is being replaced, or missing: nothing is applied meanwhile. */
  get restoring(): boolean {
    return this.#restoring || this.#missing
  }

  /** There is no state to apply anything to. */
  get missing(): boolean {
    return this.#missing
  }

  /** The state is being replaced at this moment. */
  get replacing(): boolean {
    return this.#restoring
  }

  add(task: ApplyTask<EntryPayload>): void {
    this.#tasks.push(task)
  }

  /** Applies the oldest task. @returns it, or undefined where there is none */
  next(applied: Applied, configured: Configured): ApplyTask<EntryPayload> | undefined {
    const task = this.restoring ? undefined : this.#tasks.shift()
    if (task === undefined) return undefined
    const frames = this.#unseen(task)
    if (frames.length > 0) {
      const results = this.#machine.apply(frames)
      this.#applied = frames[frames.length - 1]!.header.index
      this.#tellConfigurations(task, configured)
      applied(frames, results)
    } else this.#tellConfigurations(task, configured)
    this.#applied = Math.max(this.#applied, task.entries[task.entries.length - 1]?.index ?? 0)
    return task
  }

  /** Entries up to `position` will never come. Only while nothing is to be applied before them. */
  pass(position: AppliedPosition & { readonly nextOffset: number }, givenUpAt: LogIndex): void {
    if (this.restoring || this.#tasks.length > 0) throw new Error(`entries before ${position.index} are to be applied`)
    this.#machine.passLost?.(position, givenUpAt)
    this.#opened = { index: position.index, term: position.term }
    this.#applied = position.index
  }

  /** Has the state machine write a checkpoint. */
  checkpoint(): Promise<void> {
    this.#checkpointing = this.#machine.checkpoint().then(({ index }) => {
      this.#checkpointed = Math.max(this.#checkpointed, index)
    })
    return this.#checkpointing
  }

  /**
   * Has `restore` replace the state, when no checkpoint is being written, and then `reset` the log. What the state holds
   * then is not applied again. Never settles where the log does not answer any more.
   *
   * @throws whatever they throw; the state is of no use then
   */
  async replace(restore: () => Promise<AppliedPosition>, reset: () => Promise<void>): Promise<void> {
    // Another one may be under way: it ends first, whatever became of it.
    const others = [this.#checkpointing, this.#restored].map(other => other.catch(() => undefined))
    this.#restoring = true
    this.#missing = true
    const restored = Promise.all(others).then(restore)
    this.#restored = restored
    try {
      const position = await restored
      await reset()
      this.#opened = position
      this.#applied = Math.max(this.#applied, position.index)
      this.#checkpointed = Math.max(this.#checkpointed, position.index)
      this.#missing = this.#restored !== restored
    } finally {
      this.#restoring = this.#restored !== restored
    }
  }

  /**
   * Closes the state machine, after the checkpoint or the snapshot that it may be busy with. Does not wait for the log: one
   * whose disk has failed answers nothing any more.
   */
  async close(): Promise<void> {
    // Whoever asked for the checkpoint, or the snapshot, hears of its failure.
    await this.#checkpointing.catch(() => undefined)
    await this.#restored.catch(() => undefined)
    await this.#machine.close()
  }

  #unseen(task: ApplyTask<EntryPayload>): readonly Frame[] {
    const frames: Frame[] = []
    for (const { index, payload } of task.entries) {
      if (!isSealed(payload)) throw new Error(`entry ${index} was committed unsealed`)
      if (index <= this.#opened.index) this.#checkSeen(payload)
      else frames.push(checkKind(payload))
    }
    return frames
  }

  #tellConfigurations({ entries }: ApplyTask<EntryPayload>, configured: Configured): void {
    for (const { payload } of entries) {
      if (isSealed(payload) && payload.header.kind === FrameKind.configuration) configured(payload)
    }
  }

  #checkSeen({ header }: Frame): void {
    if (header.index !== this.#opened.index || header.term === this.#opened.term) return
    throw new Error(
      `state was built from index ${header.index} of term ${this.#opened.term}, committed is term ${header.term}`,
    )
  }
}

function checkKind(frame: Frame): Frame {
  const { kind, index } = frame.header
  if (isKnownKind(kind)) return frame
  throw new Error(
    `frame ${index} is of kind ${kind}, which this version (frame format ${FRAME_VERSION}) cannot apply: start a version that knows kind ${kind}`,
  )
}
