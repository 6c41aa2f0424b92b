/** Which node to pass a call on to, that needs the leader of a partition. */
import type { BrokerContext } from '../broker-context.ts'
import { notLeader } from './not-leader.ts'

/**
 * The node that leads, where it is another one.
 *
 * @param term that this node knows of the partition; 0: none
 * @param forwarded the call came from another node, and goes no further
 * @throws MillraceError NOT_LEADER, NO_LEADER, LEADER_STARTING
 */
export function leaderElsewhere(
  { topics, directory }: Pick<BrokerContext, 'topics' | 'directory'>,
  topic: string,
  partition: number,
  { term, forwarded }: { readonly term: number; readonly forwarded: boolean },
): number {
  const leaderNode = topics.leaderOf(topic, partition)
  const refusal = notLeader(directory, { what: `${topic}/${partition}`, leaderNode, term })
  if (forwarded || refusal.code !== 'NOT_LEADER') throw refusal
  return leaderNode
}
