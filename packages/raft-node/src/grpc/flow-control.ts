/**
 * Flow-control windows of grpc-js.
 *
 * Work-around for @grpc/grpc-js 1.14.7: its clients obey `grpc-node.flow_control_window`, its servers ignore it and give
 * every stream and every connection 64 KiB, which stalls a follower at one window per round trip. It goes through two
 * private names: the settings in `commonServerOptions`, which every http2 server of this grpc server is made with, and
 * `_setupHandlers`, which sees each http2 server before it listens. `flow-control.test.ts` measures the window that a
 * client gets, and fails when a plain server gives it too: then this file can go.
 */
import type { Http2Server, ServerHttp2Session } from 'node:http2'
import type { ChannelOptions, Server } from '@grpc/grpc-js'

/** Window of each stream and each connection, in bytes. */
export const FLOW_CONTROL_WINDOW_BYTES: number = 8 * 1024 * 1024

interface PrivateServer {
  commonServerOptions?: { settings?: { initialWindowSize?: number } }
  _setupHandlers?: (this: Server, server: Http2Server, interceptors: unknown) => void
}

/** Options that give a client the window. */
export function clientWindow(): ChannelOptions {
  return { 'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES }
}

/**
 * Gives the server the window. Call it before `bindAsync`.
 *
 * @throws Error when this version of grpc-js no longer has the names that the work-around goes through
 */
export function widenServerWindow(server: Server, bytes: number = FLOW_CONTROL_WINDOW_BYTES): void {
  const inner = server as unknown as PrivateServer
  const setup = inner._setupHandlers
  if (inner.commonServerOptions === undefined || setup === undefined) {
    throw new Error('flow-control.ts does not fit this version of @grpc/grpc-js')
  }
  inner.commonServerOptions.settings = { ...inner.commonServerOptions.settings, initialWindowSize: bytes }
  inner._setupHandlers = function (this: Server, http2Server, interceptors): void {
    http2Server.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(bytes))
    setup.call(this, http2Server, interceptors)
  }
}
