/**
 * The way to a node from Node: the Connect protocol over HTTP/2, without compression (values are compressed by the
 * producer, if at all), with pings that notice a node which is there but does not move.
 */
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node'
import type { Wire } from './connection.ts'

/** Bytes of one response stream that may be on the way before its reader takes them. */
const STREAM_WINDOW_BYTES = 1_048_576
/** The largest message: a few record sets with what is around them. */
const MESSAGE_BYTES_MAX = 16 * 1_048_576
const PING_INTERVAL_MS = 3_000
const PING_TIMEOUT_MS = 3_000

export function nodeDial(url: string): Wire {
  const sessionManager = new Http2SessionManager(
    url,
    { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: PING_TIMEOUT_MS },
    { settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false } },
  )
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: '2',
    sessionManager,
    acceptCompression: [],
    readMaxBytes: MESSAGE_BYTES_MAX,
  })
  return { transport, reset: reason => sessionManager.abort(reason) }
}
