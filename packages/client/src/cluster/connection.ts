/**
 * Connections to nodes, opened when first used: per URL one that all calls and appends share, and others for read streams,
 * each with a bounded number of them. A node bounds the streams of a connection, and streams above that would wait in
 * silence; and a bulk read must not stand in the way of an acknowledgement. How bytes travel is the dialler's
 * business (HTTP/2 of Node, fetch of browsers, a router in the same process); everything above sees Connect clients.
 */
import { type Client, createClient, type Transport } from '@connectrpc/connect'
import { ClusterService, LogService, TopicService } from '@millrace/proto'

/** One way to one node. */
export interface Wire {
  readonly transport: Transport
  /** Ends all calls and the connection under them. A later call may open it again. */
  readonly reset: (reason: Error) => void
}

/** Makes the wire to a node's base URL; connects no sooner than the first call. */
export type Dial = (url: string) => Wire

export interface Connection {
  readonly url: string
  readonly log: Client<typeof LogService>
  readonly topics: Client<typeof TopicService>
  readonly cluster: Client<typeof ClusterService>
  readonly reset: (reason: Error) => void
}

/** A place for one read stream. */
export interface ReadLease {
  readonly connection: Connection
  release(): void
}

interface ReadConnection {
  readonly connection: Connection
  streams: number
}

/** Read streams of one connection; brokers allow 1,000 by default. */
const READ_STREAMS_MAX = 256

export class ConnectionPool {
  readonly #dial: Dial
  readonly #byUrl = new Map<string, Connection>()
  readonly #reads = new Map<string, ReadConnection[]>()

  constructor(dial: Dial) {
    this.#dial = dial
  }

  get(url: string): Connection {
    const known = this.#byUrl.get(url)
    if (known !== undefined) return known
    const connection = this.#open(url)
    this.#byUrl.set(url, connection)
    return connection
  }

  /** A connection with room for one more read stream. To be released when the stream has ended. */
  read(url: string): ReadLease {
    const connections = this.#reads.get(url) ?? []
    this.#reads.set(url, connections)
    let place = connections.find(({ streams }) => streams < READ_STREAMS_MAX)
    if (place === undefined) {
      place = { connection: this.#open(url), streams: 0 }
      connections.push(place)
    }
    const taken = place
    taken.streams++
    return {
      connection: taken.connection,
      release: () => {
        taken.streams--
      },
    }
  }

  close(reason: Error): void {
    for (const connection of this.#byUrl.values()) connection.reset(reason)
    for (const { connection } of [...this.#reads.values()].flat()) connection.reset(reason)
    this.#byUrl.clear()
    this.#reads.clear()
  }

  #open(url: string): Connection {
    const { transport, reset } = this.#dial(url)
    return {
      url,
      log: createClient(LogService, transport),
      topics: createClient(TopicService, transport),
      cluster: createClient(ClusterService, transport),
      reset,
    }
  }
}
