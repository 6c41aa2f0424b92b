/** Finds topics and partitions by name, after a look at the catalogue's newest state where this node does not know one. */
import { MillraceError, validateTopicName } from '@millrace/record'
import type { Partition, TopicInfo, Topics } from '@millrace/topics'
import type { BrokerContext } from '../broker-context.ts'
import { sleep, within } from '../timing.ts'

/** What a look-up needs of a node. */
type Lookup = Pick<BrokerContext, 'topics' | 'nodeId' | 'stopping'>

/** How long a name that is unknown here may take to be looked up at the catalogue's leader. */
const LOOK_UP_MS = 5_000
/** One question to the leader; a new leader needs a new one. */
const QUESTION_MS = 1_000

/**
 * The topic as the catalogue has it. A topic that was acknowledged on any node before this call is found.
 *
 * @throws MillraceError INVALID_NAME; UNKNOWN_TOPIC; NO_LEADER where nobody can say whether there is such a topic
 */
export async function findTopic(context: Lookup, name: string): Promise<TopicInfo> {
  const { topics } = context
  validateTopicName(name)
  const known = knownTopic(topics, name)
  if (known !== undefined) return known
  await catchUp(context)
  return topics.describe(name)
}

/**
 * Resolves when this node's catalogue holds all that was committed before the call.
 *
 * @throws MillraceError NO_LEADER after 5 s; SHUTTING_DOWN
 */
export async function catchUp({ topics, stopping, nodeId }: Lookup): Promise<void> {
  const deadline = performance.now() + LOOK_UP_MS
  while (!(await within(QUESTION_MS, topics.waitCatalogue()))) {
    if (stopping.aborted) throw new MillraceError('SHUTTING_DOWN', `node ${nodeId} is stopping`)
    if (performance.now() > deadline) {
      throw new MillraceError('NO_LEADER', 'the catalogue has no leader that this node can ask; try again')
    }
    await sleep(50, stopping)
  }
}

function knownTopic(topics: Topics, name: string): TopicInfo | undefined {
  try {
    return topics.describe(name)
  } catch (error) {
    // This replica of the catalogue may be behind.
    if (error instanceof MillraceError && error.code === 'UNKNOWN_TOPIC') return undefined
    throw error
  }
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

/** Whether the catalogue, as this node has it, places a replica here: one that is not to be here any more soon hears nothing. */
export function isPlacedHere({ topics, nodeId }: Pick<Lookup, 'topics' | 'nodeId'>, partition: Partition): boolean {
  const topic = knownTopic(topics, partition.topic)
  // A topic that was deleted: its partition says so itself.
  if (topic === undefined) return true
  return topic.partitions[partition.partition]?.replicas.some(({ node }) => node === nodeId) ?? false
}

/** How long the replica of a topic that has just been created may take to open. */
const OPEN_WAIT_MS = 2_000

/**
 * This node's replica, or undefined where it has none. Waits a moment for one that the catalogue places here and that is
 * not open yet.
 */
export async function localPartition(
  { topics, nodeId, stopping }: Lookup,
  topic: TopicInfo,
  partition: number,
): Promise<Partition | undefined> {
  const placedHere = topic.partitions[partition]?.replicas.some(replica => replica.node === nodeId) ?? false
  for (let waitedMs = 0; ; waitedMs += 10) {
    const found = topics.partition(topic.name, partition)
    if (found !== undefined || !placedHere || waitedMs >= OPEN_WAIT_MS || stopping.aborted) return found
    await sleep(10)
  }
}
