/** Gives up damaged records of a partition, on its leader; from another node, there. */
import { create } from '@bufbuild/protobuf'
import type { HandlerContext } from '@connectrpc/connect'
import {
  type GiveUpRangeRequest,
  type GiveUpRangeResponse,
  GiveUpRangeResponseSchema,
  LogHoleSchema,
} from '@millrace/proto'
import type { BrokerContext } from '../broker-context.ts'
import { notLeader } from '../cluster/not-leader.ts'
import { checkPartition, findTopic } from '../cluster/topic-lookup.ts'
import { isForwarded } from './log-service.ts'

/** The leader asks every replica, and waits for its entry to be committed. */
const GIVE_UP_MS = 30_000

/** @throws MillraceError as `GroupHandle.giveUpDamage`, and as `findTopic` */
export async function giveUpRange(
  context: BrokerContext,
  request: GiveUpRangeRequest,
  call: HandlerContext,
): Promise<GiveUpRangeResponse> {
  const { topic, partition, without, acceptDataLoss } = request
  checkPartition(await findTopic(context, topic), partition)
  const { topics, directory, nodeId, log } = context
  const replica = topics.replicas().find(entry => entry.topic === topic && entry.partition === partition)
  // One that waits for damaged entries does not lead as others do: it takes no proposals.
  if (replica?.handle.status().role === 'leader') {
    const given = await replica.handle.giveUpDamage(without, acceptDataLoss)
    const { first, last, firstOffset, nextOffset } = given
    if (acceptDataLoss) log.error({ topic, partition, ...given }, 'records were given up, as an operator said')
    return create(GiveUpRangeResponseSchema, {
      ...{ firstOffset: BigInt(firstOffset), nextOffset: BigInt(nextOffset) },
      entries: create(LogHoleSchema, { first: BigInt(first), last: BigInt(last) }),
    })
  }
  const leaderNode = replica?.handle.leaderNode ?? topics.leaderOf(topic, partition)
  const refusal = notLeader(directory, { what: `${topic}/${partition}`, leaderNode, term: replica?.handle.term ?? 0 })
  if (isForwarded(call) || leaderNode === nodeId || refusal.code !== 'NOT_LEADER') throw refusal
  return await context.forwarder.run(leaderNode, clients =>
    clients.cluster.giveUpRange(request, { signal: call.signal, timeoutMs: GIVE_UP_MS }),
  )
}
