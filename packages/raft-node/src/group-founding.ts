/**
 * Founding a group whose nodes are known from the start and written down in nobody's catalogue: for programs that run a
 * fixed set of nodes.
 *
 * Every founding node calls it once, with the same arguments but its own id. A replica that was born once must never be
 * born again under its id: it would have forgotten its votes and what it acknowledged.
 */
import type { Birth, GroupLog, LogStore } from '@millrace/log-store'
import { birthRecord, UNINITIALISED } from './birth-record.ts'
import type { GroupConfiguration, ReplicaPlace } from './group-handle.ts'

export interface GroupFounding {
  readonly clusterId: string
  readonly group: number
  /** Ids of all founding nodes, this one among them, in any order; each gets a replica that votes. */
  readonly nodes: readonly number[]
  /** The node whose store this is. */
  readonly nodeId: number
  /** Where nodes are reached (`host:port`), for those that come later and know only one of them. */
  readonly addresses?: ReadonlyMap<number, string>
  /** Allows `GroupHandle.leaseRead`. For ever: it is not changed later. Default false. */
  readonly leaseReads?: boolean
}

/**
 * Makes this node's replica of a new group, durably. Not for a node that comes later, or whose folder was lost: it asks
 * nobody, `RaftNode.bootstrap` does.
 *
 * @throws RangeError where `nodeId` is not one of the founding nodes
 * @throws LogError EXISTS where the store holds the group already
 */
export async function birthGroup(store: LogStore, founding: GroupFounding): Promise<GroupLog> {
  return await store.create(founding.group, birthOf(founding))
}

/** @throws RangeError where `nodeId` is not one of the founding nodes */
export function birthOf({ clusterId, group, nodeId, leaseReads, addresses, ...founding }: GroupFounding): Birth {
  const nodes = [...new Set(founding.nodes)].sort((a, b) => a - b)
  const places = nodes.map((node, i): ReplicaPlace => {
    const address = addresses?.get(node)
    return { replica: i + 1, node, ...(address !== undefined && { address }) }
  })
  const own = places.find(place => place.node === nodeId)
  if (own === undefined) throw new RangeError(`node ${nodeId} is not one of the founding nodes ${nodes.join(', ')}`)
  const configuration: GroupConfiguration = {
    ...{ voters: places.map(place => place.replica), votersOutgoing: [], learners: [], learnersNext: [] },
    ...{ autoLeave: false, places, ...(leaseReads === true && { leaseReads }) },
  }
  const base = birthRecord({ clusterId, group, createIndex: 0, createTimestamp: 0, configuration })
  return { replicaId: own.replica, base }
}

export interface GroupJoining {
  readonly group: number
  /** The id that the group's leader is told together with this node's id: one that the group never had. */
  readonly replica: number
}

/**
 * Makes this node's replica of a group that works already, durably. It waits until the group's leader adds it (see
 * `GroupMembers`) and sends it a snapshot; until then it is nobody: it has no vote, and never campaigns.
 *
 * @throws LogError EXISTS where the store holds the group already, REPLICA_LOST where it once held that replica
 */
export function joinGroup(store: LogStore, { group, replica }: GroupJoining): Promise<GroupLog> {
  return store.create(group, { replicaId: replica, base: UNINITIALISED })
}
