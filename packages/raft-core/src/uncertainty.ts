/**
 * A replica whose log ends below what it once acknowledged takes no part in elections: its vote could elect a leader that
 * lacks what a quorum had, with this replica among them. It takes part again once its durable log has been matched, by a
 * leader of its current term, at or above where it once ended; whatever was committed up to there is then back.
 */
import type { GroupState } from './group-state.ts'

/** Call after the matched or the durable part of the log has grown. */
export function settleUncertainty<P>(s: GroupState<P>): void {
  const until = s.uncertainUntil
  if (until === undefined || s.log.snapshot !== undefined) return
  const index = Math.min(s.leaderMatch, s.log.durable)
  const term = s.log.term(index)
  // Matched up to below the base: what follows has not been matched in this term.
  if (term === undefined || term < until.term || (term === until.term && index < until.index)) return
  s.uncertainUntil = undefined
  s.trace({ type: 'certain', id: s.id, index, term })
}
