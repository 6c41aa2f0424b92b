/** The plain HTTP routes of the client port: path and method to handler. */
import type { TurnPicker } from '../append/plain-append.ts'
import type { BrokerContext } from '../broker-context.ts'
import { appendRoute } from './append-route.ts'
import { clusterRoute } from './cluster-route.ts'
import { frontPage } from './front-page.ts'
import { livezRoute, readyzRoute } from './health.ts'
import { RouteError, sendError } from './http-error.ts'
import { hostOf, type NodeRequest, type NodeResponse } from './node-http.ts'
import { decodeSegment, splitUrl } from './query.ts'
import { readRoute } from './read-route.ts'
import { createRoute, deleteRoute, describeRoute, listRoute, trimRoute } from './topic-routes.ts'

export type RouteHandler = (request: NodeRequest, response: NodeResponse) => Promise<void>

/** Answers every request, also with its errors; never rejects. */
export function routeHandler(context: BrokerContext, turns: TurnPicker): RouteHandler {
  return async (request, response) => {
    try {
      await route(context, turns, request, response)
    } catch (error) {
      logDefect(context, error)
      sendError(response, error)
    }
  }
}

async function route(
  context: BrokerContext,
  turns: TurnPicker,
  request: NodeRequest,
  response: NodeResponse,
): Promise<void> {
  const { path, query } = splitUrl(request.url ?? '/')
  const method = request.method ?? 'GET'
  const segments = path.split('/').slice(1)
  const byMethod = (handlers: Readonly<Record<string, () => void | Promise<void>>>) => {
    const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined
    if (handler !== undefined) return handler()
    const allow = Object.keys(handlers)
    throw new RouteError(405, `${method} ${path}: this route takes ${allow.join(' and ')}`, allow)
  }
  const [first, second, third, fourth] = segments
  if (first === 'v1' && second === 'topics' && third !== undefined && third !== '') {
    const topic = decodeSegment(third)
    if (segments.length === 3) {
      return byMethod({
        GET: () => describeRoute(context, topic, query, response),
        DELETE: () => deleteRoute(context, topic, query, response),
      })
    }
    if (segments.length === 4 && fourth === 'records') {
      return byMethod({
        GET: () => readRoute(context, topic, query, request, response),
        POST: () => appendRoute(context, turns, topic, query, request, response),
        DELETE: () => trimRoute(context, topic, query, response),
      })
    }
  }
  switch (path) {
    case '/v1/topics':
      return byMethod({
        GET: () => listRoute(context, query, response),
        POST: () => createRoute(context, query, request, response),
      })
    case '/v1/cluster':
      return byMethod({ GET: () => clusterRoute(context, query, response) })
    case '/livez':
      return byMethod({ GET: () => livezRoute(response) })
    case '/readyz':
      return byMethod({ GET: () => readyzRoute(context, response) })
    case '/metrics':
      throw new RouteError(404, 'metrics are on the admin port (listen.admin, 127.0.0.1:7090 by default)')
    case '/':
      return byMethod({
        GET: () => frontPage(response, hostOf(request) ?? 'localhost', context.nodeId, context.version),
      })
    default:
      throw new RouteError(404, `no route ${path}; GET / lists them`)
  }
}

function logDefect(context: BrokerContext, error: unknown): void {
  const defect =
    !(error instanceof RouteError) && !(error instanceof Error && 'code' in error && error.code !== 'INTERNAL')
  if (defect) context.log.error({ err: error }, 'a route failed')
}
