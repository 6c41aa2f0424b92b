/** Why a group on this node takes no proposal, as clients are told it. */
import type { GroupHandle, ProposeResult } from '@millrace/raft-node'
import { MillraceError } from '@millrace/record'

/** What of a group the errors need. */
export type Leadership = Pick<GroupHandle, 'leaderNode' | 'term' | 'status'>

/**
 * Which of the three ways of not leading it is: NOT_LEADER with the leader, LEADER_STARTING or NO_LEADER.
 *
 * @param what the group as people know it
 */
export function notLeading(group: Leadership, what: string, reason?: string): MillraceError {
  const { leaderNode, term } = group
  const because = reason === undefined ? '' : ` (${reason})`
  const details = { leaderNode, term }
  if (leaderNode === 0)
    return new MillraceError('NO_LEADER', `${what} has no leader at the moment${because}`, { details })
  if (group.status().role === 'leader') {
    return new MillraceError('LEADER_STARTING', `the leader of ${what} is just starting${because}`, { details })
  }
  return new MillraceError('NOT_LEADER', `node ${leaderNode} leads ${what}${because}`, { details })
}

/** The error for a proposal that the node did not take; nothing was stored. */
export function droppedProposal(
  group: Leadership,
  what: string,
  { reason, message }: ProposeResult & { type: 'dropped' },
): MillraceError {
  const details = { leaderNode: group.leaderNode, term: group.term }
  switch (reason) {
    case 'notLeader':
    case 'removed':
      return notLeading(group, what, message)
    case 'noLeader':
    case 'transferring':
      return new MillraceError('NO_LEADER', message, { details })
    case 'starting':
      return new MillraceError('LEADER_STARTING', message, { details })
    case 'uncommittedBytesMax':
      return new MillraceError('THROTTLED', message, { details })
    case 'diskFull':
      return new MillraceError('DISK_FULL', message, { details })
    case 'halted':
      return new MillraceError('PARTITION_HALTED', message, { details })
    default: {
      const refused = `the node refused what was proposed to ${what}: ${reason}: ${message}`
      return new MillraceError('INTERNAL', refused, { details, outcome: 'not_stored' })
    }
  }
}
