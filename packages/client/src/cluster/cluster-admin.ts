/** The cluster as people see it. */
import type { ClusterDirectory } from './cluster-directory.ts'

export interface ClusterNode {
  readonly node: number
  /** Base URL of its client port. */
  readonly clientUrl: string
  readonly peerAddress: string
  /** As seen by the node that answers. */
  readonly reachable: boolean
}

export interface ClusterDescription {
  readonly clusterId: string
  /** The node that answers. */
  readonly node: number
  readonly nodes: readonly ClusterNode[]
  readonly version: string
  readonly protocolMin: number
  readonly protocolMax: number
}

export class ClusterAdmin {
  readonly #directory: ClusterDirectory

  constructor(directory: ClusterDirectory) {
    this.#directory = directory
  }

  /** @throws UNREACHABLE */
  async describe(signal?: AbortSignal): Promise<ClusterDescription> {
    const { clusterId, node, nodes, version, protocolMin, protocolMax } = await this.#directory.call(
      ({ cluster }, options) => cluster.describeCluster({}, options),
      signal,
    )
    return {
      clusterId,
      node,
      nodes: nodes.map(({ node: id, clientUrl, peerAddress, reachable }) => ({
        node: id,
        clientUrl,
        peerAddress,
        reachable,
      })),
      version,
      protocolMin,
      protocolMax,
    }
  }
}
