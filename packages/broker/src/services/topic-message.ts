/** Topics as messages: what the catalogue says, joined with what this node knows of leaders and offsets. */
import { create } from '@bufbuild/protobuf'
import {
  PartitionSchema,
  type Topic,
  type TopicConfig as TopicConfigMessage,
  TopicConfigSchema,
  TopicSchema,
} from '@millrace/proto'
import type { TopicConfig, TopicInfo, Topics } from '@millrace/topics'

export function topicMessage(topics: Topics, info: TopicInfo): Topic {
  const { partitions, replication, retentionMs, retentionBytes } = info.config
  return create(TopicSchema, {
    name: info.name,
    id: BigInt(info.id),
    config: create(TopicConfigSchema, {
      partitions,
      replication,
      retentionMs: BigInt(retentionMs),
      retentionBytes: BigInt(retentionBytes),
    }),
    partitions: info.partitions.map(({ partition, group, replicas }) => {
      const here = topics.partition(info.name, partition)
      return create(PartitionSchema, {
        partition,
        group: BigInt(group),
        nodes: replicas.map(replica => replica.node),
        leaderNode: topics.leaderOf(info.name, partition),
        term: BigInt(here?.term ?? 0),
        logStartOffset: BigInt(here?.logStartOffset ?? 0),
        highWatermark: BigInt(here?.highWatermark ?? 0),
      })
    }),
  })
}

/** What a request sets; zeroes and absent fields are left to the catalogue's defaults. */
export function topicConfig(message: TopicConfigMessage | undefined): Partial<TopicConfig> {
  if (message === undefined) return {}
  return {
    ...(message.partitions !== 0 && { partitions: message.partitions }),
    ...(message.replication !== 0 && { replication: message.replication }),
    ...(message.retentionMs !== undefined && { retentionMs: Number(message.retentionMs) }),
    ...(message.retentionBytes !== undefined && { retentionBytes: Number(message.retentionBytes) }),
  }
}
