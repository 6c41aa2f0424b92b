/**
 * A state that came to this replica outside its log: of everything committed up to an index. The log stays as it is, and
 * entries are handed out as before, for the host to leave out what the state holds. Only what cannot be handed out is passed
 * over here: the entries of a hole that the state is past.
 */
import { NONE } from './entry.ts'
import type { GroupState } from './group-state.ts'
import type { RestoredState } from './input.ts'
import type { HoleRange } from './log/log-holes.ts'
import { configurationOutsideLog, leaveJointWhenApplied } from './membership/membership.ts'
import { commitTo } from './replication.ts'

export function handleStateRestored<P>(s: GroupState<P>, state: RestoredState): void {
  s.stateMissing = false
  if (s.log.snapshot !== undefined || state.index <= (s.restored?.index ?? 0)) return
  s.restored = state
  // What a state holds is committed. Where this log has the very entry, so is everything before it here.
  if (s.log.matches(state)) commitTo(s, state.index)
  passHoles(s)
}

/** Call when the applied index has moved. */
export function passHoles<P>(s: GroupState<P>): void {
  const { restored } = s
  if (restored === undefined || s.log.snapshot !== undefined) return
  for (let hole = nextHole(s, restored); hole !== undefined; hole = nextHole(s, restored)) pass(s, restored, hole)
  // The newest configuration that any of its entries may hold is known, and in force.
  if (restored.configurationIndex <= s.history.newestIndex) s.log.holes.configurationKnownAt(restored.index)
  if (s.apply.applied >= restored.index) s.restored = undefined
}

/** The hole that apply has come to, and that the state is past. */
function nextHole<P>({ log, apply }: GroupState<P>, restored: RestoredState): HoleRange | undefined {
  if (apply.applying !== apply.applied) return undefined
  const hole = log.holes.ranges.find(({ first, last }) => first <= apply.applied + 1 && last > apply.applied)
  return hole !== undefined && hole.last <= Math.min(restored.index, log.appliable()) ? hole : undefined
}

function pass<P>(s: GroupState<P>, { configuration, configurationIndex }: RestoredState, hole: HoleRange): void {
  if (configurationIndex > s.history.newestIndex && configurationIndex <= hole.last) {
    configurationOutsideLog(s, { index: configurationIndex, configuration }, hole.first - 1)
  }
  s.applyFetch = NONE
  s.fetchedForApply = undefined
  s.applyRetryDue = false
  s.apply.appliedTo(hole.last, 0)
  s.log.configsAppliedTo(hole.last)
  s.trace({ type: 'holePassed', id: s.id, first: hole.first, last: hole.last })
  leaveJointWhenApplied(s)
}
