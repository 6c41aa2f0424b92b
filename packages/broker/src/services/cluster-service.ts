/** The ClusterService of this node on Connect: who is there, what runs here, hand over a leadership. */
import { create } from '@bufbuild/protobuf'
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect'
import {
  AdmitNodeResponseSchema,
  type ClusterService,
  DiskStatusSchema,
  FollowerStatusSchema,
  type LogDamage,
  LogDamageSchema,
  LogHoleSchema,
  type NodeStatusResponse,
  NodeStatusResponseSchema,
  type RefusedGroup,
  RefusedGroupSchema,
  RemoveNodeResponseSchema,
  type ReplicaStatus,
  ReplicaStatusSchema,
  type SnapshotTransfer,
  SnapshotTransferSchema,
  type StateRepair,
  StateRepairSchema,
  type TransferLeadershipRequest,
  TransferLeadershipResponseSchema,
} from '@millrace/proto'
import type { GroupDamage, StateRepair as StateRepairStatus, TransferProgress } from '@millrace/raft-node'
import { MillraceError } from '@millrace/record'
import type { StartedGroup } from '@millrace/topics'
import type { BrokerContext } from '../broker-context.ts'
import { notLeader } from '../cluster/not-leader.ts'
import { checkPartition, findTopic } from '../cluster/topic-lookup.ts'
import { sleep } from '../timing.ts'
import { backUpGroup } from './backup-stream.ts'
import { describeCluster } from './describe-cluster.ts'
import { giveUpRange } from './give-up-range.ts'
import { isForwarded } from './log-service.ts'
import { admitNode, describeMembers, joinCluster, removeNode } from './membership-service.ts'

export function clusterService(context: BrokerContext): ServiceImpl<typeof ClusterService> {
  return {
    describeCluster: () => describeCluster(context),
    nodeStatus: () => nodeStatus(context),
    transferLeadership: async (request, call) => {
      await transferLeadership(context, request, call)
      return create(TransferLeadershipResponseSchema)
    },
    admitNode: async (request, call) => {
      await admitNode(context, request, call)
      return create(AdmitNodeResponseSchema)
    },
    joinCluster: (request, call) => joinCluster(context, request, call),
    removeNode: async ({ node }, call) => {
      await removeNode(context, node, call)
      return create(RemoveNodeResponseSchema)
    },
    giveUpRange: (request, call) => giveUpRange(context, request, call),
    describeMembers: () => describeMembers(context),
    backUpGroup: (request, call) => backUpGroup(context, request, AbortSignal.any([call.signal, context.stopping])),
  }
}

export function nodeStatus(context: BrokerContext): NodeStatusResponse {
  const { logStore } = context
  const response = create(NodeStatusResponseSchema, {
    node: context.nodeId,
    clusterId: context.clusterId,
    version: context.version,
    startedAt: BigInt(context.startedAt),
    replicas: context.topics.replicas().map(replicaStatus),
    recordsAppended: BigInt(context.counters.recordsAppended),
    residentBytes: BigInt(process.memoryUsage.rss()),
    refused: refusedGroups(context),
  })
  if (logStore === undefined) return response
  const { diskFreeBytes, fsyncs, fsyncMsTotal } = logStore.stats()
  response.disk = create(DiskStatusSchema, {
    freeBytes: wholeBytes(diskFreeBytes),
    usedBytes: wholeBytes(context.diskUsedBytes()),
    fsyncs: BigInt(fsyncs),
    fsyncMsMean: fsyncs === 0 ? 0 : fsyncMsTotal / fsyncs,
    acceptsAppends: logStore.acceptsAppends,
  })
  return response
}

/** What the log store refuses, and what could not be opened on top of it. */
function refusedGroups({ logStore, failedReplicas }: BrokerContext): RefusedGroup[] {
  const reasons = new Map(failedReplicas().map(({ group, reason }) => [group, reason]))
  for (const { group, reason } of logStore?.refused() ?? []) reasons.set(group, reason.message)
  return [...reasons].map(([group, reason]) => create(RefusedGroupSchema, { group: BigInt(group), reason }))
}

/** A store without a disk may answer Infinity. */
function wholeBytes(bytes: number): bigint {
  return BigInt(Number.isSafeInteger(bytes) ? bytes : Number.MAX_SAFE_INTEGER)
}

function replicaStatus({ topic, partition, handle, highWatermark }: StartedGroup): ReplicaStatus {
  const status = handle.status()
  return create(ReplicaStatusSchema, {
    group: BigInt(status.group),
    topic,
    partition,
    role: status.role,
    leaderNode: status.leaderNode,
    term: BigInt(status.term),
    commit: BigInt(status.commit),
    applied: BigInt(status.applied),
    lastIndex: BigInt(status.lastIndex),
    highWatermark: BigInt(highWatermark),
    replica: status.replica,
    ...(status.damage !== undefined && { damage: logDamage(status.damage) }),
    ...(status.state !== undefined && { state: stateRepair(status.state) }),
    ...(status.receiving !== undefined && { receiving: transfer(status.receiving) }),
    followers: status.followers.map(({ node, replica, learner, match, state, recentlyActive, snapshot }) =>
      create(FollowerStatusSchema, {
        node,
        match: BigInt(match),
        state,
        lag: BigInt(Math.max(0, status.lastIndex - match)),
        recentlyActive,
        replica,
        learner,
        ...(snapshot !== undefined && { snapshot: transfer(snapshot) }),
      }),
    ),
  })
}

