/**
 * The streams of a Connect transport straight on node:http2. The bytes are those of the Connect protocol, but a record set
 * goes out by reference, and a message of frames is handed out as it arrived. Calls that are no streams, or that ask for
 * headers or a time limit, are left to connect-node.
 */
import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2'
import {
  create,
  type DescMessage,
  fromBinary,
  isMessage,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import { Code, ConnectError, type Transport } from '@connectrpc/connect'
import { codeFromHttpStatus, endStreamFromJson } from '@connectrpc/connect/protocol-connect'
import type { Http2SessionManager } from '@connectrpc/connect-node'
import { AppendStreamRequestSchema } from '@millrace/proto'
import {
  appendStreamRequestParts,
  EnvelopeFlag,
  type MessageParts,
  MessageReader,
  MessageWriter,
} from '@millrace/proto/http2'

const UNSENT_BYTES_MAX = 1_048_576
const AHEAD_BYTES_MAX = 1_048_576
const REQUEST_HEADERS = {
  'content-type': 'application/connect+proto',
  'connect-protocol-version': '1',
  'user-agent': 'millrace-client',
}

export interface Http2TransportOptions {
  readonly baseUrl: string
  readonly sessions: Pick<Http2SessionManager, 'request'>
  readonly messageBytesMax: number
  /** For everything else. */
  readonly other: Transport
}

export function http2Transport(options: Http2TransportOptions): Transport {
  const { other, baseUrl, sessions, messageBytesMax } = options
  const prefix = new URL(baseUrl).pathname.replace(/\/$/, '')
  return {
    unary: other.unary.bind(other),
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      if (timeoutMs !== undefined || header !== undefined) {
        return other.stream(method, signal, timeoutMs, header, input, contextValues)
      }
      const path = `${prefix}/${method.parent.typeName}/${method.name}`
      const call = new Http2Call(await sessions.request('POST', path, REQUEST_HEADERS, {}), messageBytesMax, signal)
      void call.send(method.input, input)
      return {
        stream: true,
        service: method.parent,
        method,
        header: await call.headers(),
        trailer: new Headers(),
        message: call.receive(method.output),
      }
    },
  }
}

class Http2Call {
  readonly #stream: ClientHttp2Stream
  readonly #reader: MessageReader
  readonly #writer: MessageWriter
  /** Why the call was ended on this side. */
  #reason: Error | undefined

  constructor(stream: ClientHttp2Stream, messageBytesMax: number, signal: AbortSignal | undefined) {
    this.#stream = stream
    this.#reader = new MessageReader(stream, { messageBytesMax, aheadBytesMax: AHEAD_BYTES_MAX })
    this.#writer = new MessageWriter(stream, UNSENT_BYTES_MAX)
    if (signal === undefined) return
    const abort = (): void => this.#end(ConnectError.from(signal.reason, Code.Canceled))
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    stream.once('close', () => signal.removeEventListener('abort', abort))
  }

  /** Sends what there is to send; what fails there fails the call. */
  async send<I extends DescMessage>(schema: I, input: AsyncIterable<MessageInitShape<I>>): Promise<void> {
    const writer = this.#writer
    try {
      for await (const message of input) {
        writer.write(0, encode(schema, message))
        if (!writer.roomy) await writer.room()
        if (writer.over) return
      }
      this.#stream.end()
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** @throws ConnectError where the answer is none of the protocol; Error where there is none */
  async headers(): Promise<Headers> {
    const headers = await new Promise<IncomingHttpHeaders>((resolve, reject) => {
      this.#stream.once('response', resolve)
      this.#stream.once('error', error => reject(this.#reason ?? error))
      this.#stream.once('close', () => reject(this.#reason ?? closedEarly()))
    })
    const status = Number(headers[':status'])
    if (status !== 200) {
      this.#end(new ConnectError(`HTTP ${status}`, codeFromHttpStatus(status)))
      throw this.#reason
    }
    const response = new Headers()
    for (const [name, value] of Object.entries(headers)) {
      if (!name.startsWith(':') && value !== undefined) response.set(name, String(value))
    }
    return response
  }

  /** @throws ConnectError of the server; Error where the connection failed */
  async *receive<O extends DescMessage>(schema: O): AsyncGenerator<MessageShape<O>> {
    try {
      for await (const { flags, message } of this.#reader) {
        if (flags === EnvelopeFlag.end) {
          const { error } = endStreamFromJson(message)
          if (error !== undefined) throw error
          return
        }
        if (flags !== 0) throw new ConnectError(`an envelope with flags ${flags} is not known`, Code.Internal)
        yield fromBinary(schema, message)
      }
      throw closedEarly()
    } catch (error) {
      throw this.#reason ?? error
    } finally {
      this.#end(undefined)
    }
  }

  #end(reason: Error | undefined): void {
    this.#reason ??= reason
    this.#writer.end()
    if (!this.#stream.closed) this.#stream.close(constants.NGHTTP2_CANCEL)
  }
}

function closedEarly(): ConnectError {
  return new ConnectError('the stream ended early', Code.Unavailable)
}

function encode<I extends DescMessage>(schema: I, init: MessageInitShape<I>): MessageParts {
  const message = create(schema, init)
  if (isMessage(message, AppendStreamRequestSchema)) return appendStreamRequestParts(message)
  return [toBinary(schema, message)]
}
