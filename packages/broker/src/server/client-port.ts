/** What the client port does with a request: who asks, then Connect, then the plain routes. */
import type { IncomingMessage } from 'node:http'
import { LIMITS, MillraceError } from '@millrace/record'
import { TurnPicker } from '../append/plain-append.ts'
import type { BrokerContext } from '../broker-context.ts'
import { sendError, sendJson } from '../http/http-error.ts'
import { header, hostOf, type NodeRequest, type NodeResponse } from '../http/node-http.ts'
import { corsHeaders, judgeOrigin, type OriginRules, PREFLIGHT_HEADERS } from '../http/origin-guard.ts'
import { splitUrl } from '../http/query.ts'
import { routeHandler } from '../http/routes.ts'
import { connectHandler, SERVICE_PREFIX } from '../services/connect-handler.ts'
import { directStreams } from '../services/direct-streams.ts'

export function clientPortHandler(
  context: BrokerContext,
  rules: OriginRules,
): (request: NodeRequest, response: NodeResponse) => void {
  const turns = new TurnPicker()
  const direct = directStreams(context)
  const connect = connectHandler(context, turns)
  const routes = routeHandler(context, turns)
  return (request, response) => {
    if (!admit(context, rules, request, response)) return
    if (!askForBody(request, response)) return
    const { path } = splitUrl(request.url ?? '/')
    if (path.startsWith(SERVICE_PREFIX) && (direct(request, response, path) || connect(request, response, path))) return
    // Never rejects.
    void routes(request, response)
  }
}

/** Applies the origin rules. False: answered already. */
export function admit(
  context: Pick<BrokerContext, 'counters' | 'log'>,
  rules: OriginRules,
  request: NodeRequest,
  response: NodeResponse,
): boolean {
  const facts = {
    host: hostOf(request),
    origin: header(request, 'origin'),
    secFetchSite: header(request, 'sec-fetch-site'),
  }
  const verdict = judgeOrigin(rules, facts)
  if (verdict.type === 'refused') {
    context.counters.refusedOrigins++
    context.log.warn({ ...facts, path: request.url }, 'a request was refused for its origin')
    refuse(request, response, verdict.message)
    return false
  }
  if (verdict.corsOrigin === undefined) return true
  for (const [name, value] of Object.entries(corsHeaders(verdict.corsOrigin))) response.setHeader(name, value)
  if (request.method !== 'OPTIONS') return true
  response.writeHead(204, { ...PREFLIGHT_HEADERS })
  response.end()
  return false
}

/** A Connect client reads `code` and `message` at the top; everybody else `error`. */
function refuse(request: NodeRequest, response: NodeResponse, message: string): void {
  const error = new MillraceError('FORBIDDEN_ORIGIN', message)
  // What is left of the body is not read: the connection ends with the answer.
  const headers: Record<string, string> = request.httpVersionMajor === 1 ? { connection: 'close' } : {}
  if (!(request.url ?? '').startsWith(SERVICE_PREFIX)) {
    sendError(response, error, headers)
    return
  }
  const { code, outcome, retryable, details } = error
  const plain = { code, message, outcome, retryable, details }
  sendJson(response, 403, { code: 'permission_denied', message, error: plain }, headers)
}

/** `Expect: 100-continue`: a body that is too long is refused before it is sent. */
function askForBody(request: NodeRequest, response: NodeResponse): boolean {
  if (header(request, 'expect')?.toLowerCase() !== '100-continue') return true
  const size = Number(header(request, 'content-length') ?? 0)
  // Base64 in Connect's JSON is the longest way to write a record set.
  const max = LIMITS.recordSetBytesMax * 2
  if (size > max) {
    const message = `body bytes: ${size} is above the limit of ${LIMITS.recordSetBytesMax} (recordSetBytesMax)`
    const details = { limit: 'recordSetBytesMax', size, max: LIMITS.recordSetBytesMax }
    sendError(response, new MillraceError('RECORD_TOO_LARGE', message, { details }), { connection: 'close' })
    return false
  }
  if ('writeContinue' in response && isHttp1(request)) response.writeContinue()
  return true
}

function isHttp1(request: NodeRequest): request is IncomingMessage {
  return request.httpVersionMajor === 1
}
