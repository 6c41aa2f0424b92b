/** One {@link AppendLink} per node, shared by the lanes of all topics; a new one when the last has ended. */
import type { ConnectionPool } from '../cluster/connection.ts'
import type { AppendLink } from './append-link.ts'
import { AppendStream } from './append-stream.ts'
import { UnaryLink } from './unary-link.ts'

export interface LinkPoolOptions {
  readonly kind: 'stream' | 'unary'
  readonly attemptTimeoutMs: number
  readonly now: () => number
}

export class LinkPool {
  readonly #connections: ConnectionPool
  readonly #options: LinkPoolOptions
  readonly #byUrl = new Map<string, AppendLink>()
  #lastId = 0

  constructor(connections: ConnectionPool, options: LinkPoolOptions) {
    this.#connections = connections
    this.#options = options
  }

  get(url: string): AppendLink {
    const open = this.#byUrl.get(url)
    if (open !== undefined) return open
    const id = ++this.#lastId
    const connection = this.#connections.get(url)
    const link =
      this.#options.kind === 'unary'
        ? new UnaryLink(id, connection, this.#options.attemptTimeoutMs)
        : new AppendStream(id, connection, this.#options)
    this.#byUrl.set(url, link)
    link.onEnd(() => {
      if (this.#byUrl.get(url) === link) this.#byUrl.delete(url)
    })
    return link
  }

  close(): void {
    for (const link of [...this.#byUrl.values()]) link.close()
    this.#byUrl.clear()
  }
}
