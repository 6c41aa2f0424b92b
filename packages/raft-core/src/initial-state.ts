/** Refuses a state that no storage can have: a group that starts from one would break promises made before. */
import type { InitialState } from './config.ts'

/** @throws RangeError naming what does not fit */
export function checkInitialState(initial: InitialState): void {
  const { hardState, base, lastIndex, terms, applied, entries = [], holes = [] } = initial
  const refuse = (problem: string): never => {
    throw new RangeError(`the initial state is not one of a log (${base.index}, ${lastIndex}]: ${problem}`)
  }
  if (lastIndex < base.index) refuse('it ends before it begins')
  if (hardState.commit < base.index || hardState.commit > lastIndex) refuse(`commit ${hardState.commit} is outside`)
  if (applied > hardState.commit) refuse(`applied ${applied} is above commit ${hardState.commit}`)
  if (entries.some((entry, i) => entry.index !== lastIndex - entries.length + 1 + i)) {
    refuse('the entries given are not its newest ones')
  }
  if (lastIndex > base.index && terms[0]?.first !== base.index + 1) refuse('the terms do not begin after its base')
  if (lastIndex === base.index && terms.length > 0) refuse('it is empty but has terms')
  for (const [i, run] of terms.entries()) {
    const previous = terms[i - 1]
    if (previous !== undefined && (run.first <= previous.first || run.term <= previous.term))
      refuse('terms do not rise')
    if (run.first > lastIndex) refuse(`term ${run.term} begins after its end`)
  }
  for (const [i, hole] of holes.entries()) {
    const after = holes[i - 1]?.last ?? base.index
    if (hole.first <= after || hole.last < hole.first || hole.last > lastIndex) {
      refuse(`a hole of entries ${hole.first} to ${hole.last} is not in it, after entry ${after}`)
    }
  }
  const lastTerm = terms.at(-1)?.term ?? 0
  if (lastTerm > hardState.term) refuse(`its last term ${lastTerm} is above the current term ${hardState.term}`)
}
