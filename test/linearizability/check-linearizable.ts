/**
 * Whether a history of concurrent operations on registers is linearizable: whether each can be given one moment between its
 * call and its return, so that one after the other they give the answers that were seen.
 *
 * A history is linearizable if and only if that of each object is (Herlihy & Wing, "Linearizability: a correctness condition
 * for concurrent objects", 1990, theorem 1), so each key is searched by itself.
 */
import { describeHistory, describeOperation, type RegisterOperation, type RegisterValue } from './register-history.ts'
import { RegisterSearch, type SearchResult } from './register-search.ts'
import { smallestViolation } from './smallest-violation.ts'

export interface LinearizabilityOptions {
  /** What every register holds at first. Default null. */
  readonly initial?: RegisterValue
  /** Bound of the search, per key. Default 1,000,000. */
  readonly configurationsMax?: number
}

/** Bound of each attempt to make a violation smaller: what takes longer is left as it is. */
const SHRINKING_CONFIGURATIONS_MAX = 10_000

/** `undecided`: the bound was reached before an answer was found. */
export type LinearizabilityVerdict =
  | { readonly type: 'linearizable'; readonly configurations: number }
  | {
      readonly type: 'violation' | 'undecided'
      readonly key: string
      readonly message: string
      /** Of a violation: some operations of the key, which are one by themselves; see `smallestViolation`. */
      readonly smallest: readonly RegisterOperation[]
    }

/** Looks at each key. Of those that are not linearizable, the one with the smallest violation is the answer. */
export function checkLinearizable(
  history: readonly RegisterOperation[],
  { initial = null, configurationsMax = 1_000_000 }: LinearizabilityOptions = {},
): LinearizabilityVerdict {
  let configurations = 0
  const search = (operations: readonly RegisterOperation[], bound: number = configurationsMax): SearchResult =>
    new RegisterSearch(operations, bound).run(initial)
  const violations: Violation[] = []
  let undecided: LinearizabilityVerdict | undefined
  for (const [key, operations] of Map.groupBy(history, operation => operation.key)) {
    for (const operation of operations) assertInOrder(operation)
    const result = search(operations)
    configurations += result.configurations
    if (result.verdict === 'violation') {
      const smallest = smallestViolation(operations, shorter => {
        return search(shorter, SHRINKING_CONFIGURATIONS_MAX).verdict === 'violation'
      })
      violations.push({ key, operations: operations.length, smallest })
    } else if (result.verdict === 'undecided') {
      const message = `${key} is undecided after ${result.configurations} configurations: raise configurationsMax`
      undecided ??= { type: 'undecided', key, message, smallest: [] }
    }
  }
  const [worst] = violations.toSorted((a, b) => a.smallest.length - b.smallest.length)
  if (worst === undefined) return undecided ?? { type: 'linearizable', configurations }
  const { key, smallest } = worst
  return { type: 'violation', key, smallest, message: explain(worst) }
}

interface Violation {
  readonly key: string
  /** Of the key, in the whole history. */
  readonly operations: number
  readonly smallest: readonly RegisterOperation[]
}

function assertInOrder(operation: RegisterOperation): void {
  const { calledAt, returnedAt = calledAt } = operation
  if (!(returnedAt >= calledAt)) throw new RangeError(`it returned before its call: ${describeOperation(operation)}`)
}

function explain({ key, operations, smallest }: Violation): string {
  return [
    `${key} is not linearizable: no order explains these ${smallest.length} of its ${operations} operations`,
    ...describeHistory(smallest),
  ].join('\n')
}
