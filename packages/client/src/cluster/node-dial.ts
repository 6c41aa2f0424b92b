/**
 * The way to a node from Node: the Connect protocol over HTTP/2, without compression (values are compressed by the
 * producer, if at all), with pings that notice a node which is there but does not move.
 */
import type { ClientHttp2Stream } from 'node:http2'
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node'
import type { Wire } from './connection.ts'
import { http2Transport } from './http2-transport.ts'

/** Bytes of one response stream that may be on the way before its reader takes them. */
const STREAM_WINDOW_BYTES = 1_048_576
/** The same for all streams of a connection together; it starts at 64 KiB otherwise. */
const SESSION_WINDOW_BYTES = 16 * 1_048_576
/** The largest message: a few record sets with what is around them. */
const MESSAGE_BYTES_MAX = 16 * 1_048_576
const PING_INTERVAL_MS = 3_000
const PING_TIMEOUT_MS = 3_000

/**
 * A connection may fail twice: its manager stops listening after the first error, and Node ends a process over one that
 * nobody hears. So does a port that speaks no HTTP/2.
 */
class Sessions extends Http2SessionManager {
  readonly #guarded = new WeakSet<object>()

  override async request(...call: Parameters<Http2SessionManager['request']>): Promise<ClientHttp2Stream> {
    const stream = await super.request(...call)
    const { session } = stream
    if (session !== undefined && !this.#guarded.has(session)) {
      this.#guarded.add(session)
      // The calls of the connection have failed with its first error.
      session.on('error', () => {})
      if ('setLocalWindowSize' in session) session.setLocalWindowSize(SESSION_WINDOW_BYTES)
    }
    return stream
  }
}

export function nodeDial(url: string): Wire {
  const sessionManager = new Sessions(
    url,
    { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: PING_TIMEOUT_MS },
    { settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false } },
  )
  const other = createConnectTransport({
    baseUrl: url,
    httpVersion: '2',
    sessionManager,
    acceptCompression: [],
    readMaxBytes: MESSAGE_BYTES_MAX,
  })
  const transport = http2Transport({
    baseUrl: url,
    sessions: sessionManager,
    messageBytesMax: MESSAGE_BYTES_MAX,
    other,
  })
  return { transport, reset: reason => sessionManager.abort(reason) }
}
