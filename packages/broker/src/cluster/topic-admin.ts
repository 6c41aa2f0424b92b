/** Create, list, describe and delete topics, for Connect and for the HTTP routes. */

import { create } from '@bufbuild/protobuf'
import { CreateTopicRequestSchema, type Topic, type TopicConfig } from '@millrace/proto'
import { MillraceError, validateTopicName } from '@millrace/record'
import type { BrokerContext } from '../broker-context.ts'
import { topicConfig, topicMessage } from '../services/topic-message.ts'
import { onCatalogueLeader } from './catalogue-call.ts'
import { waitForLeaders } from './leader-wait.ts'
import { catchUp, findTopic } from './topic-lookup.ts'

export interface AdminCall {
  readonly forwarded: boolean
  readonly signal: AbortSignal
}

export interface CreateTopicCall {
  readonly name: string
  readonly config?: TopicConfig | undefined
  readonly ifNotExists: boolean
}

/** A new topic is answered when it can be used, or after this time: it exists either way. */
const LEADERS_WAIT_MS = 2_000

/** @throws MillraceError INVALID_NAME, INVALID_ARGUMENT, TOPIC_EXISTS, NO_LEADER */
export async function createTopic(
  context: BrokerContext,
  { name, config, ifNotExists }: CreateTopicCall,
  call: AdminCall,
): Promise<{ readonly topic: Topic; readonly created: boolean }> {
  validateTopicName(name)
  return onCatalogueLeader(context, {
    ...call,
    local: async () => {
      const { topic, created } = await context.topics.create({ name, config: topicConfig(config), ifNotExists })
      await waitForLeaders(context, topic, LEADERS_WAIT_MS)
      return { topic: topicMessage(context.topics, topic), created }
    },
    remote: async clients => {
      const request = create(CreateTopicRequestSchema, { name, ifNotExists })
      if (config !== undefined) request.config = config
      const { topic, created } = await clients.topics.createTopic(request, { signal: call.signal, timeoutMs: 10_000 })
      if (topic === undefined) throw new MillraceError('INTERNAL', 'the leader answered without a topic')
      return { topic, created }
    },
  })
}

/** @throws MillraceError UNKNOWN_TOPIC, NO_LEADER */
export async function deleteTopic(context: BrokerContext, name: string, call: AdminCall): Promise<void> {
  validateTopicName(name)
  await onCatalogueLeader<void>(context, {
    ...call,
    local: () => context.topics.delete(name),
    remote: async clients => {
      await clients.topics.deleteTopic({ name }, { signal: call.signal, timeoutMs: 10_000 })
    },
  })
}

/** Every topic that was acknowledged before the call, sorted by name. @throws MillraceError NO_LEADER */
export async function listTopics(context: BrokerContext): Promise<readonly Topic[]> {
  await catchUp(context)
  const infos = context.topics.list().toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return infos.map(info => topicMessage(context.topics, info))
}

/** @throws MillraceError INVALID_NAME, UNKNOWN_TOPIC */
export async function describeTopic(context: BrokerContext, name: string): Promise<Topic> {
  return topicMessage(context.topics, await findTopic(context, name))
}
