/** The real core with somebody who looks on: told of every step, and of what it did to the status. */
import {
  type InitialState,
  type Input,
  type RaftConfig,
  RaftGroup,
  type RandomInt,
  type StepResult,
} from '@millrace/raft-core'

export interface CoreWatch<P> {
  before(input: Input<P>): void
  after(): void
}

export class WatchedCore<P> extends RaftGroup<P> {
  readonly #watch: CoreWatch<P>

  constructor(config: RaftConfig, initial: InitialState<P>, randomInt: RandomInt, watch: CoreWatch<P>) {
    super(config, initial, randomInt)
    this.#watch = watch
  }

  override step(input: Input<P>): StepResult {
    this.#watch.before(input)
    const result = super.step(input)
    this.#watch.after()
    return result
  }
}
