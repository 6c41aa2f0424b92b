/** Who waits for a read index, and who waits for an applied index, of one group. One round serves all who ask in a turn. */
import type { LogIndex, RandomInt, ReadState, StepResult } from '@millrace/raft-core'
import { MillraceError } from '@millrace/record'

/** Who waits for a read index, and who for an applied index, of one group. */
const READ_WAITERS_MAX = 65_536

interface IndexWaiter {
  readonly resolve: (index: LogIndex) => void
  readonly reject: (error: Error) => void
}

interface Round {
  readonly waiters: readonly IndexWaiter[]
  readonly deadlineMs: number
}

interface AppliedWaiter {
  readonly index: LogIndex
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class ReadRequests {
  #asking: IndexWaiter[] = []
  readonly #rounds = new Map<number, Round>()
  /** Of those who ask and of all rounds. */
  #indexWaiters = 0
  #waiting: AppliedWaiter[] = []
  /** Starts anywhere, so that an answer to this replica before a restart is not taken for one of now. */
  #lastContext: number

  constructor(randomInt: RandomInt) {
    this.#lastContext = 1 + randomInt(2 ** 30)
  }

  /** Nobody waits for a read index. */
  get idle(): boolean {
    return this.#asking.length === 0 && this.#rounds.size === 0
  }

  /** Resolves with a read index; `ask` sends the round, once in this turn. */
  readIndex(): Promise<LogIndex> {
    if (this.#indexWaiters >= READ_WAITERS_MAX) return Promise.reject(tooMany('a read index'))
    this.#indexWaiters += 1
    return new Promise((resolve, reject) => this.#asking.push({ resolve, reject }))
  }

  /** Opens a round for all who asked since the last one. */
  flush(ask: (context: number) => StepResult, deadlineMs: number): void {
    if (this.#asking.length === 0) return
    const waiters = this.#asking
    this.#asking = []
    this.#lastContext += 1
    this.#rounds.set(this.#lastContext, { waiters, deadlineMs })
    const result = ask(this.#lastContext)
    if (result.type === 'dropped') this.#fail(this.#lastContext, result.message)
  }

  /** The core's answer to a round. */
  answered(read: ReadState): void {
    const round = this.#rounds.get(read.context)
    if (round === undefined) return
    if (read.aborted === true) {
      this.#fail(read.context, 'the leader lost its office before it had confirmed the read')
      return
    }
    this.#rounds.delete(read.context)
    this.#indexWaiters -= round.waiters.length
    for (const waiter of round.waiters) waiter.resolve(read.index)
  }

  expire(nowMs: number): void {
    for (const [context, round] of this.#rounds) {
      if (round.deadlineMs <= nowMs) this.#fail(context, 'no leader confirmed the read within an election timeout')
    }
  }

  /** Resolves when `index` is applied. */
  waitApplied(index: LogIndex, applied: LogIndex): Promise<void> {
    if (index <= applied) return Promise.resolve()
    if (this.#waiting.length >= READ_WAITERS_MAX) return Promise.reject(tooMany('an applied index'))
    return new Promise((resolve, reject) => this.#waiting.push({ index, resolve, reject }))
  }

  applied(index: LogIndex): void {
    if (this.#waiting.length === 0) return
    const due = this.#waiting.filter(waiter => waiter.index <= index)
    if (due.length === 0) return
    this.#waiting = this.#waiting.filter(waiter => waiter.index > index)
    for (const waiter of due) waiter.resolve()
  }

  /** The group takes no further part: nobody will be answered any more. */
  close(error: Error): void {
    const waiters = [...this.#asking, ...[...this.#rounds.values()].flatMap(round => round.waiters), ...this.#waiting]
    this.#asking = []
    this.#rounds.clear()
    this.#indexWaiters = 0
    this.#waiting = []
    for (const waiter of waiters) waiter.reject(error)
  }

  #fail(context: number, reason: string): void {
    const round = this.#rounds.get(context)
    this.#rounds.delete(context)
    this.#indexWaiters -= round?.waiters.length ?? 0
    for (const waiter of round?.waiters ?? []) waiter.reject(new MillraceError('NO_LEADER', reason))
  }
}

function tooMany(what: string): MillraceError {
  return new MillraceError('THROTTLED', `${READ_WAITERS_MAX} readers wait for ${what} of this group already`)
}
