/** HTTP/2 connections to other nodes whose second error is heard too. */
import type { ClientHttp2Stream } from 'node:http2'
import { Http2SessionManager } from '@connectrpc/connect-node'

/**
 * A connection may fail twice: its manager stops listening after the first error, and Node ends a process over one that
 * nobody hears. So does an address in `cluster.nodes` at which no HTTP/2 is spoken.
 */
export class PeerSessions extends Http2SessionManager {
  readonly #guarded = new WeakSet<object>()

  override async request(...call: Parameters<Http2SessionManager['request']>): Promise<ClientHttp2Stream> {
    const stream = await super.request(...call)
    const { session } = stream
    if (session !== undefined && !this.#guarded.has(session)) {
      this.#guarded.add(session)
      // The calls of the connection have failed with its first error.
      session.on('error', () => {})
    }
    return stream
  }
}
