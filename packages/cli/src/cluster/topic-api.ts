/** Topics as any node of the cluster has them. Changes are passed on by the node that is asked. */
import {
  CreateTopicResponseSchema,
  DeleteTopicResponseSchema,
  DescribeTopicResponseSchema,
  ListTopicsResponseSchema,
  type Topic,
  TrimPartitionResponseSchema,
} from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import { askAny, call } from './node-api.ts'

/** Absent values: the cluster's defaults. */
export interface NewTopic {
  readonly name: string
  readonly partitions?: number
  readonly replication?: number
  readonly retentionMs?: number
  readonly retentionBytes?: number
  readonly ifNotExists?: boolean
}

/** @throws MillraceError INVALID_NAME, INVALID_ARGUMENT, TOPIC_EXISTS, UNREACHABLE */
export async function createTopic(
  urls: readonly string[],
  { name, ifNotExists = false, retentionMs, retentionBytes, ...rest }: NewTopic,
): Promise<{ readonly topic: Topic; readonly created: boolean }> {
  const config = {
    ...rest,
    ...(retentionMs === undefined ? {} : { retentionMs: String(retentionMs) }),
    ...(retentionBytes === undefined ? {} : { retentionBytes: String(retentionBytes) }),
  }
  const request = { name, config, ifNotExists }
  const { topic, created } = await askAny(urls, url =>
    call(url, 'TopicService/CreateTopic', CreateTopicResponseSchema, request),
  )
  return { topic: present(topic), created }
}

/** @throws MillraceError UNREACHABLE */
export async function listTopics(urls: readonly string[]): Promise<Topic[]> {
  return (await askAny(urls, url => call(url, 'TopicService/ListTopics', ListTopicsResponseSchema, {}))).topics
}

/** @throws MillraceError UNKNOWN_TOPIC, INVALID_NAME, UNREACHABLE */
export async function describeTopic(urls: readonly string[], name: string): Promise<Topic> {
  const request = { name }
  const { topic } = await askAny(urls, url =>
    call(url, 'TopicService/DescribeTopic', DescribeTopicResponseSchema, request),
  )
  return present(topic)
}

/** @throws MillraceError UNKNOWN_TOPIC, INVALID_NAME, UNREACHABLE */
export async function deleteTopic(urls: readonly string[], name: string): Promise<void> {
  await askAny(urls, url => call(url, 'TopicService/DeleteTopic', DeleteTopicResponseSchema, { name }))
}

/**
 * Removes the records of a partition that are below an offset.
 *
 * @returns the log start
 * @throws MillraceError UNKNOWN_TOPIC, UNKNOWN_PARTITION, OFFSET_OUT_OF_RANGE, LEADERSHIP_LOST, UNREACHABLE
 */
export async function trimPartition(
  urls: readonly string[],
  topic: string,
  partition: number,
  beforeOffset: number,
): Promise<number> {
  const request = { topic, partition, beforeOffset: String(beforeOffset) }
  const { logStartOffset } = await askAny(urls, url =>
    call(url, 'TopicService/TrimPartition', TrimPartitionResponseSchema, request),
  )
  return Number(logStartOffset)
}

function present(topic: Topic | undefined): Topic {
  if (topic === undefined) throw new MillraceError('INTERNAL', 'the node answered without the topic')
  return topic
}
