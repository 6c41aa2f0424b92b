/** Errors of the plain routes: `{ "error": { code, message, outcome, retryable, details } }` with the code's status. */
import { ERRORS, MillraceError } from '@millrace/record'
import { toMillraceError } from '../services/connect-error.ts'
import type { NodeResponse } from './node-http.ts'

/** An answer whose status is HTTP's business alone: no such route, wrong method. */
export class RouteError extends Error {
  readonly status: 404 | 405
  /** Methods that the route has. */
  readonly allow: readonly string[]

  constructor(status: 404 | 405, message: string, allow: readonly string[] = []) {
    super(message)
    this.name = 'RouteError'
    this.status = status
    this.allow = allow
  }
}

/** The JSON body of an error. */
export function errorBody(error: MillraceError): object {
  const { code, message, outcome, retryable, details } = error
  return { error: { code, message, outcome, retryable, details } }
}

/** Status, headers and body for whatever was thrown. */
function errorAnswer(reason: unknown): { status: number; headers: Record<string, string>; body: object } {
  if (reason instanceof RouteError) {
    const error = new MillraceError('INVALID_ARGUMENT', reason.message)
    const headers: Record<string, string> = reason.allow.length === 0 ? {} : { allow: reason.allow.join(', ') }
    return { status: reason.status, headers, body: errorBody(error) }
  }
  const error = toMillraceError(reason)
  const headers: Record<string, string> = {}
  const status = ERRORS[error.code].status
  const { logStartOffset, highWatermark } = error.details
  if (status === 416 && logStartOffset !== undefined) {
    headers['content-range'] = `offsets ${logStartOffset}-${highWatermark}/*`
  }
  if (status === 429 || status === 503) headers['retry-after'] = '1'
  return { status, headers, body: errorBody(error) }
}

/** Answers with JSON and ends the response. */
export function sendJson(
  response: NodeResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(text)),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  })
  response.end(text)
}

/** Answers with an error, if there is still something to answer. */
export function sendError(
  response: NodeResponse,
  reason: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent || response.destroyed) {
    response.end()
    return
  }
  const answer = errorAnswer(reason)
  sendJson(response, answer.status, answer.body, { ...answer.headers, ...headers })
}
