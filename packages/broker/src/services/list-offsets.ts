/** ListOffsets: partitions led here are answered here, the others by their leaders, one hop. */
import { create } from '@bufbuild/protobuf'
import {
  type ListOffsetsRequest,
  ListOffsetsRequestSchema,
  type ListOffsetsResponse,
  ListOffsetsResponseSchema,
  type PartitionOffsets,
  PartitionOffsetsSchema,
} from '@millrace/proto'
import type { Partition } from '@millrace/topics'
import type { BrokerContext } from '../broker-context.ts'
import { leaderElsewhere } from '../cluster/leader-elsewhere.ts'
import { checkPartition, findTopic, localPartition } from '../cluster/topic-lookup.ts'
import { confirmLeadership } from '../read/leader-confirmation.ts'

/** @throws MillraceError of the first partition that cannot be answered */
export async function listOffsets(
  context: BrokerContext,
  request: ListOffsetsRequest,
  forwarded: boolean,
): Promise<ListOffsetsResponse> {
  const topic = await findTopic(context, request.topic)
  const wanted =
    request.partitions.length === 0
      ? topic.partitions.map(({ partition }) => partition)
      : [...new Set(request.partitions)]
  for (const partition of wanted) checkPartition(topic, partition)
  const answers: PartitionOffsets[] = []
  const elsewhere = new Map<number, number[]>()
  for (const number of wanted) {
    const partition = await localPartition(context, topic, number)
    if (partition?.leading) {
      await confirmLeadership(context.topics, partition)
      answers.push(await offsetsOf(partition, request.time))
    } else {
      const leader = leaderElsewhere(context, topic.name, number, { term: partition?.term ?? 0, forwarded })
      elsewhere.set(leader, [...(elsewhere.get(leader) ?? []), number])
    }
  }
  const forwards = [...elsewhere].map(([node, partitions]) => ask(context, node, request, partitions))
  for (const response of await Promise.all(forwards)) answers.push(...response.partitions)
  answers.sort((a, b) => a.partition - b.partition)
  return create(ListOffsetsResponseSchema, { partitions: answers })
}

async function offsetsOf(partition: Partition, time: bigint | undefined): Promise<PartitionOffsets> {
  const offsets = create(PartitionOffsetsSchema, {
    partition: partition.partition,
    logStartOffset: BigInt(partition.logStartOffset),
    highWatermark: BigInt(partition.highWatermark),
  })
  if (time !== undefined) offsets.timeOffset = BigInt(await partition.offsetAtTime(Number(time)))
  return offsets
}

function ask(context: BrokerContext, node: number, request: ListOffsetsRequest, partitions: number[]) {
  const { topic, time } = request
  const forward = create(ListOffsetsRequestSchema, { topic, partitions })
  if (time !== undefined) forward.time = time
  return context.forwarder.run(node, clients => clients.log.listOffsets(forward, { timeoutMs: 5_000 }))
}
