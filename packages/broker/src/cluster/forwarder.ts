/**
 * Passes calls on to the node that leads: one hop, at most `forwardsMax` at a time, each counted. A call that came from
 * another node is never handed to it.
 */
import { MillraceError } from '@millrace/record'
import { toMillraceError } from '../services/connect-error.ts'
import type { NodeDirectory, PeerClients } from './node-directory.ts'

export interface ForwardCounters {
  started(): void
  failed(): void
}

export class Forwarder {
  readonly #directory: NodeDirectory
  readonly #forwardsMax: number
  readonly #counters: ForwardCounters
  #running = 0

  constructor(directory: NodeDirectory, forwardsMax: number, counters: ForwardCounters) {
    this.#directory = directory
    this.#forwardsMax = forwardsMax
    this.#counters = counters
  }

  /**
   * @throws MillraceError THROTTLED when too many calls are under way, UNREACHABLE, and whatever the other node answers
   */
  async run<T>(node: number, call: (clients: PeerClients) => Promise<T>): Promise<T> {
    if (this.#running >= this.#forwardsMax) {
      throw new MillraceError(
        'THROTTLED',
        `${this.#running} calls are being passed on to other nodes, the limit (limits.forwardsMax)`,
        { details: { limit: 'limits.forwardsMax', value: this.#forwardsMax } },
      )
    }
    const clients = this.#directory.clients(node)
    if (clients === undefined) {
      throw new MillraceError('UNREACHABLE', `node ${node} is not in cluster.nodes of node ${this.#directory.self}`)
    }
    this.#running++
    this.#counters.started()
    try {
      return await call(clients)
    } catch (error) {
      this.#counters.failed()
      throw toMillraceError(error)
    } finally {
      this.#running--
    }
  }
}