function stateRepair({ missing, least = 0, restored, lastSource }: StateRepairStatus): StateRepair {
  return create(StateRepairSchema, { missing, least: BigInt(least), restored: BigInt(restored), lastSource })
}

function logDamage({ holes, entriesMissing, framesRepaired, lastSource }: GroupDamage): LogDamage {
  return create(LogDamageSchema, {
    holes: holes.map(({ first, last }) => create(LogHoleSchema, { first: BigInt(first), last: BigInt(last) })),
    entriesMissing: BigInt(entriesMissing),
    entriesRepaired: BigInt(framesRepaired),
    lastSource,
  })
}

function transfer({ index, bytes, bytesTotal }: TransferProgress): SnapshotTransfer {
  return create(SnapshotTransferSchema, { index: BigInt(index), bytes: BigInt(bytes), bytesTotal: BigInt(bytesTotal) })
}

async function transferLeadership(
  context: BrokerContext,
  request: TransferLeadershipRequest,
  call: HandlerContext,
): Promise<void> {
  const { topics, directory } = context
  if (request.topic !== '') checkPartition(await findTopic(context, request.topic), request.partition)
  const replica = topics
    .replicas()
    .find(entry => entry.topic === request.topic && (request.topic === '' || entry.partition === request.partition))
  if (replica !== undefined && request.toNode === context.nodeId && (await startsHere(context, replica, call.signal))) {
    topics.holdLeadership(replica.handle.group)
    return
  }
  if (replica?.handle.leading) {
    await moveTo(context, request, replica, target(replica, request.toNode), call.signal)
    return
  }
  const what = request.topic === '' ? 'the catalogue' : `${request.topic}/${request.partition}`
  const leaderNode =
    request.topic === '' ? topics.catalogue.leaderNode : topics.leaderOf(request.topic, request.partition)
  const refusal = notLeader(directory, { what, leaderNode, term: replica?.handle.term ?? 0 })
  if (isForwarded(call) || refusal.code !== 'NOT_LEADER') throw refusal
  await context.forwarder.run(leaderNode, clients =>
    clients.cluster.transferLeadership(request, { signal: call.signal, timeoutMs: 5_000 }),
  )
}

/** Whether this node leads the group, once its election is over: the old leader knows of it sooner than it is. */
async function startsHere({ nodeId }: BrokerContext, { handle }: StartedGroup, signal: AbortSignal): Promise<boolean> {
  const deadline = performance.now() + HAND_OVER_MS
  while (!handle.leading && handle.leaderNode === nodeId && performance.now() < deadline && !signal.aborted) {
    await sleep(5, signal)
  }
  return handle.leading
}

/** Hands over, and tells the new leader that somebody wants it there: it does not give the leadership back by itself. */
async function moveTo(
  { forwarder, log }: BrokerContext,
  { topic, partition }: TransferLeadershipRequest,
  replica: StartedGroup,
  toNode: number,
  signal: AbortSignal,
): Promise<void> {
  await handOver(replica, toNode, signal)
  try {
    await forwarder.run(toNode, clients =>
      clients.cluster.transferLeadership({ topic, partition, toNode }, { signal, timeoutMs: HAND_OVER_MS }),
    )
  } catch (error) {
    log.warn({ topic, partition, toNode, reason: String(error) }, 'the leadership moved, and may be moved back')
  }
}

/** How long one attempt may take before it is made again, and how often it is made. */
const HAND_OVER_MS = 1_000
const HAND_OVERS_MAX = 3

/** Resolves when the node leads. An attempt fails where the target is behind or an election comes in between. */
async function handOver({ handle }: StartedGroup, toNode: number, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; attempt < HAND_OVERS_MAX && !signal.aborted; attempt++) {
    if (handle.leading) handle.transferLeadership(toNode)
    const deadline = performance.now() + HAND_OVER_MS
    while (performance.now() < deadline && !signal.aborted) {
      if (handle.leaderNode === toNode) return
      await sleep(5, signal)
    }
  }
  const { leaderNode } = handle
  throw new MillraceError(
    'NO_LEADER',
    `the leadership did not move to node ${toNode}; leader is ${leaderNode}; try again`,
  )
}

/** The named node, or the follower that has most of the log. */
function target({ handle }: StartedGroup, toNode: number): number {
  const { followers } = handle.status()
  if (toNode !== 0) {
    if (followers.some(follower => follower.node === toNode)) return toNode
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `to_node: node ${toNode} holds no other replica; nodes that do: ${followers.map(f => f.node).join(', ') || 'none'}`,
    )
  }
  const best = followers
    .filter(follower => follower.recentlyActive && !follower.learner)
    .toSorted((a, b) => b.match - a.match)[0]
  if (best !== undefined) return best.node
  throw new MillraceError('INVALID_ARGUMENT', 'to_node: no other node holds a replica that is up to date')
}
