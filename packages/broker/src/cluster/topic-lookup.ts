/** Finds topics and partitions by name, after a look at the catalogue's newest state where this node does not know one. */
import { MillraceError, validateTopicName } from '@millrace/record'
import type { Partition, TopicInfo, Topics } from '@millrace/topics'
import { sleep, within } from '../timing.ts'

/** How long a name that is unknown here may take to be looked up at the catalogue's leader. */
const CATALOGUE_WAIT_MS = 1_000

/**
 * The topic as the catalogue has it. A topic that was acknowledged on any node before this call is found.
 *
 * @throws MillraceError INVALID_NAME, UNKNOWN_TOPIC
 */
export async function findTopic(topics: Topics, name: string): Promise<TopicInfo> {
  validateTopicName(name)
  try {
    return topics.describe(name)
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'UNKNOWN_TOPIC') throw error
  }
  // This replica of the catalogue may be behind. Without a leader to ask, what it knows is the answer.
  await within(CATALOGUE_WAIT_MS, topics.waitCatalogue())
  return topics.describe(name)
}

/** @throws MillraceError UNKNOWN_PARTITION naming the valid range */
export function checkPartition(topic: TopicInfo, partition: number): void {
  if (Number.isInteger(partition) && partition >= 0 && partition < topic.partitions.length) return
  throw new MillraceError(
    'UNKNOWN_PARTITION',
    `topic ${topic.name} has partitions 0 to ${topic.partitions.length - 1}, not ${partition}`,
    { details: { topic: topic.name, partition, partitions: topic.partitions.length } },
  )
}

/** How long the replica of a topic that has just been created may take to open. */
const OPEN_WAIT_MS = 2_000

/**
 * This node's replica, or undefined where it has none. Waits a moment for one that the catalogue places here and that is
 * not open yet.
 */
export async function localPartition(
  topics: Topics,
  topic: TopicInfo,
  partition: number,
  self: number,
): Promise<Partition | undefined> {
  const placedHere = topic.partitions[partition]?.replicas.some(replica => replica.node === self) ?? false
  for (let waitedMs = 0; ; waitedMs += 10) {
    const found = topics.partition(topic.name, partition)
    if (found !== undefined || !placedHere || waitedMs >= OPEN_WAIT_MS) return found
    await sleep(10)
  }
}
