/** What the nodes' own reports say about the cluster as a whole. Pure: reports in, summary out. */
import type { NodeStatusResponse, ReplicaStatus } from '@millrace/proto'

/** A node and what it answered; undefined where it did not. */
export interface NodeReport {
  readonly node: number
  readonly url: string
  readonly status: NodeStatusResponse | undefined
}

export interface SnapshotProgress {
  readonly bytes: number
  readonly bytesTotal: number
}

export interface PartitionSummary {
  /** Empty for the catalogue. */
  readonly topic: string
  readonly partition: number
  /** 0: nobody. */
  readonly leader: number
  readonly term: number
  /** Committed records, the leader's count where there is one. */
  readonly highWatermark: number
  /** Nodes that hold a replica, as far as they answered or the leader names them. */
  readonly replicas: readonly number[]
  /** Entries by which each other replica is behind, as the leader sees it. Infinity: it is out of contact. */
  readonly lag: ReadonlyMap<number, number>
  /** Snapshots on their way to other replicas. */
  readonly snapshots: ReadonlyMap<number, SnapshotProgress>
  /** A replica is behind by more than one round, or out of contact. */
  readonly underReplicated: boolean
}

export interface ClusterSummary {
  readonly nodes: readonly NodeReport[]
  /** Sorted by topic and partition; the catalogue first. */
  readonly partitions: readonly PartitionSummary[]
  /** Committed records of all partitions. */
  readonly records: number
  readonly usedBytes: number
  /** Of the node with the least room. */
  readonly freeBytes: number
}

/** Entries a follower may be behind, being only in flight. */
const LAG_IN_FLIGHT = 64

export function summarize(nodes: readonly NodeReport[]): ClusterSummary {
  const replicas = new Map<string, { node: number; replica: ReplicaStatus }[]>()
  for (const { node, status } of nodes) {
    for (const replica of status?.replicas ?? []) {
      const key = `${replica.topic}/${String(replica.partition).padStart(5, '0')}`
      replicas.set(key, [...(replicas.get(key) ?? []), { node, replica }])
    }
  }
  const partitions = [...replicas]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, found]) => summarizePartition(found))
  const disks = nodes.flatMap(({ status }) => status?.disk ?? [])
  return {
    nodes,
    partitions,
    records: partitions
      .filter(({ topic }) => topic !== '')
      .reduce((sum, partition) => sum + partition.highWatermark, 0),
    usedBytes: disks.reduce((sum, disk) => sum + Number(disk.usedBytes), 0),
    freeBytes: disks.length === 0 ? 0 : Math.min(...disks.map(disk => Number(disk.freeBytes))),
  }
}

function summarizePartition(found: readonly { node: number; replica: ReplicaStatus }[]): PartitionSummary {
  // Two may call themselves leader for a moment: the one of the higher term is.
  const leaders = found.filter(({ replica }) => replica.role === 'leader')
  const leader = leaders.toSorted((a, b) => Number(b.replica.term - a.replica.term))[0]
  const any = leader ?? found[0]!
  const lag = new Map<number, number>()
  for (const { node, lag: entries, recentlyActive } of leader?.replica.followers ?? []) {
    // While a lost replica is replaced on its node, there are two: the one that is further behind counts.
    lag.set(node, Math.max(lag.get(node) ?? 0, recentlyActive ? Number(entries) : Number.POSITIVE_INFINITY))
  }
  const snapshots = new Map(
    leader?.replica.followers.flatMap(({ node, snapshot }) =>
      snapshot === undefined
        ? []
        : [[node, { bytes: Number(snapshot.bytes), bytesTotal: Number(snapshot.bytesTotal) }] as const],
    ),
  )
  const replicas = new Set([...found.map(({ node }) => node), ...lag.keys()])
  return {
    topic: any.replica.topic,
    partition: any.replica.partition,
    leader: leader?.node ?? 0,
    term: Number(any.replica.term),
    highWatermark: Math.max(...found.map(({ replica }) => Number(replica.highWatermark))),
    replicas: [...replicas].toSorted((a, b) => a - b),
    lag,
    snapshots,
    underReplicated: leader === undefined || [...lag.values()].some(entries => entries > LAG_IN_FLIGHT),
  }
}

/** Partitions, without the catalogue, that each node leads; nodes that lead none count 0. */
export function leadersPerNode({ nodes, partitions }: ClusterSummary): ReadonlyMap<number, number> {
  const counts = new Map(nodes.map(({ node }) => [node, 0]))
  for (const { topic, leader } of partitions)
    if (topic !== '' && leader !== 0) counts.set(leader, (counts.get(leader) ?? 0) + 1)
  return counts
}
