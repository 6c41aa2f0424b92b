/** Topics as people manage them: create, list, describe, alter, delete. Any node takes these calls. */
import type { CreateTopicResponse, TopicConfig as WireConfig, Topic as WireTopic } from '@millrace/proto'
import { MillraceError, validateTopicName } from '@millrace/record'
import type { AnyCall, ClusterDirectory } from './cluster/cluster-directory.ts'

/** Configuration of a topic; what is absent takes the broker's default. */
export interface TopicConfig {
  /** Default 3. */
  readonly partitions?: number | undefined
  /** Replicas of each partition. Default min(3, nodes). */
  readonly replication?: number | undefined
  /** Age at which records may be removed, in ms. Default 7 days; 0: never. */
  readonly retentionMs?: number | undefined
  /** Bytes per partition above which the oldest records may be removed; 0: no limit, the default. */
  readonly retentionBytes?: number | undefined
}

export interface PartitionDescription {
  readonly partition: number
  /** Nodes that hold a replica. */
  readonly nodes: readonly number[]
  /** 0: none is known to the node that answers. */
  readonly leaderNode: number
  readonly term: number
  /** As the node that answers knows them. */
  readonly logStartOffset: number
  readonly highWatermark: number
}

export interface TopicDescription {
  readonly name: string
  readonly config: TopicConfig
  readonly partitions: readonly PartitionDescription[]
}

export interface CallOptions {
  readonly signal?: AbortSignal
}

export class TopicAdmin {
  readonly #directory: ClusterDirectory

  constructor(directory: ClusterDirectory) {
    this.#directory = directory
  }

  /** Creates the topic if it is not there. @returns whether it was created; its description */
  async ensure(
    name: string,
    config: TopicConfig = {},
    options: CallOptions = {},
  ): Promise<{ readonly created: boolean; readonly topic: TopicDescription }> {
    return await this.#create(name, config, true, options)
  }

  /** @throws TOPIC_EXISTS where the name is taken */
  async create(name: string, config: TopicConfig = {}, options: CallOptions = {}): Promise<TopicDescription> {
    const { topic } = await this.#create(name, config, false, options)
    return topic
  }

  async list(options: CallOptions = {}): Promise<TopicDescription[]> {
    const { topics } = await this.#directory.call(({ topics: t }, call) => t.listTopics({}, call), options.signal)
    return topics.map(described)
  }

  /** @throws UNKNOWN_TOPIC */
  async describe(name: string, options: CallOptions = {}): Promise<TopicDescription> {
    const { topic } = await this.#directory.call(
      ({ topics }, call) => topics.describeTopic({ name }, call),
      options.signal,
    )
    return described(present(topic))
  }

  /** Changes what `config` names. The number of partitions may only grow; that moves keys. @throws UNKNOWN_TOPIC */
  async alter(name: string, config: TopicConfig, options: CallOptions = {}): Promise<TopicDescription> {
    const request = { name, config: wireConfig(config) }
    const { topic } = await this.#directory.call(({ topics }, call) => topics.alterTopic(request, call), options.signal)
    this.#directory.forget(name)
    return described(present(topic))
  }

  /** Deletes the topic and its records. @throws UNKNOWN_TOPIC */
  async delete(name: string, options: CallOptions = {}): Promise<void> {
    await this.#directory.callOnce(({ topics }, call) => topics.deleteTopic({ name }, call), options.signal)
    this.#directory.forget(name)
  }

  async #create(
    name: string,
    config: TopicConfig,
    ifNotExists: boolean,
    options: CallOptions,
  ): Promise<{ created: boolean; topic: TopicDescription }> {
    validateTopicName(name)
    const request = { name, config: wireConfig(config), ifNotExists }
    const create: AnyCall<CreateTopicResponse> = ({ topics }, call) => topics.createTopic(request, call)
    // Asked twice, `create` would find its own topic in the way.
    const { topic, created } = ifNotExists
      ? await this.#directory.call(create, options.signal)
      : await this.#directory.callOnce(create, options.signal)
    this.#directory.forget(name)
    return { created, topic: described(present(topic)) }
  }
}

function present(topic: WireTopic | undefined): WireTopic {
  if (topic === undefined) throw new MillraceError('INTERNAL', 'a broker answers a topic call without a topic')
  return topic
}

function wireConfig(config: TopicConfig): {
  partitions: number
  replication: number
  retentionMs?: bigint
  retentionBytes?: bigint
} {
  for (const [name, value] of Object.entries(config)) if (value !== undefined) checkSetting(name, value)
  return {
    partitions: config.partitions ?? 0,
    replication: config.replication ?? 0,
    ...(config.retentionMs === undefined ? {} : { retentionMs: BigInt(config.retentionMs) }),
    ...(config.retentionBytes === undefined ? {} : { retentionBytes: BigInt(config.retentionBytes) }),
  }
}

/** On the wire 0 says "the default" for the first two. @throws INVALID_ARGUMENT */
function checkSetting(name: string, value: unknown): void {
  const min = LEAST[name]
  if (min === undefined) {
    const known = Object.keys(LEAST).join(', ')
    throw new MillraceError('INVALID_ARGUMENT', `a topic has no setting ${name}; there are ${known}`)
  }
  if (Number.isSafeInteger(value) && Number(value) >= min) return
  throw new MillraceError('INVALID_ARGUMENT', `${name}: ${String(value)} is no whole number from ${min} on`)
}

const LEAST: Readonly<Record<string, number>> = { partitions: 1, replication: 1, retentionMs: 0, retentionBytes: 0 }

function described(topic: WireTopic): TopicDescription {
  return {
    name: topic.name,
    config: configOf(topic.config, topic.partitions.length),
    partitions: topic.partitions.map(partition => ({
      partition: partition.partition,
      nodes: partition.nodes,
      leaderNode: partition.leaderNode,
      term: Number(partition.term),
      logStartOffset: Number(partition.logStartOffset),
      highWatermark: Number(partition.highWatermark),
    })),
  }
}

function configOf(config: WireConfig | undefined, partitions: number): TopicConfig {
  return {
    partitions: config?.partitions || partitions,
    replication: config?.replication ?? 0,
    ...(config?.retentionMs === undefined ? {} : { retentionMs: Number(config.retentionMs) }),
    ...(config?.retentionBytes === undefined ? {} : { retentionBytes: Number(config.retentionBytes) }),
  }
}
