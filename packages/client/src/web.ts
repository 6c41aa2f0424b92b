/**
 * The Millrace SDK for browsers, over fetch: appends are unary calls, reads are streams of records that the broker has
 * decoded (so zstd needs no decoder here). Everything else is as in Node.
 */
import { createConnectTransport } from '@connectrpc/connect-web'
import { MillraceError } from '@millrace/record'
import { Client } from './client.ts'
import { type ClientOptions, resolveOptions, type Target, targetOf } from './client-options.ts'
import type { Wire } from './cluster/connection.ts'

export * from './api.ts'

/**
 * A client of a cluster. Connects when first used. The broker must allow this page's origin (`http.allowedOrigins`).
 *
 * @param target URL or URLs of any nodes
 * @throws INVALID_ARGUMENT naming the URL or option; UNSUPPORTED for compression
 */
export function connect(target: Target, options: ClientOptions = {}): Client {
  const { urls, dial } = targetOf(target)
  const resolved = resolveOptions(options)
  if (resolved.compression !== 'none') {
    throw new MillraceError('UNSUPPORTED', `compression ${resolved.compression}: there is none in browsers`)
  }
  return new Client(urls, resolved, { dial: dial ?? webDial, appends: 'unary', reads: 'records' })
}

function webDial(url: string): Wire {
  const transport = createConnectTransport({ baseUrl: url, useBinaryFormat: true })
  // Connections are the browser's; calls end by their own signals.
  return { transport, reset: () => {} }
}
