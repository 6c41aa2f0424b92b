/**
 * The search for a linearization of the operations on one register.
 *
 * Wing & Gong, "Testing and verifying concurrent objects" (1993): take any operation that was called before the first return
 * of those not taken yet, see whether the register allows its answer, go on; go back where nothing is left to take. Lowe,
 * "Testing for linearizability" (2017): never visit the same set of taken operations with the same value twice. Three
 * observations about registers keep the search small, and lose no linearization:
 *
 * - An operation that changes nothing and whose answer is right now is taken at once: taking it later is never better.
 * - An operation of unknown outcome is taken only to be observed: by a read, or a compare-and-set, that comes right after
 *   it. Leaving out one that is not observed changes nothing for the others. One that is never taken never took effect.
 * - Of the writes of unknown outcome whose value no other operation names, all that were called are alike: one is tried.
 */
import type { RegisterOperation, RegisterValue } from './register-history.ts'

export interface SearchResult {
  readonly verdict: 'linearizable' | 'violation' | 'undecided'
  readonly configurations: number
}

/** Where the search is: what has been taken, and what the register holds. */
interface Configuration {
  /** Known operations before this one are taken. */
  readonly low: number
  /** Known operations from `low` on that are taken, ascending. */
  readonly ahead: readonly number[]
  /** Unknown operations that are taken, ascending. */
  readonly used: readonly number[]
  readonly value: RegisterValue
  /** The last one taken is of unknown outcome, and nobody has observed it yet. */
  readonly unobserved: boolean
}

type Known = RegisterOperation & { readonly returnedAt: number }

export class RegisterSearch {
  readonly #known: readonly Known[]
  readonly #unknown: readonly RegisterOperation[]
  /** Values that a read or a compare-and-set names. */
  readonly #named = new Set<RegisterValue>()
  readonly #configurationsMax: number

  /** @param configurationsMax bound of the work: some microseconds each */
  constructor(operations: readonly RegisterOperation[], configurationsMax: number) {
    const sorted = [...operations].sort((a, b) => a.calledAt - b.calledAt)
    this.#known = sorted.filter((operation): operation is Known => operation.returnedAt !== undefined)
    this.#unknown = sorted.filter(({ returnedAt, action }) => returnedAt === undefined && action.type !== 'read')
    this.#configurationsMax = configurationsMax
    for (const { action } of sorted) {
      if (action.type === 'read') this.#named.add(action.value)
      if (action.type === 'cas') this.#named.add(action.expected)
    }
  }

  run(initial: RegisterValue): SearchResult {
    const seen = new Set<string>()
    const stack: Configuration[] = [{ low: 0, ahead: [], used: [], value: initial, unobserved: false }]
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const at = this.#takeObservers(next)
      if (at.low === this.#known.length) return { verdict: 'linearizable', configurations: seen.size }
      const id = identityOf(at)
      if (seen.has(id)) continue
      if (seen.size >= this.#configurationsMax) return { verdict: 'undecided', configurations: seen.size }
      seen.add(id)
      // The last one pushed is tried first: those of known outcome, in the order of their calls.
      stack.push(...this.#unknownSteps(at), ...this.#knownSteps(at).reverse())
    }
    return { verdict: 'violation', configurations: seen.size }
  }

  /** Takes everything that changes nothing and whose answer is right. */
  #takeObservers(start: Configuration): Configuration {
    let at = start
    for (;;) {
      const fitting = this.#nextOf(at).known.filter(index => observes(this.#known[index]!, at.value))
      if (fitting.length === 0) return at
      at = { ...this.#taken(at, fitting), unobserved: false }
    }
  }

  #knownSteps(at: Configuration): Configuration[] {
    return this.#nextOf(at).known.flatMap(index => {
      const { action } = this.#known[index]!
      if (action.type === 'read') return []
      const fits = action.type === 'write' ? !at.unobserved : action.done && swaps(action, at.value)
      if (!fits) return []
      return [{ ...this.#taken(at, [index]), value: action.value, unobserved: false }]
    })
  }

  #unknownSteps(at: Configuration): Configuration[] {
    const { firstReturn } = this.#nextOf(at)
    const steps: Configuration[] = []
    let anonymousTried = false
    for (const [index, { action, calledAt }] of this.#unknown.entries()) {
      if (calledAt > firstReturn) break
      if (action.type === 'read' || at.used.includes(index)) continue
      if (action.type === 'cas' ? !swaps(action, at.value) : at.unobserved) continue
      const anonymous = action.type === 'write' && !this.#named.has(action.value)
      if (anonymous && anonymousTried) continue
      anonymousTried ||= anonymous
      steps.push({ ...at, used: inserted(at.used, index), value: action.value, unobserved: true })
    }
    return steps
  }

  /** Known operations that nothing else has to precede, and the first return among those not taken. */
  #nextOf({ low, ahead }: Configuration): { known: number[]; firstReturn: number } {
    const known: number[] = []
    let firstReturn = Number.POSITIVE_INFINITY
    for (let index = low; index < this.#known.length; index++) {
      const { calledAt, returnedAt } = this.#known[index]!
      if (calledAt > firstReturn) break
      if (ahead.includes(index)) continue
      known.push(index)
      firstReturn = Math.min(firstReturn, returnedAt)
    }
    return { known, firstReturn }
  }

  #taken(at: Configuration, indexes: readonly number[]): Configuration {
    const ahead = indexes.reduce(inserted, at.ahead)
    let gone = 0
    while (ahead[gone] === at.low + gone) gone += 1
    return { ...at, low: at.low + gone, ahead: ahead.slice(gone) }
  }
}

/** Changes nothing, and answers what the register holds. */
function observes({ action }: RegisterOperation, value: RegisterValue): boolean {
  if (action.type === 'read') return action.value === value
  return action.type === 'cas' && !action.done && action.expected !== value
}

function swaps(action: RegisterOperation['action'], value: RegisterValue): boolean {
  return action.type === 'cas' && action.expected === value
}

function inserted(sorted: readonly number[], index: number): readonly number[] {
  const at = sorted.findIndex(other => other > index)
  return at < 0 ? [...sorted, index] : [...sorted.slice(0, at), index, ...sorted.slice(at)]
}

function identityOf({ low, ahead, used, value, unobserved }: Configuration): string {
  return JSON.stringify([low, ahead, used, value, unobserved])
}
