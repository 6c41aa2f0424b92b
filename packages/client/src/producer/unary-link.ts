/**
 * Batches by unary calls, one in flight per partition: an {@link AppendLink} for browsers and load balancers. Any node
 * takes such a call and passes it on to the leader. Separate calls may overtake each other, so a lane sends the next
 * batch when the last is answered.
 */
import { MillraceError } from '@millrace/record'
import type { Connection } from '../cluster/connection.ts'
import { errorFailure, rpcError } from '../cluster/rpc-error.ts'
import type { Answer } from './answer.ts'
import type { AppendLink, BatchRequest } from './append-link.ts'
import { storedAnswer, wireExpectation, wireProducer } from './append-wire.ts'

export class UnaryLink implements AppendLink {
  readonly id: number
  readonly url: string
  readonly ready: Promise<void> = Promise.resolve()
  readonly #connection: Connection
  readonly #timeoutMs: number
  readonly #abort = new AbortController()

  constructor(id: number, connection: Connection, timeoutMs: number) {
    this.id = id
    this.url = connection.url
    this.#connection = connection
    this.#timeoutMs = timeoutMs
  }

  send(request: BatchRequest, answered: (answer: Answer) => void): void {
    void this.#call(request).then(answer => {
      if (!this.#abort.signal.aborted) answered(answer)
    })
  }

  /** It ends only with the client. */
  onEnd(_ended: () => void): void {}

  suspect(): void {}

  close(): void {
    this.#abort.abort()
  }

  async #call(request: BatchRequest): Promise<Answer> {
    const expect = wireExpectation(request.expect)
    try {
      const { appended } = await this.#connection.log.append(
        {
          topic: request.topic,
          partition: request.partition,
          body: { case: 'recordSet', value: request.bytes },
          producer: wireProducer(request),
          ...(expect === undefined ? {} : { expect }),
          timeoutMs: this.#timeoutMs,
        },
        { signal: this.#abort.signal, timeoutMs: this.#timeoutMs },
      )
      if (appended[0] !== undefined) return storedAnswer(appended[0])
      return errorFailure(new MillraceError('INTERNAL', 'a broker answers a batch with nothing'))
    } catch (reason) {
      return errorFailure(rpcError(reason, 'sent'))
    }
  }
}
