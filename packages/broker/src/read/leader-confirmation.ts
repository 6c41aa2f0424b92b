/**
 * Makes the first answer of a read linearizable: a leader that was replaced and has not heard of it yet finds out here,
 * before it shows an old high watermark (ReadIndex; Raft dissertation, section 6.4).
 */
import { MillraceError } from '@millrace/record'
import type { Partition, Topics } from '@millrace/topics'
import { within } from '../timing.ts'

const CONFIRM_MS = 1_000

/**
 * Resolves when a majority has confirmed that this node still leads, and all that was committed before the call is
 * applied here.
 *
 * @throws MillraceError NO_LEADER where nobody confirms it within a second
 */
export async function confirmLeadership(topics: Topics, partition: Partition): Promise<void> {
  const handle = topics.replicas().find(replica => replica.handle.group === partition.group)?.handle
  const confirmed = handle?.readIndex().then(index => handle.waitApplied(index))
  if (confirmed !== undefined && (await within(CONFIRM_MS, confirmed))) return
  throw new MillraceError(
    'NO_LEADER',
    `no majority confirms that this node leads ${partition.topic}/${partition.partition}; try again`,
  )
}
