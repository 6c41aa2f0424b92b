/** What a leader is told whose append was not looked at, because its group is over its credit. */
import type { AppendRequest, ReplicaId } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import type { GroupMessage } from './transport.ts'

/** @param replica that answers */
export function busyAnswer(
  group: number,
  replica: ReplicaId,
  { from, term, prevIndex }: AppendRequest<Frame>,
): GroupMessage {
  const refusal = { type: 'appendResponse', from: replica, to: from, term, index: prevIndex } as const
  return { group, message: { ...refusal, rejected: true, hintIndex: 0, hintTerm: 0 }, busy: true }
}
