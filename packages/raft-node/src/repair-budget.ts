/** What all groups of a node share when they repair their logs: turns, a rate, and the count of what was done. */
import type { Clock } from './node.ts'
import { RateLimit } from './rate-limit.ts'

/** Groups that repair their logs at a time; each holds one part of a hole in memory. */
const REPAIRS_RUNNING_MAX = 2
/** Frames fetched per second, over all groups. */
const REPAIR_BYTES_PER_SECOND_MAX = 67_108_864

/** Since the start of the node. */
export interface RepairTraffic {
  /** Entries that could not be read and can be again, and their bytes. */
  framesRepaired: number
  bytesRepaired: number
  /** Entries given to other nodes, for their repairs. */
  framesServed: number
  /** States taken from other nodes, and their bytes, what was received in vain included. */
  statesFetched: number
  stateBytesFetched: number
  /** States given to other nodes. */
  statesServed: number
}

export class RepairBudget {
  readonly traffic: RepairTraffic = {
    ...{ framesRepaired: 0, bytesRepaired: 0, framesServed: 0 },
    ...{ statesFetched: 0, stateBytesFetched: 0, statesServed: 0 },
  }
  readonly #rate: RateLimit
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(clock: Pick<Clock, 'monotonicMs' | 'setTimer'>) {
    this.#rate = new RateLimit(clock, REPAIR_BYTES_PER_SECOND_MAX)
  }

  /** Groups that repair now, and those that wait for their turn. */
  get running(): number {
    return this.#running + this.#waiting.length
  }

  /** Runs a repair when its turn has come. */
  async run<T>(repair: () => Promise<T>): Promise<T> {
    if (this.#running < REPAIRS_RUNNING_MAX) this.#running += 1
    // Whoever ends hands its turn over.
    else await new Promise<void>(resolve => this.#waiting.push(resolve))
    try {
      return await repair()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }

  /** Resolves when so many bytes may be asked for. */
  grant(bytes: number): Promise<void> {
    return new Promise(resolve => this.#rate.after(bytes, resolve))
  }
}
