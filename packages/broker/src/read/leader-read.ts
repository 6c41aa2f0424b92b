/**
 * Reads one partition from its leader, here or on another node, and follows the leadership: when it moves, the read goes
 * on at its next offset on the new leader. The caller sees frames and signs of life, and an error only when no leader
 * could be read for `PATIENCE_MS`.
 */
import { MillraceError } from '@millrace/record'
import type { TopicInfo } from '@millrace/topics'
import type { BrokerContext } from '../broker-context.ts'
import { notLeader } from '../cluster/not-leader.ts'
import { isPlacedHere, localPartition } from '../cluster/topic-lookup.ts'
import { sleep } from '../timing.ts'
import { type OpenRead, openPartitionRead, type ReadEvent, type ReadOptions } from './partition-read.ts'
import { openRemoteRead } from './remote-read.ts'

const PATIENCE_MS = 15_000
const RETRY_MIN_MS = 20
const RETRY_MAX_MS = 500

/** Errors that a new leader, or a new connection, ends. */
const PASSING: ReadonlySet<string> = new Set([
  'NOT_LEADER',
  'NO_LEADER',
  'LEADER_STARTING',
  'UNREACHABLE',
  'CONNECTION_LOST',
  'SHUTTING_DOWN',
])

/**
 * Opens the read; its position is known and valid when the promise resolves.
 *
 * @throws MillraceError OFFSET_OUT_OF_RANGE, PARTITION_HALTED; NO_LEADER and the like after 15 s
 */
export async function openLeaderRead(
  context: BrokerContext,
  topic: TopicInfo,
  partition: number,
  options: ReadOptions,
): Promise<OpenRead> {
  const first = await openPatiently(context, topic, partition, options)
  return { ...first, events: follow(context, topic, partition, options, first) }
}

async function* follow(
  context: BrokerContext,
  topic: TopicInfo,
  partition: number,
  options: ReadOptions,
  first: OpenRead,
): AsyncGenerator<ReadEvent> {
  let offset = first.startOffset
  let current = first
  for (;;) {
    try {
      for await (const event of current.events) {
        if (event.type === 'frames') offset = event.nextOffset
        yield event
      }
      return
    } catch (error) {
      if (!isPassing(error) || options.signal.aborted) throw error
    }
    if (!options.live && offset >= first.highWatermark) return
    current = await openPatiently(context, topic, partition, { ...options, from: { type: 'offset', offset } })
  }
}

async function openPatiently(
  context: BrokerContext,
  topic: TopicInfo,
  partition: number,
  options: ReadOptions,
): Promise<OpenRead> {
  const deadline = performance.now() + PATIENCE_MS
  for (let delayMs = RETRY_MIN_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MAX_MS)) {
    try {
      return await open(context, topic, partition, options)
    } catch (error) {
      if (!isPassing(error) || options.signal.aborted || performance.now() > deadline) throw error
    }
    await sleep(delayMs, options.signal)
  }
}

async function open(
  context: BrokerContext,
  topic: TopicInfo,
  partition: number,
  options: ReadOptions,
): Promise<OpenRead> {
  const { topics, directory, nodeId } = context
  const local = await localPartition(context, topic, partition)
  if (local?.leading) return openPartitionRead(context, local, options)
  const leaderNode = topics.leaderOf(topic.name, partition)
  const refusal = notLeader(directory, { what: `${topic.name}/${partition}`, leaderNode, term: local?.term ?? 0 })
  if (refusal.code === 'NOT_LEADER') return openAt(context, leaderNode, topic, partition, options)
  const other = topic.partitions[partition]?.replicas.find(replica => replica.node !== nodeId)?.node
  const isHere = local !== undefined && isPlacedHere(context, local)
  if (isHere || other === undefined) throw refusal
  // No replica here, or one that hears nothing any more, and no leader known: any replica's refusal names it.
  try {
    return await openAt(context, other, topic, partition, options)
  } catch (error) {
    const named = error instanceof MillraceError && error.code === 'NOT_LEADER' ? Number(error.details.leaderNode) : 0
    if (named === 0) throw error
    return openAt(context, named, topic, partition, options)
  }
}

function openAt(
  context: BrokerContext,
  node: number,
  topic: TopicInfo,
  partition: number,
  options: ReadOptions,
): Promise<OpenRead> {
  const clients = context.directory.clients(node)
  if (clients === undefined) {
    throw new MillraceError('UNREACHABLE', `node ${node} is not in cluster.nodes of node ${context.nodeId}`)
  }
  context.counters.forwards++
  return openRemoteRead(clients, topic.name, partition, options)
}

function isPassing(error: unknown): boolean {
  return error instanceof MillraceError && PASSING.has(error.code)
}
