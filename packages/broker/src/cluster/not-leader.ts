/** Says who leads instead: the one place that gives NOT_LEADER, LEADER_STARTING and NO_LEADER their words and details. */
import { MillraceError } from '@millrace/record'
import type { NodeDirectory } from './node-directory.ts'

/** What is known about the leadership of a partition or of the catalogue. */
export interface Leadership {
  /** For messages: `orders/2` or `the catalogue`. */
  readonly what: string
  /** 0: unknown. */
  readonly leaderNode: number
  readonly term: number
}

/**
 * The error for a call that needs the leader and did not find it here.
 *
 * @returns LEADER_STARTING where this node leads but does not serve yet; NO_LEADER where no leader is known; else
 *   NOT_LEADER with `leaderNode`, `leaderUrl` and `term` in its details
 */
export function notLeader(directory: NodeDirectory, { what, leaderNode, term }: Leadership): MillraceError {
  if (leaderNode === 0) {
    return new MillraceError('NO_LEADER', `${what} has no leader that node ${directory.self} knows; try again`)
  }
  if (leaderNode === directory.self) {
    return new MillraceError('LEADER_STARTING', `node ${leaderNode} has just become leader of ${what}; try again`)
  }
  const leaderUrl = directory.clientUrl(leaderNode) ?? ''
  return new MillraceError('NOT_LEADER', `node ${directory.self} does not lead ${what}, node ${leaderNode} does`, {
    details: { leaderNode, leaderUrl, term },
  })
}
