/**
 * Opens one replica on this node, or makes it where this node never had it.
 *
 * Never makes a replica a second time: one that the log store refuses, or has under another id, stays closed here, since
 * a replica that comes back empty would vote away what it had acknowledged.
 */
import type { GroupLog, LogStore, SnapshotStores } from '@millrace/log-store'
import { LogError } from '@millrace/log-store'
import type { NodeEvent, RaftNode, ReplicaPlace } from '@millrace/raft-node'
import { birthRecord, joinGroup } from '@millrace/raft-node'
import { configurationOf } from './catalogue-birth.ts'
import { PartitionMachine } from './partition-machine.ts'
import { PartitionReplica } from './partition-replica.ts'
import type { StateStore } from './state-store.ts'
import { loadState } from './stored-state.ts'

/** What the catalogue says about a replica that belongs on this node. */
export interface ReplicaPlan {
  readonly topic: string
  readonly partition: number
  readonly group: number
  /** Id of the replica on this node. */
  readonly replica: number
  /** All replicas that the group is to have, the preferred leader first. */
  readonly places: readonly ReplicaPlace[]
  /** What the group is born with; undefined where this replica comes later, and joins. */
  readonly founding: readonly ReplicaPlace[] | undefined
  readonly createIndex: number
  readonly createTimestamp: number
}

export interface ReplicaStores {
  readonly node: RaftNode
  readonly logStore: LogStore
  readonly stateStore: StateStore
  readonly snapshots: SnapshotStores
  readonly clusterId: string
  readonly log: (event: NodeEvent) => void
}

/**
 * @throws LogError REPLICA_LOST and others of the log store; StateStoreError; Error where state and log do not fit
 */
export async function openReplica(stores: ReplicaStores, plan: ReplicaPlan): Promise<PartitionReplica> {
  const log = findLog(stores, plan) ?? (await createLog(stores, plan))
  const { group, base } = log
  const snapshotStore = await stores.snapshots.open(group)
  const stored = await loadState(stores, snapshotStore, log)
  const machine = new PartitionMachine({ group, stateStore: stores.stateStore, stored, base, snapshotStore })
  const handle = await stores.node.open(group, machine)
  return new PartitionReplica(plan.topic, plan.partition, machine, handle)
}

function findLog({ logStore }: ReplicaStores, { group, replica }: ReplicaPlan): GroupLog | undefined {
  const refused = logStore.refused().find(entry => entry.group === group)
  if (refused !== undefined) throw refused.reason
  const log = logStore.groups().find(candidate => candidate.group === group)
  if (log === undefined || log.recovered.replicaId === replica) return log
  const found = log.recovered.replicaId
  throw new LogError(
    'IDENTITY',
    `group ${group}: this disk holds replica ${found}, the catalogue places ${replica} here`,
  )
}

async function createLog(stores: ReplicaStores, plan: ReplicaPlan): Promise<GroupLog> {
  const { logStore, stateStore, snapshots, clusterId } = stores
  const { group, replica, founding, createIndex, createTimestamp } = plan
  // Nothing that is left over from elsewhere belongs to a log that is just being born.
  await snapshots.drop(group)
  await stateStore.drop(group)
  if (founding === undefined) return joinGroup(logStore, { group, replica })
  const configuration = configurationOf(founding)
  const base = birthRecord({ clusterId, group, createIndex, createTimestamp, configuration })
  return logStore.create(group, { replicaId: replica, base })
}
