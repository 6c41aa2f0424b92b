/** Which nodes there are and how to reach them, as this node sees it. */
import { create } from '@bufbuild/protobuf'
import { ClusterNodeSchema, type DescribeClusterResponse, DescribeClusterResponseSchema } from '@millrace/proto'
import { type BrokerContext, PROTOCOL_MAX, PROTOCOL_MIN } from '../broker-context.ts'

export function describeCluster(context: BrokerContext): DescribeClusterResponse {
  const { directory, nodeId, members } = context
  const removed = new Set(members.nodes().flatMap(entry => (entry.removed ? [entry.node] : [])))
  return create(DescribeClusterResponseSchema, {
    clusterId: context.clusterId,
    node: nodeId,
    nodes: directory.nodes
      .filter(({ node }) => !removed.has(node))
      .map(({ node, clientUrl, peerAddress }) =>
        create(ClusterNodeSchema, {
          node,
          clientUrl,
          peerAddress,
          reachable: node === nodeId || context.isConnected(node),
        }),
      ),
    protocolMin: PROTOCOL_MIN,
    protocolMax: PROTOCOL_MAX,
    version: context.version,
    now: BigInt(Date.now()),
  })
}
