/**
 * Errors that connect-es 2.2 makes before a handler sees the call: a message that cannot be decoded or is too long. They
 * come without a detail, and undecodable bytes as `internal`, as if they were the node's fault. Here they get their code.
 */
import { Code, ConnectError } from '@connectrpc/connect'
import type { UniversalServerResponse } from '@connectrpc/connect/protocol'
import { errorToJson } from '@connectrpc/connect/protocol-connect'
import { ErrorDetailSchema } from '@millrace/proto'
import { ERRORS, LIMITS, MillraceError } from '@millrace/record'

/** What a protocol error means, or undefined where it is none of these, or says enough already. */
export function protocolError(error: ConnectError): MillraceError | undefined {
  if (error.findDetails(ErrorDetailSchema).length > 0) return undefined
  const { code, rawMessage } = error
  if (code === Code.InvalidArgument || (code === Code.Internal && rawMessage.startsWith('parse binary'))) {
    return new MillraceError('INVALID_ARGUMENT', `the request cannot be decoded: ${rawMessage}`, { cause: error })
  }
  if (code === Code.ResourceExhausted && rawMessage.includes('readMaxBytes')) {
    const max = LIMITS.recordSetBytesMax
    const message = `${rawMessage}; a record set may have ${max} bytes (recordSetBytesMax)`
    return new MillraceError('RECORD_TOO_LARGE', message, {
      cause: error,
      details: { limit: 'recordSetBytesMax', max },
    })
  }
  return undefined
}

/**
 * Gives an answer to a unary call its detail where connect-es sent an error without one. Answers of other protocols and
 * of streams are left as they are.
 *
 * @param convert makes the wire error of a MillraceError
 */
export async function withErrorDetail(
  answer: UniversalServerResponse,
  convert: (error: MillraceError) => ConnectError,
): Promise<UniversalServerResponse> {
  if (answer.status < 400) return answer
  if (answer.body === undefined) return explained(answer, convert)
  if (answer.header?.get('content-type') !== 'application/json') return answer
  const chunks: Uint8Array[] = []
  for await (const chunk of answer.body) chunks.push(chunk)
  const text = Buffer.concat(chunks)
  const known = protocolError(parseError(text.toString()))
  const bytes = known === undefined ? text : Buffer.from(JSON.stringify(errorToJson(convert(known), undefined)))
  const header = new Headers(answer.header)
  header.set('content-length', String(bytes.length))
  return {
    ...answer,
    status: known === undefined ? answer.status : ERRORS[known.code].status,
    header,
    body: once(bytes),
  }
}

/** What connect-es says with a bare status, to people who try a call by hand. */
const BARE: Readonly<Record<number, string>> = {
  405: 'services are called with POST, and a JSON object as the body; GET / lists the plain routes',
  415: 'content-type: use application/json for a unary call, application/connect+json for a stream, or their proto forms',
}

function explained(
  answer: UniversalServerResponse,
  convert: (error: MillraceError) => ConnectError,
): UniversalServerResponse {
  const message = BARE[answer.status]
  if (message === undefined) return answer
  const error = convert(new MillraceError('INVALID_ARGUMENT', message))
  const header = new Headers(answer.header)
  header.set('content-type', 'application/json')
  return { ...answer, header, body: once(Buffer.from(JSON.stringify(errorToJson(error, undefined)))) }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** An error as connect-es writes it; only what {@link protocolError} looks at. */
function parseError(text: string): ConnectError {
  const tree: unknown = JSON.parse(text)
  if (typeof tree !== 'object' || tree === null || !('code' in tree)) return new ConnectError('', Code.Unknown)
  const message = 'message' in tree ? String(tree.message) : ''
  // With details it came from a handler.
  if ('details' in tree) return new ConnectError(message, Code.Unknown)
  const codes: Readonly<Record<string, Code>> = {
    invalid_argument: Code.InvalidArgument,
    internal: Code.Internal,
    resource_exhausted: Code.ResourceExhausted,
  }
  return new ConnectError(message, codes[String(tree.code)] ?? Code.Unknown)
}
