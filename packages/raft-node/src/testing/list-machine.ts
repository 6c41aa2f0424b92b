/** A state machine for tests: remembers what it applied. Its checkpoint survives in a `ListCheckpoint`. */
import { type Frame, FrameKind, framePayload } from '@millrace/record'
import type { AppliedPosition, LeadershipEvent, StateMachine } from '../state-machine.ts'

/** What is left of a machine when its process ends. */
export class ListCheckpoint {
  applied: AppliedPosition = { index: 0, term: 0 }
  entries: readonly string[] = []
}

export class ListMachine implements StateMachine {
  readonly applied: AppliedPosition
  readonly events: LeadershipEvent[] = []
  /** `index:payload` of every frame that is no no-op. */
  readonly entries: string[]
  readonly #checkpoint: ListCheckpoint
  #last: AppliedPosition
  closed = false
  /** Thrown by apply when it meets this payload. */
  poison: string | undefined

  constructor(checkpoint: ListCheckpoint = new ListCheckpoint()) {
    this.#checkpoint = checkpoint
    this.applied = checkpoint.applied
    this.entries = [...checkpoint.entries]
    this.#last = checkpoint.applied
  }

  get lastIndex(): number {
    return this.#last.index
  }

  apply(frames: readonly Frame[]): readonly unknown[] {
    return frames.map(frame => {
      const { index, term, kind } = frame.header
      if (this.#last.index !== 0 && index !== this.#last.index + 1)
        throw new Error(`${index} after ${this.#last.index}`)
      const text = new TextDecoder().decode(framePayload(frame))
      if (kind === FrameKind.records || kind === FrameKind.command) {
        if (text === this.poison) throw new Error(`poisoned by ${text}`)
        this.entries.push(`${index}:${text}`)
      }
      this.#last = { index, term }
      return text.length
    })
  }

  leadership(event: LeadershipEvent): void {
    this.events.push(event)
  }

  async checkpoint(): Promise<AppliedPosition> {
    this.#checkpoint.applied = this.#last
    this.#checkpoint.entries = [...this.entries]
    return this.#last
  }

  async close(): Promise<void> {
    this.closed = true
  }
}
