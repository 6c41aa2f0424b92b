/** GET /v1/cluster: the nodes, and what runs on the one that answers. */
import { toJson } from '@bufbuild/protobuf'
import { DescribeClusterResponseSchema, NodeStatusResponseSchema } from '@millrace/proto'
import type { BrokerContext } from '../broker-context.ts'
import { nodeStatus } from '../services/cluster-service.ts'
import { describeCluster } from '../services/describe-cluster.ts'
import { sendJson } from './http-error.ts'
import type { NodeResponse } from './node-http.ts'
import { parseQuery } from './query.ts'

/** Protobuf's JSON: 64-bit numbers are strings. */
export function clusterRoute(context: BrokerContext, query: string, response: NodeResponse): void {
  parseQuery(query, [])
  const options = { alwaysEmitImplicit: true }
  sendJson(response, 200, {
    cluster: toJson(DescribeClusterResponseSchema, describeCluster(context), options),
    node: toJson(NodeStatusResponseSchema, nodeStatus(context), options),
  })
}
