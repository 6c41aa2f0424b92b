/**
 * Connect, gRPC and gRPC-Web on Node's request handler. Replaces `connectNodeAdapter` of connect-node 2.2, which writes
 * the failures of handlers to the console; these go to the node's log. Data is never compressed here: record sets are.
 */
import { Code, ConnectError, type ConnectRouter, createConnectRouter, type Interceptor } from '@connectrpc/connect'
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node'
import { ClusterService, GroupService, LogService, TopicService } from '@millrace/proto'
import { LIMITS } from '@millrace/record'
import type { TurnPicker } from '../append/plain-append.ts'
import type { BrokerContext } from '../broker-context.ts'
import type { NodeRequest, NodeResponse } from '../http/node-http.ts'
import { clusterService } from './cluster-service.ts'
import { handlerError, toConnectError } from './connect-error.ts'
import { groupService } from './group-service.ts'
import { logService } from './log-service.ts'
import { withErrorDetail } from './protocol-error.ts'
import { topicService } from './topic-service.ts'

/** The largest message: a record set of the largest size, what is around it, and base64 where it comes as JSON. */
export const MESSAGE_BYTES_MAX: number = Math.ceil(LIMITS.recordSetBytesMax * 1.5) + 65_536

/** Answers true where the request is for one of the services and has been taken. */
export type ConnectHandler = (request: NodeRequest, response: NodeResponse, path: string) => boolean

/** Every path of a service, known or not, begins with this. */
export const SERVICE_PREFIX = '/millrace.v1alpha1.'

export function connectHandler(context: BrokerContext, turns: TurnPicker): ConnectHandler {
  const router = createConnectRouter({
    acceptCompression: [],
    readMaxBytes: MESSAGE_BYTES_MAX,
    interceptors: [typedErrors(context)],
    // A reader of JSON sees offset 0 as 0, not as an absent field.
    jsonOptions: { ignoreUnknownFields: false, alwaysEmitImplicit: true },
  })
  addServices(router, context, turns)
  const handlers = new Map(router.handlers.map(handler => [handler.requestPath, handler]))
  return (request, response, path) => {
    const handler = handlers.get(path)
    if (handler === undefined) return false
    handler(universalRequestFromNodeRequest(request, response, undefined, undefined))
      .then(answer => withErrorDetail(answer, toConnectError))
      .then(answer => universalResponseToNodeResponse(answer, response))
      .catch((reason: unknown) => {
        const code = ConnectError.from(reason).code
        if (code === Code.Aborted || code === Code.Canceled) return
        context.log.debug({ method: path, reason: String(reason) }, 'a call ended early')
        if (!response.headersSent) response.writeHead(500)
        response.end()
      })
    return true
  }
}

function addServices(router: ConnectRouter, context: BrokerContext, turns: TurnPicker): void {
  router
    .service(LogService, logService(context, turns))
    .service(TopicService, topicService(context))
    .service(ClusterService, clusterService(context))
    .service(GroupService, groupService())
}

/** Gives every error its detail, and defects a line in the log. */
function typedErrors(context: BrokerContext): Interceptor {
  return next => async request => {
    const convert = (error: unknown): ConnectError =>
      handlerError(context, request.method.name, error, request.signal.aborted)
    try {
      const response = await next(request)
      return response.stream ? { ...response, message: convertErrors(response.message, convert) } : response
    } catch (error) {
      throw convert(error)
    }
  }
}

async function* convertErrors<T>(messages: AsyncIterable<T>, convert: (error: unknown) => Error): AsyncGenerator<T> {
  try {
    yield* messages
  } catch (error) {
    throw convert(error)
  }
}
