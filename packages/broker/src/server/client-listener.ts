/**
 * One port for HTTP/1.1 and HTTP/2 without TLS. Owns the sockets: every one has an error handler, counts against
 * `connectionsMax`, and is closed by `close`, gently first.
 */
import { createServer as createHttp1Server, type Server as Http1Server } from 'node:http'
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Session } from 'node:http2'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Logger } from 'pino'
import { type Address, formatAddress } from '../config/address.ts'
import type { NodeRequest, NodeResponse } from '../http/node-http.ts'
import { StartError } from '../start-error.ts'
import { http2Options, tuneSession } from './http2-limits.ts'
import { sniffProtocol } from './protocol-sniffer.ts'

export interface ListenerOptions {
  /** Name of the setting, for messages. */
  readonly name: string
  readonly address: Address
  readonly connectionsMax: number
  readonly streamsPerConnectionMax: number
  readonly log: Logger
  readonly handle: (request: NodeRequest, response: NodeResponse) => void
  /** Told when the number of open connections changes. */
  readonly connections: (open: number) => void
}

export interface Listener {
  /** With the real port where 0 was asked for. */
  readonly address: Address
  /** Takes no new connections; waits up to `graceMs` for requests under way, then ends what is left. */
  close(graceMs: number): Promise<void>
}

const SNIFF_TIMEOUT_MS = 10_000

/** A request that crosses the end of its connection on the wire is lost: idle connections stay this much longer. */
const LINGER_MS = 100

/** @throws StartError PORT_IN_USE, ADDRESS_UNAVAILABLE naming setting and address */
export async function listenClients(options: ListenerOptions): Promise<Listener> {
  const { connectionsMax, log } = options
  const sockets = new Set<Socket>()
  const sessions = new Set<ServerHttp2Session>()
  const draining = { now: false }
  const http1 = http1Server(options, draining)
  const http2 = http2Server(options, sessions)
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, socket => {
    sockets.add(socket)
    options.connections(sockets.size)
    socket.once('close', () => {
      sockets.delete(socket)
      options.connections(sockets.size)
    })
    socket.on('error', error => log.debug({ reason: error.message }, 'a connection failed'))
    sniffProtocol(socket, SNIFF_TIMEOUT_MS, protocol => {
      // An HTTP/2 session takes what was put back by itself; resuming the socket would throw it away.
      if (protocol === 'http2') http2.emit('connection', socket)
      else {
        http1.emit('connection', socket)
        socket.resume()
      }
    })
  })
  server.maxConnections = connectionsMax
  server.on('drop', () => log.warn({ connectionsMax }, 'a connection was refused: limits.connectionsMax is reached'))
  const address = await bind(server, options.name, options.address)
  return {
    address,
    close: graceMs => {
      draining.now = true
      return close(server, http1, http2, sockets, sessions, graceMs)
    },
  }
}

function http1Server(options: ListenerOptions, draining: { readonly now: boolean }): Http1Server {
  const handle: ListenerOptions['handle'] = (request, response) => {
    if (draining.now) response.setHeader('connection', 'close')
    options.handle(request, response)
  }
  const server = createHttp1Server(
    {
      requireHostHeader: true,
      headersTimeout: 10_000,
      requestTimeout: 60_000,
      keepAliveTimeout: 60_000,
      maxHeaderSize: 32_768,
      connectionsCheckingInterval: 5_000,
    },
    handle,
  )
  server.maxHeadersCount = 128
  // A body announced with Expect is asked for only when its length is below the limits: the handler decides.
  server.on('checkContinue', handle)
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n')
    else socket.destroy()
  })
  // Node 24 starts the check of the timeouts above when the server listens; this one never does, it is handed sockets.
  server.emit('listening')
  return server
}

function http2Server(options: ListenerOptions, sessions: Set<ServerHttp2Session>): Http2Server {
  const { log, handle, streamsPerConnectionMax } = options
  const server = createHttp2Server(http2Options(streamsPerConnectionMax), handle)
  server.on('session', session => {
    tuneSession(session)
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
    session.on('error', error => log.debug({ reason: error.message }, 'an HTTP/2 session failed'))
  })
  server.on('sessionError', error => log.debug({ reason: String(error) }, 'an HTTP/2 session failed'))
  server.on('stream', stream => {
    stream.on('error', error => log.debug({ reason: error.message }, 'an HTTP/2 stream failed'))
  })
  return server
}

/** @throws StartError */
export function bind(server: Server, name: string, address: Address): Promise<Address> {
  return new Promise((resolve, reject) => {
    server.once('error', error => reject(bindError(error, name, address)))
    server.listen({ host: address.host, port: address.port, exclusive: true }, () => {
      server.removeAllListeners('error')
      server.on('error', () => server.close())
      resolve({ host: address.host, port: (server.address() as AddressInfo).port })
    })
  })
}

function bindError(error: Error, name: string, address: Address): StartError {
  const code = 'code' in error ? error.code : undefined
  const text = formatAddress(address)
  if (code === 'EADDRINUSE') {
    return new StartError('PORT_IN_USE', `listen.${name}: port ${address.port} on ${address.host} is in use`, error)
  }
  return new StartError('ADDRESS_UNAVAILABLE', `listen.${name}: cannot listen on ${text}: ${error.message}`, error)
}

async function close(
  server: Server,
  http1: Http1Server,
  http2: Http2Server,
  sockets: Set<Socket>,
  sessions: Set<ServerHttp2Session>,
  graceMs: number,
): Promise<void> {
  const started = performance.now()
  const closed = new Promise<void>(resolve => server.close(() => resolve()))
  // GOAWAY: streams under way finish, new ones are refused.
  for (const session of sessions) session.close()
  const idle = setInterval(() => {
    if (performance.now() - started >= LINGER_MS) http1.closeIdleConnections()
  }, 20)
  const timer = setTimeout(() => {
    for (const session of sessions) session.destroy()
    for (const socket of sockets) socket.destroy()
  }, graceMs)
  await closed
  clearInterval(idle)
  clearTimeout(timer)
  http1.close()
  http2.close()
}
