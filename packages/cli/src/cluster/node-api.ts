/**
 * What one node says about itself and its cluster: unary Connect calls as JSON over plain HTTP. For the commands that
 * show or watch each node by itself; records go through the SDK.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type DescMessage, fromBinary, fromJson, type JsonValue, type MessageShape } from '@bufbuild/protobuf'
import {
  type DescribeClusterResponse,
  DescribeClusterResponseSchema,
  ErrorDetailSchema,
  type NodeStatusResponse,
  NodeStatusResponseSchema,
  Outcome,
} from '@millrace/proto'
import { isErrorCode, MillraceError } from '@millrace/record'

const TIMEOUT_MS = 5000
/** How long a call may be refused for the moment: two elections. */
const PATIENCE_MS = 6000

/** @throws MillraceError UNREACHABLE or the node's own error */
export function nodeStatus(url: string, signal?: AbortSignal): Promise<NodeStatusResponse> {
  return call(url, 'ClusterService/NodeStatus', NodeStatusResponseSchema, {}, signal)
}

/** @throws MillraceError UNREACHABLE or the node's own error */
export function describeCluster(url: string, signal?: AbortSignal): Promise<DescribeClusterResponse> {
  return call(url, 'ClusterService/DescribeCluster', DescribeClusterResponseSchema, {}, signal)
}

/** Whether the node serves: /readyz of its admin port. */
export async function isReady(adminUrl: string): Promise<boolean> {
  const response = await fetch(`${adminUrl}/readyz`, { signal: AbortSignal.timeout(TIMEOUT_MS) })
  await response.body?.cancel()
  return response.ok
}

/**
 * Asks the nodes in turn until one answers. What is refused for the moment only, such as while a leader is elected, is
 * asked again for a few seconds.
 *
 * @throws MillraceError UNREACHABLE when no node can be reached, or the last refusal
 */
export async function askAny<T>(urls: readonly string[], ask: (url: string) => Promise<T>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    let refusal: MillraceError | undefined
    for (const url of urls) {
      try {
        return await ask(url)
      } catch (error) {
        if (!(error instanceof MillraceError) || !error.retryable || error.outcome !== 'not_stored') throw error
        if (error.code !== 'UNREACHABLE') refusal = error
      }
    }
    if (refusal === undefined) throw unreachable(urls)
    if (performance.now() > deadline) throw refusal
    await sleep(100)
  }
}

function unreachable(urls: readonly string[]): MillraceError {
  const where = urls.length === 1 ? (urls[0] ?? '') : `any of ${urls.join(', ')}`
  return new MillraceError('UNREACHABLE', `no node answers at ${where}; is the cluster running? (--url)`)
}

/** One unary call of a service of millrace.v1alpha1, such as `TopicService/ListTopics`. */
export async function call<Response extends DescMessage>(
  url: string,
  method: string,
  schema: Response,
  request: JsonValue,
  signal?: AbortSignal,
  timeoutMs: number = TIMEOUT_MS,
): Promise<MessageShape<Response>> {
  const timeout = AbortSignal.timeout(timeoutMs)
  const options = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
    signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
  }
  const response = await fetch(`${url}/millrace.v1alpha1.${method}`, options).catch((cause: unknown) => {
    signal?.throwIfAborted()
    throw new MillraceError('UNREACHABLE', `${url} does not answer`, { cause })
  })
  const body = await response.text()
  if (!response.ok) throw errorFrom(url, response.status, body)
  return fromJson(schema, JSON.parse(body) as JsonValue, { ignoreUnknownFields: true })
}

/** The error of a node: our own detail where there is one, which everything that a node refuses carries. */
function errorFrom(url: string, status: number, body: string): MillraceError {
  const detail = errorDetailOf(body)
  if (detail === undefined)
    return new MillraceError('INTERNAL', `${url} is not a Millrace node: it answered with status ${status}`)
  const code = isErrorCode(detail.code) ? detail.code : 'INTERNAL'
  return new MillraceError(code, detail.message, { outcome: detail.outcome, details: detail.details })
}

interface Refusal {
  readonly code: string
  readonly message: string
  readonly outcome: MillraceError['outcome']
  readonly details: MillraceError['details']
}

/** As Connect answers, or as a node that starts does, which has no services yet. */
interface ErrorBody {
  readonly details?: readonly { readonly type: string; readonly value: string }[]
  readonly error?: Refusal
}

function errorDetailOf(body: string): Refusal | undefined {
  try {
    const { details = [], error } = JSON.parse(body) as ErrorBody
    if (error !== undefined) return error
    const detail = details.find(({ type }) => type === ErrorDetailSchema.typeName)
    if (detail === undefined) return undefined
    const { outcome, ...rest } = fromBinary(ErrorDetailSchema, Buffer.from(detail.value, 'base64'))
    return { ...rest, outcome: outcome === Outcome.NOT_STORED ? 'not_stored' : 'unknown' }
  } catch {
    // Whoever answers there does not speak Connect: the caller says so.
    return undefined
  }
}
