/** What the ports answer while a node recovers: it lives, and is not ready. */
import { MillraceError } from '@millrace/record'
import { livezRoute } from '../http/health.ts'
import { sendError, sendJson } from '../http/http-error.ts'
import type { NodeRequest, NodeResponse } from '../http/node-http.ts'
import { splitUrl } from '../http/query.ts'

export type PortHandler = (request: NodeRequest, response: NodeResponse) => void

/** A handler that can be replaced: the ports are bound before there is anything to serve. */
export class SwappableHandler {
  #current: PortHandler = answerNotReady('the node is starting')

  readonly handle: PortHandler = (request, response) => this.#current(request, response)

  notReady(reason: string): void {
    this.#current = answerNotReady(reason)
  }

  serve(handler: PortHandler): void {
    this.#current = handler
  }
}

function answerNotReady(reason: string): PortHandler {
  return (request, response) => {
    const { path } = splitUrl(request.url ?? '/')
    if (path === '/livez') livezRoute(response)
    else if (path === '/readyz') sendJson(response, 503, { status: 'not ready', reasons: [reason] })
    else sendError(response, new MillraceError('NO_LEADER', `${reason}; try again`))
  }
}
