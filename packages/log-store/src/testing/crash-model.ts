/**
 * What a crash may leave: the states that one log went through, in the order in which they were submitted, and how far
 * they were acknowledged. Everything from the newest acknowledged state on may be found, nothing older.
 */
import { TestLog, testBase } from './test-log.ts'

/** The group that workloads write to. */
export const CRASH_GROUP = 3

/** What a log is after one operation, with its frames as text. */
export interface ModelState {
  readonly exists: boolean
  readonly base: number
  readonly frames: readonly string[]
}

export const NO_LOG: ModelState = { exists: false, base: 0, frames: [] }

/** A state that no order of crashes may lead to. */
export class CrashViolation extends Error {
  constructor(what: string) {
    super(what)
    this.name = 'CrashViolation'
  }
}

export class CrashModel {
  readonly states: ModelState[] = [NO_LOG]
  /** As `term/vote`. */
  readonly ballots: string[] = ['0/0']
  source: TestLog = new TestLog(CRASH_GROUP, testBase())
  #acknowledged = 0
  #acknowledgedBallot = 0

  get newest(): ModelState {
    return this.states.at(-1)!
  }

  /** Records an operation that is about to be submitted; the result says that it was acknowledged. */
  submit(state: ModelState, ballot?: { readonly term: number; readonly vote: number }): () => void {
    const place = this.states.push(state) - 1
    const ballotPlace =
      ballot === undefined ? this.ballots.length - 1 : this.ballots.push(`${ballot.term}/${ballot.vote}`) - 1
    return () => {
      this.#acknowledged = Math.max(this.#acknowledged, place)
      this.#acknowledgedBallot = Math.max(this.#acknowledgedBallot, ballotPlace)
    }
  }

  /** @throws CrashViolation unless both are as promised */
  assertPromised(found: ModelState, ballot: string): void {
    if (!this.states.slice(this.#acknowledged).some(state => isSame(state, found))) {
      const last = this.states[this.#acknowledged]!
      throw new CrashViolation(`acknowledged was ${describe(last)}; found is ${describe(found)}`)
    }
    if (!this.ballots.slice(this.#acknowledgedBallot).includes(ballot)) {
      throw new CrashViolation(`acknowledged was ballot ${this.ballots[this.#acknowledgedBallot]}; found is ${ballot}`)
    }
  }
}

export function isSame(a: ModelState, b: ModelState): boolean {
  return (
    a.exists === b.exists &&
    a.base === b.base &&
    a.frames.length === b.frames.length &&
    a.frames.every((frame, at) => frame === b.frames[at])
  )
}

export function describe(state: ModelState): string {
  return state.exists ? `a log from ${state.base} on with ${state.frames.length} entries` : 'no log'
}
