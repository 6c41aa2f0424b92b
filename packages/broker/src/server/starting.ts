/** What the ports answer while a node recovers: it lives, and is not ready. */
import { MillraceError } from '@millrace/record'
import { livezRoute } from '../http/health.ts'
import { sendError, sendJson } from '../http/http-error.ts'
import type { NodeRequest, NodeResponse } from '../http/node-http.ts'
import { splitUrl } from '../http/query.ts'

export type PortHandler = (request: NodeRequest, response: NodeResponse) => void

/** A handler that can be replaced: the ports are bound before there is anything to serve. */
export class SwappableHandler {
  #current: PortHandler = answerStarting

  readonly handle: PortHandler = (request, response) => this.#current(request, response)

  serve(handler: PortHandler): void {
    this.#current = handler
  }
}

function answerStarting(request: NodeRequest, response: NodeResponse): void {
  const { path } = splitUrl(request.url ?? '/')
  if (path === '/livez') livezRoute(response)
  else if (path === '/readyz') sendJson(response, 503, { status: 'not ready', reasons: ['the node is starting'] })
  else sendError(response, new MillraceError('NO_LEADER', 'the node is starting; try again'))
}
