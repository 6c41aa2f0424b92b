/** What nodes hold, for tests that compare two clusters. */
import { type Frame, FrameKind } from '@millrace/record'
import type { TopicHost } from '@millrace/topics'
import type { RunningNode } from '../node/running-node.ts'

/** State hashes of the groups of a node, by group. */
export function stateHashes(node: RunningNode): ReadonlyMap<number, number> {
  const hashes = (node.context.topics as TopicHost).stateHashes()
  return new Map(hashes.map(({ group, hash }) => [group, hash]))
}

/** All frames with records of a partition on this node, in order. */
export async function recordFrames(node: RunningNode, topic: string, partition: number): Promise<readonly Frame[]> {
  const replica = node.context.topics.partition(topic, partition)
  if (replica === undefined) throw new Error(`node ${node.nodeId} does not run ${topic}/${partition}`)
  const frames: Frame[] = []
  for (let offset = replica.logStartOffset; offset < replica.highWatermark; ) {
    const read = await replica.read(offset, 1_048_576)
    frames.push(...read.frames.filter(frame => frame.header.kind === FrameKind.records))
    offset = read.nextOffset
  }
  return frames
}
