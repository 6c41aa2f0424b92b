/** The TopicService of this node on Connect. */
import { create } from '@bufbuild/protobuf'
import type { ServiceImpl } from '@connectrpc/connect'
import {
  CreateTopicResponseSchema,
  DeleteTopicResponseSchema,
  DescribeTopicResponseSchema,
  ListTopicsResponseSchema,
  type TopicService,
  TrimPartitionResponseSchema,
} from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import type { BrokerContext } from '../broker-context.ts'
import { createTopic, deleteTopic, describeTopic, listTopics } from '../cluster/topic-admin.ts'
import { trimPartition } from '../cluster/trim-partition.ts'
import { isForwarded } from './log-service.ts'

export function topicService(context: BrokerContext): ServiceImpl<typeof TopicService> {
  return {
    createTopic: async (request, call) => {
      const admin = { forwarded: isForwarded(call), signal: call.signal }
      return create(CreateTopicResponseSchema, await createTopic(context, request, admin))
    },
    listTopics: async () => create(ListTopicsResponseSchema, { topics: [...(await listTopics(context))] }),
    describeTopic: async request =>
      create(DescribeTopicResponseSchema, { topic: await describeTopic(context, request.name) }),
    alterTopic: () => {
      throw new MillraceError('UNSUPPORTED', 'AlterTopic: topics cannot be altered in this version')
    },
    deleteTopic: async (request, call) => {
      await deleteTopic(context, request.name, { forwarded: isForwarded(call), signal: call.signal })
      return create(DeleteTopicResponseSchema)
    },
    trimPartition: async ({ topic, partition, beforeOffset }, call) => {
      const trim = { topic, partition, beforeOffset: Number(beforeOffset) }
      const start = await trimPartition(context, trim, { forwarded: isForwarded(call), signal: call.signal })
      return create(TrimPartitionResponseSchema, { logStartOffset: BigInt(start) })
    },
  }
}
