/**
 * Connections to nodes: one per URL, opened when first used, shared by all calls. How bytes travel is the dialler's
 * business (HTTP/2 of Node, fetch of browsers, a router in the same process); everything above sees Connect clients.
 */
import { type Client, createClient, type Transport } from '@connectrpc/connect'
import { ClusterService, LogService, TopicService } from '@millrace/proto'

/** One way to one node. */
export interface Wire {
  readonly transport: Transport
  /** Ends all calls and the connection under them. A later call may open it again. */
  reset(reason: Error): void
}

/** Makes the wire to a node's base URL; connects no sooner than the first call. */
export type Dial = (url: string) => Wire

export interface Connection {
  readonly url: string
  readonly log: Client<typeof LogService>
  readonly topics: Client<typeof TopicService>
  readonly cluster: Client<typeof ClusterService>
  reset(reason: Error): void
}

export class ConnectionPool {
  readonly #dial: Dial
  readonly #byUrl = new Map<string, Connection>()

  constructor(dial: Dial) {
    this.#dial = dial
  }

  get(url: string): Connection {
    const known = this.#byUrl.get(url)
    if (known !== undefined) return known
    const wire = this.#dial(url)
    const connection: Connection = {
      url,
      log: createClient(LogService, wire.transport),
      topics: createClient(TopicService, wire.transport),
      cluster: createClient(ClusterService, wire.transport),
      reset: reason => wire.reset(reason),
    }
    this.#byUrl.set(url, connection)
    return connection
  }

  close(reason: Error): void {
    for (const connection of this.#byUrl.values()) connection.reset(reason)
    this.#byUrl.clear()
  }
}
