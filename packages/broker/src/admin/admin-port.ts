/** The admin port: /metrics, /livez, /readyz. HTTP/1.1 only, with the same rules for Host and Origin as the client port. */
import { createServer } from 'node:http'
import type { BrokerContext } from '../broker-context.ts'
import type { Address } from '../config/address.ts'
import { livezRoute, readyzRoute } from '../http/health.ts'
import { RouteError, sendError } from '../http/http-error.ts'
import type { NodeRequest, NodeResponse } from '../http/node-http.ts'
import type { OriginRules } from '../http/origin-guard.ts'
import { splitUrl } from '../http/query.ts'
import { bind, type Listener } from '../server/client-listener.ts'
import { admit } from '../server/client-port.ts'
import type { PortHandler } from '../server/starting.ts'
import type { Metrics } from './metrics.ts'

const CONNECTIONS_MAX = 64

/** @throws StartError PORT_IN_USE, ADDRESS_UNAVAILABLE */
export async function listenAdmin(address: Address, handle: PortHandler): Promise<Listener> {
  const server = createServer({ headersTimeout: 10_000, requestTimeout: 10_000, maxHeaderSize: 16_384 }, handle)
  server.maxConnections = CONNECTIONS_MAX
  server.on('clientError', (_error, socket) => socket.destroy())
  const bound = await bind(server, 'admin', address)
  return {
    address: bound,
    close: graceMs =>
      new Promise(resolve => {
        const timer = setTimeout(() => server.closeAllConnections(), graceMs)
        server.close(() => {
          clearTimeout(timer)
          resolve()
        })
        server.closeIdleConnections()
      }),
  }
}

export function adminPortHandler(context: BrokerContext, metrics: Metrics, rules: OriginRules): PortHandler {
  return (request, response) => {
    if (!admit(context, rules, request, response)) return
    answer(context, metrics, request, response).catch((error: unknown) => {
      context.log.error({ err: error }, 'a route of the admin port failed')
      sendError(response, error)
    })
  }
}

async function answer(
  context: BrokerContext,
  metrics: Metrics,
  request: NodeRequest,
  response: NodeResponse,
): Promise<void> {
  const { path } = splitUrl(request.url ?? '/')
  switch (path) {
    case '/metrics': {
      const text = await metrics.render()
      response.writeHead(200, { 'content-type': metrics.contentType })
      response.end(text)
      return
    }
    case '/livez':
      livezRoute(response)
      return
    case '/readyz':
      readyzRoute(context, response)
      return
    default:
      sendError(response, new RouteError(404, `no route ${path}; there are /metrics, /livez and /readyz`))
  }
}
