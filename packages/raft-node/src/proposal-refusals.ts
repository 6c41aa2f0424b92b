/** What a replica that takes no proposal says to people: one error of the table for each reason. */
import { MillraceError } from '@millrace/record'
import type { GroupHandle, ProposeResult } from './group-handle.ts'

type Dropped = Extract<ProposeResult, { type: 'dropped' }>

/** Another replica leads, or none does. The details name the leader's node, its address where known, and the term. */
export function lostLeadership(group: GroupHandle, reason: string): MillraceError {
  const { leaderNode, term } = group
  if (leaderNode === 0) {
    return new MillraceError('NO_LEADER', `group ${group.group} has no leader: ${reason}`, {
      details: { leaderNode, term },
    })
  }
  const { places } = group.status().configuration
  const address = places.find(place => place.node === leaderNode)?.address
  const where = address === undefined ? '' : ` at ${address}`
  return new MillraceError('NOT_LEADER', `node ${leaderNode}${where} leads group ${group.group}: ${reason}`, {
    details: { leaderNode, term, ...(address !== undefined && { leaderAddress: address }) },
  })
}

/** Why a command was not taken: it is not stored, and never will be. */
export function proposalRefusal(group: GroupHandle, { reason, message }: Dropped): MillraceError {
  switch (reason) {
    case 'starting':
      return new MillraceError('LEADER_STARTING', message)
    case 'uncommittedBytesMax':
      return new MillraceError('THROTTLED', message)
    case 'diskFull':
      return new MillraceError('DISK_FULL', message)
    case 'halted':
      return new MillraceError('PARTITION_HALTED', message)
    case 'transferring':
      return new MillraceError('NO_LEADER', message)
    default:
      return lostLeadership(group, message)
  }
}

/** The same for a change of members. */
export function changeRefusal(group: GroupHandle, dropped: Dropped): MillraceError {
  const { reason, message } = dropped
  switch (reason) {
    case 'configChangePending':
      return new MillraceError('CHANGE_IN_PROGRESS', `group ${group.group}: ${message}`)
    case 'expectedIndex':
      return new MillraceError('EXPECTATION_FAILED', `group ${group.group}: ${message}`)
    case 'invalidConfigChange':
      return new MillraceError('INVALID_ARGUMENT', `group ${group.group}: ${message}`)
    default:
      return proposalRefusal(group, dropped)
  }
}

/** Whatever is asked of a replica that has stopped for good. */
export function haltedError(group: number, reason: string): MillraceError {
  return new MillraceError('PARTITION_HALTED', `group ${group} takes no part: ${reason}`)
}
