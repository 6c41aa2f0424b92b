/**
 * Errors on the wire: every failure leaves as a Connect error with an ErrorDetail, and comes back from another node as
 * the same MillraceError. Nothing else in the broker knows Connect's codes.
 */
import { create } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import { type ErrorDetail, ErrorDetailSchema, NotLeaderSchema, Outcome } from '@millrace/proto'
import { ERRORS, type ErrorCode, isErrorCode, MillraceError } from '@millrace/record'
import type { BrokerContext } from '../broker-context.ts'
import { protocolError } from './protocol-error.ts'

/** Name of a Connect code as ERRORS spells it → the code. */
const CODES: ReadonlyMap<string, Code> = new Map(
  Object.entries(Code)
    .filter((entry): entry is [string, Code] => typeof entry[1] === 'number')
    .map(([name, code]) => [name.replace(/(?<!^)[A-Z]/g, letter => `_${letter}`).toLowerCase(), code]),
)

/** The detail that travels with an error. */
export function errorDetail(error: MillraceError): ErrorDetail {
  const details: Record<string, string> = {}
  for (const [name, value] of Object.entries(error.details)) details[name] = String(value)
  const detail = create(ErrorDetailSchema, {
    code: error.code,
    outcome: error.outcome === 'not_stored' ? Outcome.NOT_STORED : Outcome.UNSPECIFIED,
    retryable: error.retryable,
    message: error.message,
    details,
  })
  if (error.code === 'NOT_LEADER') {
    detail.notLeader = create(NotLeaderSchema, {
      leaderNode: Number(error.details.leaderNode ?? 0),
      leaderUrl: String(error.details.leaderUrl ?? ''),
      term: BigInt(error.details.term === undefined ? 0 : Number(error.details.term)),
    })
  }
  return detail
}

/** Whatever a handler threw, as what the client gets. */
export function toConnectError(error: unknown): ConnectError {
  const known = error instanceof ConnectError ? protocolError(error) : toMillraceError(error)
  if (known === undefined) return ConnectError.from(error)
  const code = CODES.get(ERRORS[known.code].connect) ?? Code.Unknown
  const detail = errorDetail(known)
  return new ConnectError(known.message, code, undefined, [{ desc: ErrorDetailSchema, value: detail }], error)
}

/**
 * What the client gets of whatever a handler threw; defects also give a line in the node's log.
 *
 * @param over the client has gone: nothing that fails now is a defect
 */
export function handlerError(
  { log }: Pick<BrokerContext, 'log'>,
  method: string,
  error: unknown,
  over: boolean,
): ConnectError {
  const known = toMillraceError(error)
  if (known.code === 'INTERNAL' && !over) log.error({ method, err: known.cause ?? known }, 'a handler failed')
  return toConnectError(error)
}

/** An unforeseen error is a defect: INTERNAL, with the original as its cause. */
export function toMillraceError(error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  if (error instanceof ConnectError) return fromConnectError(error)
  const reason = error instanceof Error ? error.message : String(error)
  return new MillraceError('INTERNAL', `internal error: ${reason}`, { cause: error })
}

/**
 * What a call to another node failed with. Without a detail the connection failed: a refused connection means that
 * nothing was sent, anything later that nobody can tell.
 */
export function fromConnectError(error: ConnectError): MillraceError {
  const [detail] = error.findDetails(ErrorDetailSchema)
  if (detail !== undefined) return fromErrorDetail(detail, error)
  const options = { cause: error }
  if (error.code === Code.Canceled) return new MillraceError('CANCELLED', 'the call was cancelled', options)
  if (error.code === Code.DeadlineExceeded) {
    return new MillraceError('APPEND_TIMEOUT', 'the call took longer than its deadline', options)
  }
  if (neverSent(error.cause)) {
    return new MillraceError('UNREACHABLE', `the other node cannot be reached: ${error.rawMessage}`, options)
  }
  if (error.code === Code.InvalidArgument) return new MillraceError('INVALID_ARGUMENT', error.rawMessage, options)
  return new MillraceError('CONNECTION_LOST', `the connection to the other node failed: ${error.rawMessage}`, options)
}

function fromErrorDetail(detail: ErrorDetail, cause: ConnectError): MillraceError {
  const code: ErrorCode = isErrorCode(detail.code) ? detail.code : 'INTERNAL'
  const details: Record<string, string | number> = { ...detail.details }
  if (detail.notLeader !== undefined) {
    details.leaderNode = detail.notLeader.leaderNode
    details.leaderUrl = detail.notLeader.leaderUrl
    details.term = Number(detail.notLeader.term)
  }
  const outcome = detail.outcome === Outcome.NOT_STORED ? 'not_stored' : 'unknown'
  return new MillraceError(code, detail.message, { cause, outcome, details })
}

const NEVER_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
])

function neverSent(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false
  if ('code' in cause && typeof cause.code === 'string' && NEVER_SENT.has(cause.code)) return true
  return cause.cause !== cause && neverSent(cause.cause)
}
