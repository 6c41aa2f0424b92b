/** Waits until partitions can be used: a topic that has just been made has replicas, and no leaders yet. */
import type { TopicInfo } from '@millrace/topics'
import type { BrokerContext } from '../broker-context.ts'
import { sleep } from '../timing.ts'

const LOOK_EVERY_MS = 5

/**
 * Resolves when every partition of the topic that has a replica here has a leader that this node knows (and which
 * serves, if it is this node), or after `limitMs`.
 *
 * @returns whether all have one
 */
export async function waitForLeaders(
  { topics, nodeId, stopping }: Pick<BrokerContext, 'topics' | 'nodeId' | 'stopping'>,
  topic: TopicInfo,
  limitMs: number,
): Promise<boolean> {
  const deadline = performance.now() + limitMs
  const here = topic.partitions.filter(({ replicas }) => replicas.some(({ node }) => node === nodeId))
  const isLed = ({ partition }: { partition: number }) => {
    const replica = topics.partition(topic.name, partition)
    if (replica === undefined || replica.leaderNode === 0) return false
    return replica.leading || replica.leaderNode !== nodeId
  }
  while (!here.every(isLed)) {
    if (performance.now() > deadline || stopping.aborted) return false
    await sleep(LOOK_EVERY_MS)
  }
  return true
}
