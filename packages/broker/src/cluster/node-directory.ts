/**
 * Who is in the cluster and how to reach them: addresses from the configuration and the catalogue, and one HTTP/2 connection per node for
 * calls that are passed on. Connections are opened when first used and closed with the directory.
 */
import { type Client, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { ClusterService, LogService, TopicService } from '@millrace/proto'
import type { ClusterNodeConfig } from '../config/node-config.ts'
import { PeerSessions } from './peer-sessions.ts'

/** Carried by calls that another node passed on: they are answered here or not at all, never passed on again. */
export const FORWARDED_HEADER = 'millrace-forwarded'

/** Above any answer: a read sends at most readBufferBytesMax or one frame per message. */
const READ_BYTES_MAX = 64 * 1_048_576

/** The services of another node. */
export interface PeerClients {
  readonly log: Client<typeof LogService>
  readonly topics: Client<typeof TopicService>
  readonly cluster: Client<typeof ClusterService>
}

interface Connection {
  readonly clients: PeerClients
  readonly sessions: PeerSessions
}

export class NodeDirectory {
  /** This node. */
  readonly self: number
  #nodes: readonly ClusterNodeConfig[]
  readonly #connections = new Map<number, Connection>()
  #closed = false

  constructor(self: number, nodes: readonly ClusterNodeConfig[]) {
    this.self = self
    this.#nodes = sorted(nodes)
  }

  /** Sorted by number; holds this node too. */
  get nodes(): readonly ClusterNodeConfig[] {
    return this.#nodes
  }

  /** Takes over what the cluster says about these nodes: they came while this one ran, or have moved. */
  learn(nodes: readonly ClusterNodeConfig[]): void {
    for (const { node, clientUrl } of nodes) {
      if (this.clientUrl(node) === clientUrl) continue
      this.#connections.get(node)?.sessions.abort()
      this.#connections.delete(node)
    }
    const known = new Set(nodes.map(({ node }) => node))
    this.#nodes = sorted([...nodes, ...this.#nodes.filter(({ node }) => !known.has(node))])
  }

  clientUrl(node: number): string | undefined {
    return this.nodes.find(entry => entry.node === node)?.clientUrl
  }

  /** Clients for another node, or undefined where the node is not in the configuration. */
  clients(node: number): PeerClients | undefined {
    const known = this.#connections.get(node)
    if (known !== undefined) return known.clients
    const url = this.clientUrl(node)
    if (url === undefined || this.#closed) return undefined
    const connection = connect(url, this.self)
    this.#connections.set(node, connection)
    return connection.clients
  }

  close(): void {
    this.#closed = true
    for (const { sessions } of this.#connections.values()) sessions.abort()
    this.#connections.clear()
  }
}

function sorted(nodes: readonly ClusterNodeConfig[]): readonly ClusterNodeConfig[] {
  return nodes.toSorted((a, b) => a.node - b.node)
}

function connect(url: string, self: number): Connection {
  const sessions = new PeerSessions(url, { pingIntervalMs: 10_000, pingTimeoutMs: 5_000 })
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: '2',
    sessionManager: sessions,
    acceptCompression: [],
    readMaxBytes: READ_BYTES_MAX,
    interceptors: [
      next => request => {
        request.header.set(FORWARDED_HEADER, String(self))
        return next(request)
      },
    ],
  })
  return {
    sessions,
    clients: {
      log: createClient(LogService, transport),
      topics: createClient(TopicService, transport),
      cluster: createClient(ClusterService, transport),
    },
  }
}
