/**
 * The two streams that carry records, AppendStream and Read, straight on node:http2. The bytes are those of the Connect
 * protocol, so a client cannot tell; but a batch is not copied from layer to layer, and frames leave as they were stored.
 * Whatever is not Connect with binary messages over HTTP/2 (gRPC, gRPC-Web, JSON, HTTP/1.1, compression, timeouts) is
 * left to connect-es.
 */
import { constants, type ServerHttp2Stream } from 'node:http2'
import { type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import { endStreamToJson } from '@connectrpc/connect/protocol-connect'
import { AppendStreamRequestSchema, AppendStreamResponseSchema, LogService, ReadRequestSchema } from '@millrace/proto'
import type { MessageParts } from '@millrace/proto/http2'
import { type Envelope, EnvelopeFlag, EnvelopeTooLongError, MessageReader, MessageWriter } from '@millrace/proto/http2'
import { FRAME_ROOM } from '@millrace/record'
import type { BrokerContext } from '../broker-context.ts'
import { header, type NodeRequest } from '../http/node-http.ts'
import { AppendStream } from './append-stream.ts'
import { handlerError } from './connect-error.ts'
import { type ConnectHandler, MESSAGE_BYTES_MAX } from './connect-handler.ts'
import { readMessageParts, readStream } from './read-stream.ts'

/** Requests that wait to be taken, and messages that wait to leave, per stream. */
const AHEAD_BYTES_MAX = 1_048_576
const UNSENT_BYTES_MAX = 1_048_576

interface DirectCall {
  readonly requests: AsyncIterable<Envelope>
  /** Fires when the call is over or the node stops. */
  readonly signal: AbortSignal
}

/** What a call answers, message by message. */
type Serve = (call: DirectCall) => AsyncIterable<MessageParts>

/** Takes the calls that it can serve; the others are somebody else's. */
export function directStreams(context: BrokerContext): ConnectHandler {
  const methods = new Map<string, Serve>([
    [pathOf(LogService.method.appendStream), call => appends(context, call)],
    [pathOf(LogService.method.read), call => reads(context, call)],
  ])
  return (request, response, path) => {
    const serve = methods.get(path)
    if (serve === undefined || !isDirect(request)) return false
    response.writeHead(200, { 'content-type': CONTENT_TYPE, 'connect-accept-encoding': 'identity' })
    void answer(context, path, (request as { stream: ServerHttp2Stream }).stream, serve)
    return true
  }
}

const CONTENT_TYPE = 'application/connect+proto'

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

function isDirect(request: NodeRequest): boolean {
  if (request.httpVersionMajor !== 2 || !('stream' in request) || request.method !== 'POST') return false
  if (header(request, 'content-type') !== CONTENT_TYPE) return false
  if (header(request, 'connect-timeout-ms') !== undefined) return false
  return (header(request, 'connect-content-encoding') ?? 'identity') === 'identity'
}

async function answer(context: BrokerContext, path: string, stream: ServerHttp2Stream, serve: Serve): Promise<void> {
  const gone = new AbortController()
  stream.once('close', () => gone.abort())
  const limits = { messageBytesMax: MESSAGE_BYTES_MAX, aheadBytesMax: AHEAD_BYTES_MAX }
  const requests = new MessageReader(stream, { ...limits, room: FRAME_ROOM })
  const writer = new MessageWriter(stream, UNSENT_BYTES_MAX)
  let error: ConnectError | undefined
  try {
    for await (const parts of serve({ requests, signal: AbortSignal.any([gone.signal, context.stopping]) })) {
      writer.write(0, parts)
      if (!writer.roomy) await writer.room()
    }
  } catch (reason) {
    error = handlerError(context, path, reason, gone.signal.aborted)
  }
  // Requests that still come are for nobody: the client is told to stop sending them.
  writer.finish(EnvelopeFlag.end, [endOfStream(error)], () => stream.close(constants.NGHTTP2_NO_ERROR))
}

function endOfStream(error: ConnectError | undefined): Uint8Array {
  return Buffer.from(JSON.stringify(endStreamToJson(new Headers(), error, undefined)))
}

async function* appends(context: BrokerContext, { requests, signal }: DirectCall): AsyncGenerator<MessageParts> {
  const stream = new AppendStream(context, signal)
  for await (const response of stream.run(messages(AppendStreamRequestSchema, requests))) {
    yield [toBinary(AppendStreamResponseSchema, response)]
  }
}

async function* reads(context: BrokerContext, { requests, signal }: DirectCall): AsyncGenerator<MessageParts> {
  for await (const { request } of messages(ReadRequestSchema, requests)) {
    for await (const message of readStream(context, request, signal)) yield readMessageParts(message)
    return
  }
  throw new ConnectError('protocol error: missing input message for a call of method Read', Code.InvalidArgument)
}

/** Decodes requests; their payloads are views on what arrived. */
async function* messages<Desc extends DescMessage>(
  schema: Desc,
  envelopes: AsyncIterable<Envelope>,
): AsyncGenerator<{ request: MessageShape<Desc>; owned: boolean }> {
  try {
    for await (const { flags, message, owned } of envelopes) {
      if (flags !== 0) throw new ConnectError(`an envelope with flags ${flags} is not known`, Code.InvalidArgument)
      yield { request: decode(schema, message), owned }
    }
  } catch (error) {
    if (!(error instanceof EnvelopeTooLongError)) throw error
    // Worded as connect-es words it, so that both ways give the same error.
    const text = `message size ${error.length} is larger than configured readMaxBytes ${error.lengthMax}`
    throw new ConnectError(text, Code.ResourceExhausted)
  }
}

function decode<Desc extends DescMessage>(schema: Desc, message: Uint8Array): MessageShape<Desc> {
  try {
    return fromBinary(schema, message)
  } catch (error) {
    throw new ConnectError(`parse binary: ${error instanceof Error ? error.message : error}`, Code.InvalidArgument)
  }
}
