/** Requests and responses of Node's HTTP/1.1 and HTTP/2 servers, as far as they are the same. */
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { universalResponseToNodeResponse } from '@connectrpc/connect-node'

export type NodeRequest = IncomingMessage | Http2ServerRequest

/** As connect-node takes them: the two classes agree on everything but the overloads of `write` and `writeHead`. */
export type NodeResponse = Parameters<typeof universalResponseToNodeResponse>[1]

/** One header as text; repeated ones joined. */
export function header(request: NodeRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** The Host header, which HTTP/2 calls `:authority`. */
export function hostOf(request: NodeRequest): string | undefined {
  return header(request, ':authority') ?? header(request, 'host')
}

/** Fires when the response is over: sent completely, or its connection lost. */
export function closedSignal(response: NodeResponse): AbortSignal {
  const controller = new AbortController()
  response.once('close', () => controller.abort())
  return controller.signal
}

/** Writes and waits until the peer takes more. False: the response is over. */
export async function writeAll(response: NodeResponse, chunk: string | Uint8Array): Promise<boolean> {
  if (response.writableEnded || response.destroyed) return false
  if (response.write(chunk)) return true
  return new Promise(resolve => {
    const end = (open: boolean) => {
      response.off('drain', drained)
      response.off('close', closed)
      resolve(open)
    }
    const drained = () => end(true)
    const closed = () => end(false)
    response.once('drain', drained)
    response.once('close', closed)
  })
}
