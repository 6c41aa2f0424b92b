/**
 * A short history that is not linearizable, out of a long one. Each step keeps linearizable histories linearizable, so what is
 * left is a violation by itself, and not made by leaving things out:
 *
 * - everything after some moment goes: what had not returned by then is of unknown outcome;
 * - an observer (a read, or a compare-and-set that was refused) goes;
 * - a write or a compare-and-set becomes one of unknown outcome, which may take effect later, or never;
 * - one of unknown outcome goes where nobody that is left can have noticed it.
 */
import type { RegisterAction, RegisterOperation, RegisterValue } from './register-history.ts'

type History = readonly RegisterOperation[]

/** @param violates whether a history is surely not linearizable; it must hold for `history`, of one key */
export function smallestViolation(history: History, violates: (history: History) => boolean): History {
  let left = shortestPrefix(history, violates)
  // Observers again last: one may have been of use only to what was a known write before.
  for (const [ofKind, replace] of [DROP_OBSERVERS, FORGET_RETURNS, DROP_OBSERVERS])
    left = replaced(left, ofKind, replace, violates)
  return withoutUnnoticed(left).toSorted((a, b) => a.calledAt - b.calledAt)
}

type Replacement = readonly [ofKind: (operation: RegisterOperation) => boolean, replace: (some: History) => History]

const DROP_OBSERVERS: Replacement = [isObserver, () => []]
const FORGET_RETURNS: Replacement = [isKnownChange, changes => changes.map(unknownFrom)]

/** Tries the replacement on all of a kind at once, then on halves, quarters, and so on, down to single ones. */
function replaced(
  history: History,
  ofKind: Replacement[0],
  replace: Replacement[1],
  violates: (history: History) => boolean,
): History {
  let left = history
  for (let size = history.length; size >= 1; size = Math.floor(size / 2)) {
    const kind = left.filter(ofKind)
    for (let from = 0; from < kind.length; from += size) {
      const some = kind.slice(from, from + size)
      const others = left.filter(operation => !some.includes(operation))
      const shorter = [...others, ...replace(some)]
      if (violates(shorter)) left = shorter
    }
  }
  return left
}

/** A refused compare-and-set notices any value but one, so with one of those nothing goes. */
function withoutUnnoticed(history: History): History {
  if (history.some(operation => operation.action.type === 'cas' && isObserver(operation))) return history
  const named = new Set(history.flatMap(({ action }) => valueNeeded(action)))
  const noticed = history.filter(({ action, returnedAt }) => returnedAt !== undefined || named.has(action.value))
  return noticed.length === history.length ? history : withoutUnnoticed(noticed)
}

/** Longer ones are violations too, so the search halves. */
function shortestPrefix(history: History, violates: (history: History) => boolean): History {
  const ends = history.flatMap(({ returnedAt }) => returnedAt ?? []).toSorted((a, b) => a - b)
  let [low, high] = [0, ends.length - 1]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (violates(until(history, ends[middle]!))) high = middle
    else low = middle + 1
  }
  return until(history, ends[high]!)
}

function until(history: History, end: number): History {
  return history
    .filter(({ calledAt }) => calledAt <= end)
    .map(operation =>
      operation.returnedAt !== undefined && operation.returnedAt > end ? unknownFrom(operation) : operation,
    )
    .filter(({ action, returnedAt }) => action.type !== 'read' || returnedAt !== undefined)
}

function unknownFrom({ returnedAt, ...operation }: RegisterOperation): RegisterOperation {
  return operation
}

function isObserver({ action, returnedAt }: RegisterOperation): boolean {
  return action.type === 'read' || (action.type === 'cas' && !action.done && returnedAt !== undefined)
}

function isKnownChange(operation: RegisterOperation): boolean {
  return operation.returnedAt !== undefined && !isObserver(operation)
}

/** What the register must hold for an answer as this one. */
function valueNeeded(action: RegisterAction): readonly RegisterValue[] {
  if (action.type === 'write') return []
  return [action.type === 'read' ? action.value : action.expected]
}
