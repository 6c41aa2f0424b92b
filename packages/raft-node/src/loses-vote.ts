/** Whether a change of configuration takes the vote of a replica. */
import type { ReplicaId } from '@millrace/raft-core'
import type { GroupConfiguration } from './group-handle.ts'

/** One that came later than `before` is no voter there yet, which is something else. */
export function losesVote(replica: ReplicaId, before: GroupConfiguration, after: GroupConfiguration): boolean {
  return votes(before, replica) && !votes(after, replica)
}

function votes({ voters, votersOutgoing }: GroupConfiguration, replica: ReplicaId): boolean {
  return voters.includes(replica) || votersOutgoing.includes(replica)
}
