/**
 * From what Connect and the wire say to {@link MillraceError}: the only place that knows both. Brokers attach an
 * `ErrorDetail` to every error; without one the error came from the way between, and only its Connect code is known.
 */
import { Code, ConnectError } from '@connectrpc/connect'
import { type ErrorDetail, ErrorDetailSchema, Outcome as WireOutcome } from '@millrace/proto'
import { type ErrorCode, isErrorCode, MillraceError, type Outcome } from '@millrace/record'
import type { Failure } from '../producer/answer.ts'

/** What is known of a call that failed on the way: whether its request can have reached anyone. */
export type Sent = 'sent' | 'not-sent'

/** Any error of a call as MillraceError; one that is already is given back. */
export function rpcError(reason: unknown, sent: Sent): MillraceError {
  if (reason instanceof MillraceError) return reason
  const error = ConnectError.from(reason)
  const detail = error.findDetails(ErrorDetailSchema)[0]
  if (detail !== undefined) return detailError(detail, error)
  const reached: Sent = neverConnected(error) ? 'not-sent' : sent
  return new MillraceError(codeOf(error, reached), error.rawMessage, {
    cause: reason,
    ...(reached === 'not-sent' ? { outcome: 'not_stored' as const } : {}),
  })
}

/** Whether the connection itself was refused: then nobody has seen the request. */
function neverConnected({ cause }: ConnectError): boolean {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined
  return typeof code === 'string' && CONNECT_FAILURES.has(code)
}

const CONNECT_FAILURES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
])

function codeOf(error: ConnectError, sent: Sent): ErrorCode {
  switch (error.code) {
    case Code.Canceled:
      return 'CANCELLED'
    case Code.DeadlineExceeded:
      return 'APPEND_TIMEOUT'
    case Code.Unimplemented:
      return 'UNSUPPORTED'
    case Code.ResourceExhausted:
      return 'THROTTLED'
    case Code.PermissionDenied:
      return 'FORBIDDEN_ORIGIN'
    case Code.InvalidArgument:
    case Code.NotFound:
      return 'INVALID_ARGUMENT'
    default:
      // Resets, refused connections and the like come as Unavailable, Internal, Aborted or Unknown.
      return sent === 'sent' ? 'CONNECTION_LOST' : 'UNREACHABLE'
  }
}

/** An error of a broker; a code that this version does not know is INTERNAL, with what the broker says of it. */
function detailError(detail: ErrorDetail, cause?: unknown): MillraceError {
  const code = isErrorCode(detail.code) ? detail.code : 'INTERNAL'
  const details: Record<string, string> = { ...detail.details }
  if (code !== detail.code) details.code = detail.code
  const leader = detail.notLeader
  if (leader !== undefined) {
    details.leaderUrl ??= leader.leaderUrl
    details.leaderNode ??= String(leader.leaderNode)
  }
  return new MillraceError(code, detail.message, {
    outcome: outcomeOf(detail),
    details,
    ...(cause === undefined ? {} : { cause }),
  })
}

/** The same as an answer to a batch. */
export function detailFailure(detail: ErrorDetail): Failure {
  return {
    ok: false,
    code: isErrorCode(detail.code) ? detail.code : 'INTERNAL',
    outcome: outcomeOf(detail),
    retryable: detail.retryable,
    message: detail.message,
    details: { ...detail.details },
    leaderUrl: detail.notLeader?.leaderUrl || detail.details.leaderUrl || undefined,
  }
}

export function errorFailure(error: MillraceError): Failure {
  const { leaderUrl } = error.details
  return {
    ok: false,
    code: error.code,
    outcome: error.outcome,
    retryable: error.retryable,
    message: error.message,
    details: error.details,
    leaderUrl: typeof leaderUrl === 'string' && leaderUrl !== '' ? leaderUrl : undefined,
  }
}

function outcomeOf(detail: ErrorDetail): Outcome {
  return detail.outcome === WireOutcome.NOT_STORED ? 'not_stored' : 'unknown'
}
