/** The seam to topics on one node: the catalogue and the partitions that live here. Implemented in topic-host.ts. */

import type { GroupBackup } from './backup/group-backup.ts'
import type { Partition } from './partition.ts'
import type { RetentionActivity } from './retention.ts'
import type { StartedGroup } from './started-group.ts'

export interface TopicConfig {
  readonly partitions: number
  readonly replication: number
  /** 0: never remove by age. */
  readonly retentionMs: number
  /** 0: no limit. */
  readonly retentionBytes: number
}

export interface PartitionInfo {
  readonly partition: number
  readonly group: number
  readonly replicas: readonly { readonly replica: number; readonly node: number }[]
}

export interface TopicInfo {
  readonly name: string
  /** Never reused. */
  readonly id: number
  readonly config: TopicConfig
  readonly partitions: readonly PartitionInfo[]
}

export interface CreateTopic {
  readonly name: string
  readonly config?: Partial<TopicConfig>
  readonly ifNotExists: boolean
}

/** All methods that change something go to the catalogue's leader; on another node they throw NOT_LEADER with it. */
export interface Topics {
  /** @throws MillraceError INVALID_NAME, INVALID_ARGUMENT, TOPIC_EXISTS, NOT_LEADER, NO_LEADER */
  create(request: CreateTopic): Promise<{ readonly topic: TopicInfo; readonly created: boolean }>
  delete(name: string): Promise<void>
  /** As this node's replica of the catalogue has it. */
  list(): readonly TopicInfo[]
  /** @throws MillraceError UNKNOWN_TOPIC */
  describe(name: string): TopicInfo
  /**
   * The replica on this node.
   *
   * @throws MillraceError UNKNOWN_TOPIC, UNKNOWN_PARTITION
   * @returns undefined where the partition lives on other nodes only
   */
  partition(topic: string, partition: number): Partition | undefined
  /** Leader of a partition as far as this node knows, 0 otherwise; also for partitions of other nodes. */
  leaderOf(topic: string, partition: number): number
  readonly catalogue: { readonly leading: boolean; readonly leaderNode: number; readonly term: number }
  /** Resolves when this node's catalogue holds everything that was committed when it was called. */
  waitCatalogue(): Promise<void>
  /**
   * A group that runs here up to a point that is at or after the call, for backups; 0 is the catalogue.
   *
   * @throws MillraceError UNKNOWN_PARTITION where the group does not run here, NO_LEADER, PARTITION_HALTED
   */
  backUp(group: number): Promise<GroupBackup>
  /** What this node has done to keep `retentionMs` and `retentionBytes`. */
  retention(): RetentionActivity
  /** Replicas running here, the catalogue as topic ''. */
  replicas(): readonly StartedGroup[]
  /**
   * The group that this node leads stays here until its next election, whatever replica is preferred. Without effect
   * where this node does not lead it.
   */
  holdLeadership(group: number): void
  shutdown(): Promise<void>
}
