/** Logical time: election timeouts, heartbeats, and the end of what may only last for an election timeout. */

import { isPromotable, startElection } from './election.ts'
import { NONE } from './entry.ts'
import type { GroupState } from './group-state.ts'
import { checkQuorum } from './leader.ts'
import { sendHeartbeats } from './reads/reads.ts'
import { abortTransfer } from './roles.ts'
import { finishTransfer } from './transfer.ts'

export function tick<P>(s: GroupState<P>): void {
  if (s.voteEmbargoTicks > 0) s.voteEmbargoTicks--
  for (const context of s.reads.expire(s.settings.electionTicks)) {
    s.readStates.push({ index: 0, context, aborted: true })
  }
  s.electionElapsed++
  if (s.role === 'leader') tickLeader(s)
  else if (isPromotable(s) && s.electionElapsed >= campaignTicks(s)) {
    s.electionElapsed = 0
    startElection(s, s.settings.preVote ? 'preElection' : 'election')
  }
}

/** With a hole in its log a replica waits for longer than any whole one does. */
function campaignTicks<P>(s: GroupState<P>): number {
  return s.log.holes.none ? s.electionTimeout : s.electionTimeout + s.settings.electionTicks
}

function tickLeader<P>(s: GroupState<P>): void {
  s.heartbeatElapsed++
  if (s.electionElapsed >= s.settings.electionTicks) {
    s.electionElapsed = 0
    if (s.settings.checkQuorum) checkQuorum(s)
    // A target that has not won by now is given up, and proposals are taken again.
    abortTransfer(s)
  }
  // The check may have ended the leadership.
  if (s.role === 'leader' && s.heartbeatElapsed >= s.settings.heartbeatTicks) {
    s.heartbeatElapsed = 0
    sendHeartbeats(s)
    // It may have been lost, or have come before the target knew that it is a voter.
    if (s.transferee !== NONE) finishTransfer(s, s.transferee)
  }
}
