/**
 * The stream of batches to one node: an {@link AppendLink} over the bidirectional AppendStream call.
 *
 * The node says in its hello how many bytes may be unanswered; above that batches wait here, which is bounded because
 * lanes have a bounded number of batches in flight. Answers are matched by the id of the request.
 */
import { create } from '@bufbuild/protobuf'
import { type AppendStreamRequest, AppendStreamRequestSchema, type AppendStreamResponse } from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import type { Connection } from '../cluster/connection.ts'
import { rpcError } from '../cluster/rpc-error.ts'
import type { Answer } from './answer.ts'
import type { AppendLink, BatchRequest } from './append-link.ts'
import { answerOf, CLIENT_HELLO, streamRequest } from './append-wire.ts'

export interface AppendStreamOptions {
  /** Patience with a stream to be opened, and with one that does not answer, in ms. */
  readonly attemptTimeoutMs: number
  readonly now: () => number
}

interface Pending {
  readonly bytes: number
  readonly answered: (answer: Answer) => void
}

export class AppendStream implements AppendLink {
  readonly id: number
  readonly url: string
  readonly ready: Promise<void>
  readonly #connection: Connection
  readonly #options: AppendStreamOptions
  readonly #abort = new AbortController()
  readonly #pending = new Map<number, Pending>()
  readonly #waiting: AppendStreamRequest[] = []
  readonly #hello = Promise.withResolvers<void>()
  #inflightBytes = 0
  #inflightBytesMax = 0
  #lastId = 0
  #lastAnswerAt: number
  #wakeSender: (() => void) | null = null
  #ended = false
  #onEnd: (() => void)[] = []

  constructor(id: number, connection: Connection, options: AppendStreamOptions) {
    this.id = id
    this.url = connection.url
    this.#connection = connection
    this.#options = options
    this.#lastAnswerAt = options.now()
    this.ready = this.#hello.promise
    // Whoever waits for it sees the error; that nobody may be waiting is no defect.
    this.ready.catch(() => {})
    void this.#run()
  }

  send(request: BatchRequest, answered: (answer: Answer) => void): void {
    if (this.#ended) return
    const id = ++this.#lastId
    if (this.#pending.size === 0) this.#lastAnswerAt = this.#options.now()
    this.#pending.set(id, { bytes: request.bytes.length, answered })
    this.#waiting.push(streamRequest(id, request))
    this.#wakeSender?.()
  }

  onEnd(ended: () => void): void {
    if (this.#ended) ended()
    else this.#onEnd.push(ended)
  }

  suspect(): void {
    if (this.#pending.size === 0) return
    if (this.#options.now() - this.#lastAnswerAt < this.#options.attemptTimeoutMs) return
    this.#fail(new MillraceError('CONNECTION_LOST', `${this.url} does not answer`), true)
  }

  close(): void {
    this.#fail(new MillraceError('SHUTTING_DOWN', 'the client is closing'), false)
  }

  async #run(): Promise<void> {
    const patience = setTimeout(() => {
      this.#fail(new MillraceError('UNREACHABLE', `${this.url} does not open a stream`), true)
    }, this.#options.attemptTimeoutMs)
    try {
      const responses = this.#connection.log.appendStream(this.#requests(), { signal: this.#abort.signal })
      for await (const response of responses) {
        clearTimeout(patience)
        this.#take(response)
      }
      this.#fail(new MillraceError('CONNECTION_LOST', `${this.url} has ended the stream`), false)
    } catch (reason) {
      this.#fail(rpcError(reason, this.#inflightBytesMax > 0 ? 'sent' : 'not-sent'), false)
    } finally {
      clearTimeout(patience)
    }
  }

  /** The hello, then batches as long as bytes may be in flight. */
  async *#requests(): AsyncGenerator<AppendStreamRequest> {
    yield create(AppendStreamRequestSchema, { hello: CLIENT_HELLO })
    while (!this.#ended) {
      const next = this.#waiting[0]
      // One is always allowed: a batch may be larger than what the node wants in flight.
      const room = this.#inflightBytes === 0 || this.#inflightBytes < this.#inflightBytesMax
      if (next !== undefined && this.#inflightBytesMax > 0 && room) {
        this.#waiting.shift()
        this.#inflightBytes += next.recordSet.length
        yield next
      } else {
        await new Promise<void>(resolve => {
          this.#wakeSender = resolve
        })
        this.#wakeSender = null
      }
    }
  }

  #take(response: AppendStreamResponse): void {
    this.#lastAnswerAt = this.#options.now()
    if (response.hello !== undefined) {
      this.#inflightBytesMax = Math.max(Number(response.hello.inflightBytesMax), 1)
      this.#hello.resolve()
    }
    for (const result of response.results) {
      const id = Number(result.id)
      const pending = this.#pending.get(id)
      if (pending === undefined) continue
      this.#pending.delete(id)
      this.#inflightBytes -= pending.bytes
      pending.answered(answerOf(result))
    }
    this.#wakeSender?.()
  }

  #fail(error: MillraceError, dropConnection: boolean): void {
    if (this.#ended) return
    this.#ended = true
    this.#hello.reject(error)
    this.#pending.clear()
    this.#waiting.length = 0
    this.#abort.abort(error)
    this.#wakeSender?.()
    if (dropConnection) this.#connection.reset(error)
    for (const ended of this.#onEnd) ended()
    this.#onEnd = []
  }
}
