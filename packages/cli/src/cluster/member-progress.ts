/** How far the members of all groups are on the way to what the catalogue wishes for a node. Pure: reports in, figures out. */
import type { DescribeMembersResponse, NodeStatusResponse, ReplicaStatus } from '@millrace/proto'
import { TOPIC_LIMITS } from '@millrace/topics'

export interface MemberProgress {
  /** The node waits for a new data folder to join. */
  readonly admits: boolean
  /** Groups that concern the node: those that are to have a replica there, or that still have an old one. */
  readonly groups: number
  /** Those that are as they are to be. */
  readonly settled: number
}

/** @param statuses of the nodes that answered */
export function memberProgress(
  { nodes, groups }: DescribeMembersResponse,
  statuses: readonly NodeStatusResponse[],
  node: number,
): MemberProgress {
  const leaders = leadersOf(statuses)
  let concerned = 0
  let settled = 0
  for (const { group, replicas } of groups) {
    const wished = replicas.find(place => place.node === node)?.replica
    const leader = leaders.get(group)
    const found = leader === undefined ? undefined : replicasOn(node, leader)
    // A group without a leader may have anything.
    if (wished === undefined && found?.length === 0) continue
    concerned++
    const [only, ...others] = found ?? []
    if (others.length > 0 || only === undefined || only.replica !== wished) continue
    if (!only.learner || (leader !== undefined && staysLearner(only, leader))) settled++
  }
  return { admits: nodes.find(entry => entry.node === node)?.admits === true, groups: concerned, settled }
}

/** The catalogue has enough voters, and this replica of it has everything. */
function staysLearner({ lag }: PlacedReplica, { status: { group, followers } }: Leader): boolean {
  const voters = 1 + followers.filter(({ learner }) => !learner).length
  return group === 0n && voters >= TOPIC_LIMITS.catalogueVotersMax && lag === 0n
}

interface PlacedReplica {
  readonly replica: number
  readonly learner: boolean
  /** Entries behind the leader. */
  readonly lag: bigint
}

interface Leader {
  readonly node: number
  readonly status: ReplicaStatus
}

function leadersOf(statuses: readonly NodeStatusResponse[]): ReadonlyMap<bigint, Leader> {
  const leaders = new Map<bigint, Leader>()
  for (const { node, replicas } of statuses) {
    for (const status of replicas) {
      if (status.role !== 'leader') continue
      // Two may call themselves leader for a moment: the one of the higher term is.
      const known = leaders.get(status.group)
      if (known === undefined || known.status.term < status.term) leaders.set(status.group, { node, status })
    }
  }
  return leaders
}

function replicasOn(node: number, leader: Leader): readonly PlacedReplica[] {
  const others = leader.status.followers.filter(follower => follower.node === node)
  return leader.node === node ? [{ replica: leader.status.replica, learner: false, lag: 0n }, ...others] : others
}
