/** The part of the ClusterService that changes who belongs to the cluster, and says who is to. */
import { create } from '@bufbuild/protobuf'
import type { HandlerContext } from '@connectrpc/connect'
import {
  type AdmitNodeRequest,
  type DescribeMembersResponse,
  DescribeMembersResponseSchema,
  type JoinClusterRequest,
  type JoinClusterResponse,
  JoinClusterResponseSchema,
} from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import type { BrokerContext } from '../broker-context.ts'
import { onCatalogueLeader } from '../cluster/catalogue-call.ts'
import { catchUp } from '../cluster/topic-lookup.ts'
import { describeCluster } from './describe-cluster.ts'
import { isForwarded } from './log-service.ts'

const FORWARD_MS = 10_000

/** @throws MillraceError INVALID_ARGUMENT, also where the node runs that is to be replaced */
export async function admitNode(
  context: BrokerContext,
  { node, replace }: AdmitNodeRequest,
  call: HandlerContext,
): Promise<void> {
  await onCatalogueLeader<void>(context, {
    forwarded: isForwarded(call),
    signal: call.signal,
    local: async () => {
      if (replace && (node === context.nodeId || context.isConnected(node))) throw runs(node)
      await context.members.admit(node, replace)
    },
    remote: async clients => {
      await clients.cluster.admitNode({ node, replace }, { signal: call.signal, timeoutMs: FORWARD_MS })
    },
  })
}

/** @throws MillraceError INVALID_ARGUMENT, UNREACHABLE where the node is of another cluster */
export async function joinCluster(
  context: BrokerContext,
  request: JoinClusterRequest,
  call: HandlerContext,
): Promise<JoinClusterResponse> {
  const { node, folder, clientUrl, peerAddress, clusterId } = request
  if (clusterId !== context.clusterId) {
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `node ${node} was prepared for cluster ${clusterId}, and this is node ${context.nodeId} of cluster ${context.clusterId}`,
    )
  }
  return onCatalogueLeader(context, {
    forwarded: isForwarded(call),
    signal: call.signal,
    local: async () => {
      const { catalogueReplica } = await context.members.claim({ node, folder, clientUrl, peerAddress })
      return create(JoinClusterResponseSchema, { catalogueReplica, nodes: describeCluster(context).nodes })
    },
    remote: clients =>
      clients.cluster.joinCluster(
        { node, folder, clientUrl, peerAddress, clusterId },
        { signal: call.signal, timeoutMs: FORWARD_MS },
      ),
  })
}

/** @throws MillraceError INVALID_ARGUMENT */
export async function removeNode(context: BrokerContext, node: number, call: HandlerContext): Promise<void> {
  await onCatalogueLeader<void>(context, {
    forwarded: isForwarded(call),
    signal: call.signal,
    local: () => context.members.remove(node),
    remote: async clients => {
      await clients.cluster.removeNode({ node }, { signal: call.signal, timeoutMs: FORWARD_MS })
    },
  })
}

/** As of everything that was committed before the call. @throws MillraceError NO_LEADER */
export async function describeMembers(context: BrokerContext): Promise<DescribeMembersResponse> {
  const { members } = context
  await catchUp(context)
  return create(DescribeMembersResponseSchema, {
    nodes: members.nodes().map(({ node, admits, removed }) => ({ node, admits, removed })),
    groups: members.groups().map(({ group, topic, partition, replicas }) => ({
      group: BigInt(group),
      topic,
      partition,
      replicas: replicas.map(({ replica, node }) => ({ replica, node })),
    })),
  })
}

function runs(node: number): MillraceError {
  const how = 'stop it, empty its data folder and prepare it with millrace init --join'
  return new MillraceError(
    'INVALID_ARGUMENT',
    `node ${node} runs: only a node whose folder is lost is replaced. If so, ${how}`,
  )
}
