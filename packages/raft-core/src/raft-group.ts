/** The Raft algorithm for one replica of one group, as a value that takes inputs and gives outputs. */
import type { InitialState, RaftConfig, RandomInt } from './config.ts'
import type { LogIndex, Term } from './entry.ts'
import { GroupState } from './group-state.ts'
import { checkInitialState } from './initial-state.ts'
import type { Input, StepResult } from './input.ts'
import type { Output } from './output.ts'
import { hasCommittedInTerm } from './reads/reads.ts'
import { resolveConfig } from './settings.ts'
import { type GroupStatus, statusOf } from './status.ts'
import { stepInput } from './step.ts'
import { hasOutput, takeOutput } from './take-output.ts'

/**
 * One replica of one Raft group. Does no I/O, reads no clock and draws no randomness of its own: the same inputs give the
 * same outputs. The host calls {@link step} for everything that happens, then {@link takeOutput} once, and carries out what
 * it says; see docs/internals/raft-core.md for the order.
 *
 * A throw from any method means that an invariant does not hold (two leaders in one term, a committed entry about to be
 * replaced): the host must stop this replica.
 *
 * Semantics: Raft (Ongaro, Ousterhout 2014; Ongaro's thesis) as etcd-io/raft does it with asynchronous storage writes.
 */
export class RaftGroup<P = unknown> {
  readonly #state: GroupState<P>

  /**
   * @param initial what storage knows
   * @param randomInt a uniform integer in [0, bound)
   * @throws RangeError for a setting out of range, or a state that no storage can have
   */
  constructor(config: RaftConfig, initial: InitialState<P>, randomInt: RandomInt) {
    checkInitialState(initial)
    this.#state = new GroupState<P>(resolveConfig(config), initial, randomInt)
  }

  /** Takes one input. The answer is immediate; what follows from it is in the next output. */
  step(input: Input<P>): StepResult {
    return stepInput(this.#state, input)
  }

  /** Whether {@link takeOutput} has anything to say. */
  hasOutput(): boolean {
    return hasOutput(this.#state)
  }

  /** Everything to be done since the last call. The caller must do it: it is said once. */
  takeOutput(): Output<P> {
    return takeOutput(this.#state)
  }

  /** A snapshot of the state, for people and tests. Not for hot paths. */
  status(): GroupStatus {
    return statusOf(this.#state)
  }

  /** Term of the entry at `index`; undefined below the log's base and above its end. */
  term(index: LogIndex): Term | undefined {
    return this.#state.log.term(index)
  }

  /** Sets the election timeout, in ticks, until it is drawn again by the next change of role. For tests and tools. */
  overrideElectionTimeout(ticks: number): void {
    this.#state.electionTimeout = ticks
  }

  /**
   * Whether this leader may answer a read without asking, once it has applied what is committed; to be asked when the value
   * is read. Never before the first commit of its term: until then it does not know what earlier terms have committed.
   */
  leaseValid(nowMs: number): boolean {
    return this.#state.role === 'leader' && hasCommittedInTerm(this.#state) && this.#state.lease.valid(nowMs)
  }
}
