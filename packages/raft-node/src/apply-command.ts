/** A command for a replicated state machine as a promise of its result. */
import { FrameKind, MillraceError } from '@millrace/record'
import { plainBody } from './entry-frame.ts'
import type { GroupHandle } from './group-handle.ts'
import { lostLeadership, proposalRefusal } from './proposal-refusals.ts'

export interface ApplyOptions {
  /** Default 10,000. When it is over, the command may still be applied. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 10_000

/**
 * Has a command committed and applied, by the group's leader, which must be on this node.
 *
 * @param command belongs to the node from now on, at most 8 MiB
 * @returns what the state machine of this node returned for it
 * @throws MillraceError whose `outcome` says whether the command was not stored and never will be (`NOT_LEADER`,
 *   `NO_LEADER`, `LEADER_STARTING`, `THROTTLED`, `DISK_FULL`, `RECORD_TOO_LARGE`, `PARTITION_HALTED`) or nobody can tell
 *   (`APPEND_TIMEOUT`, `LEADERSHIP_LOST`)
 */
export function applyCommand(group: GroupHandle, command: Uint8Array, options: ApplyOptions = {}): Promise<unknown> {
  const { timeoutMs = TIMEOUT_MS } = options
  return new Promise((resolve, reject) => {
    const taken = group.propose(plainBody(FrameKind.command, command), {
      applied(_frame, result) {
        clearTimeout(timer)
        resolve(result)
      },
      failed(outcome, reason) {
        clearTimeout(timer)
        reject(outcome === 'not_stored' ? lostLeadership(group, reason) : new MillraceError('LEADERSHIP_LOST', reason))
      },
    })
    const timer = setTimeout(() => {
      reject(new MillraceError('APPEND_TIMEOUT', `no majority has stored the command within ${timeoutMs} ms`))
    }, timeoutMs)
    if (taken.type === 'accepted') return
    clearTimeout(timer)
    reject(proposalRefusal(group, taken))
  })
}
