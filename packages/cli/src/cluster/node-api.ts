/**
 * What one node says about itself and its cluster: unary Connect calls as JSON over plain HTTP. For the commands that
 * show or watch each node by itself; records go through the SDK.
 */
import { type DescMessage, fromJson, type JsonValue, type MessageShape } from '@bufbuild/protobuf'
import {
  type DescribeClusterResponse,
  DescribeClusterResponseSchema,
  type NodeStatusResponse,
  NodeStatusResponseSchema,
} from '@millrace/proto'
import { isErrorCode, MillraceError } from '@millrace/record'

const TIMEOUT_MS = 5000

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
 * Asks the nodes in turn until one can be reached.
 *
 * @throws MillraceError UNREACHABLE when none can, or the error of the one that answered
 */
export async function askAny<T>(urls: readonly string[], ask: (url: string) => Promise<T>): Promise<T> {
  for (const url of urls) {
    try {
      return await ask(url)
    } catch (error) {
      if (!(error instanceof MillraceError && error.code === 'UNREACHABLE')) throw error
    }
  }
  const where = urls.length === 1 ? (urls[0] ?? '') : `any of ${urls.join(', ')}`
  throw new MillraceError('UNREACHABLE', `no node answers at ${where}; is the cluster running? (--url)`)
}

/** One unary call of a service of millrace.v1alpha1, such as `TopicService/ListTopics`. */
export async function call<Response extends DescMessage>(
  url: string,
  method: string,
  schema: Response,
  request: JsonValue,
  signal?: AbortSignal,
): Promise<MessageShape<Response>> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
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

/** A Connect error body is { code, message, details }; messages start with our own code where there is one. */
function errorFrom(url: string, status: number, body: string): MillraceError {
  let message = `status ${status}`
  try {
    const parsed = JSON.parse(body) as { message?: unknown }
    if (typeof parsed.message === 'string') message = parsed.message
  } catch {
    return new MillraceError('INTERNAL', `${url} is not a Millrace node: it answered ${message} without JSON`)
  }
  const code = /^[A-Z_]+/.exec(message)?.[0] ?? ''
  return new MillraceError(isErrorCode(code) ? code : 'INTERNAL', `${url}: ${message}`)
}
