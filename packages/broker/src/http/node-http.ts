/** Requests and responses of Node's HTTP/1.1 and HTTP/2 servers, as far as they are the same. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'

export type NodeRequest = IncomingMessage | Http2ServerRequest

/** The two response classes agree on everything but the overloads of these two methods. */
export type NodeResponse = (
  | Omit<ServerResponse, 'write' | 'writeHead'>
  | Omit<Http2ServerResponse, 'write' | 'writeHead'>
) & {
  write(chunk: string | Uint8Array, callback?: (error: Error | null | undefined) => void): boolean
  write(
    chunk: string | Uint8Array,
    encoding: BufferEncoding,
    callback?: (error: Error | null | undefined) => void,
  ): boolean
  writeHead(status: number, headers?: OutgoingHttpHeaders): unknown
}

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
