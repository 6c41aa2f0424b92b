/**
 * One AppendStream: batches in, results out, several in flight.
 *
 * Two loops share this object. The pump reads requests and hands batches to partitions; it stops reading while the
 * unanswered bytes are at the limit, so HTTP/2's flow control reaches the client. The generator sends results, all that
 * are there in one message. Invariant: every request is answered exactly once, in order per partition; a request counts
 * as unanswered until its result has been taken for sending, so answers nobody reads stop the pump too.
 */
import { create } from '@bufbuild/protobuf'
import {
  AppendedSchema,
  type AppendResult,
  AppendResultSchema,
  type AppendStreamRequest,
  type AppendStreamResponse,
  AppendStreamResponseSchema,
} from '@millrace/proto'
import { MillraceError, validateTopicName } from '@millrace/record'
import type { Appended, Partition } from '@millrace/topics'
import { appendCounted, checkBatch } from '../append/partition-append.ts'
import type { BrokerContext } from '../broker-context.ts'
import { notLeader } from '../cluster/not-leader.ts'
import { checkPartition, findTopic, localPartition } from '../cluster/topic-lookup.ts'
import { errorDetail, toMillraceError } from './connect-error.ts'
import { serverHello } from './hello.ts'

/** What a batch costs beside its payload, so that many tiny batches are bounded too. */
const BATCH_OVERHEAD_BYTES = 512

/** A request as it came. */
export interface IncomingAppend {
  readonly request: AppendStreamRequest
  /** Its record set lies in memory that nobody else has a view on. */
  readonly owned: boolean
}

/** A request that waits for its turn to be answered. */
interface Slot {
  readonly id: bigint
  readonly cost: number
  result: AppendResult | undefined
}

export class AppendStream {
  readonly #context: BrokerContext
  readonly #signal: AbortSignal
  /** Unanswered requests per `topic/partition`, oldest first. */
  readonly #lanes = new Map<string, Slot[]>()
  #ready: AppendResult[] = []
  #readyCost = 0
  #inflightBytes = 0
  #pumpEnded = false
  #pumpError: unknown
  /** Wakes the generator, and the pump. */
  #wakeSender: (() => void) | undefined
  #wakePump: (() => void) | undefined

  /** @param signal ends the stream: the call is over or the node stops */
  constructor(context: BrokerContext, signal: AbortSignal) {
    this.#context = context
    this.#signal = signal
  }

  async *run(requests: AsyncIterable<IncomingAppend>): AsyncGenerator<AppendStreamResponse> {
    const abort = () => this.#wakeBoth()
    this.#signal.addEventListener('abort', abort, { once: true })
    this.#context.counters.appendStreams++
    try {
      // At once: response headers travel with the first message, and the client waits for the limit in it.
      yield create(AppendStreamResponseSchema, { hello: serverHello(this.#context) })
      const pump = this.#pump(requests)
      while (!this.#signal.aborted) {
        if (this.#ready.length > 0) {
          yield create(AppendStreamResponseSchema, { results: this.#take() })
        } else if (this.#pumpEnded && this.#inflightBytes === 0) {
          break
        } else {
          await new Promise<void>(resolve => {
            this.#wakeSender = resolve
          })
        }
      }
      if (this.#context.stopping.aborted) throw new MillraceError('SHUTTING_DOWN', 'the node is stopping')
      if (this.#pumpEnded) await pump
      if (this.#pumpError !== undefined) throw this.#pumpError
    } finally {
      this.#context.counters.appendStreams--
      this.#signal.removeEventListener('abort', abort)
    }
  }

  /** Everything that is ready; its bytes are free again. */
  #take(): AppendResult[] {
    const results = this.#ready
    this.#ready = []
    this.#inflightBytes -= this.#readyCost
    this.#readyCost = 0
    this.#wakePump?.()
    return results
  }

  async #pump(requests: AsyncIterable<IncomingAppend>): Promise<void> {
    const { streamInflightBytesMax } = this.#context.settings.limits
    try {
      for await (const { request, owned } of requests) {
        if (this.#signal.aborted) break
        if (request.topic !== '') await this.#accept(request, owned)
        while (this.#inflightBytes >= streamInflightBytesMax && !this.#signal.aborted) {
          await new Promise<void>(resolve => {
            this.#wakePump = resolve
          })
        }
      }
    } catch (error) {
      // The client went away, or sent what is not a request: the stream ends, appends under way go on.
      if (!this.#signal.aborted) this.#pumpError = error
    } finally {
      this.#pumpEnded = true
      this.#wakeSender?.()
    }
  }

  async #accept(request: AppendStreamRequest, owned: boolean): Promise<void> {
    const key = `${request.topic}/${request.partition}`
    const slot: Slot = { id: request.id, cost: request.recordSet.length + BATCH_OVERHEAD_BYTES, result: undefined }
    const lane = this.#lanes.get(key)
    if (lane === undefined) this.#lanes.set(key, [slot])
    else lane.push(slot)
    this.#inflightBytes += slot.cost
    try {
      const batch = checkBatch({
        payload: request.recordSet,
        payloadOwned: owned,
        payloadCrc: request.payloadCrc,
        count: request.count,
        codec: request.codec,
        producer: request.producer,
        expect: request.expect,
      })
      const partition = this.#partition(request.topic, request.partition) ?? (await this.#lookUp(request))
      appendCounted(this.#context, partition, batch, result => this.#settle(key, slot, request.partition, result))
    } catch (error) {
      this.#settle(key, slot, request.partition, toMillraceError(error))
    }
  }

  /** The fast path: a replica that is known and open, without a promise. */
  #partition(topic: string, partition: number): Partition | undefined {
    try {
      return this.#context.topics.partition(topic, partition)
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'UNKNOWN_TOPIC') return undefined
      throw error
    }
  }

  async #lookUp(request: AppendStreamRequest): Promise<Partition> {
    validateTopicName(request.topic)
    const { topics, directory } = this.#context
    const topic = await findTopic(this.#context, request.topic)
    checkPartition(topic, request.partition)
    const partition = await localPartition(this.#context, topic, request.partition)
    if (partition !== undefined) return partition
    const leaderNode = topics.leaderOf(request.topic, request.partition)
    throw notLeader(directory, { what: `${request.topic}/${request.partition}`, leaderNode, term: 0 })
  }

  #settle(key: string, slot: Slot, partition: number, result: Appended | MillraceError): void {
    slot.result = appendResult(slot.id, partition, result)
    const lane = this.#lanes.get(key)
    while (lane?.[0]?.result !== undefined) {
      const done = lane.shift()!
      this.#ready.push(done.result!)
      this.#readyCost += done.cost
    }
    if (lane?.length === 0) this.#lanes.delete(key)
    if (this.#ready.length > 0) this.#wakeSender?.()
  }

  #wakeBoth(): void {
    this.#wakeSender?.()
    this.#wakePump?.()
  }
}

function appendResult(id: bigint, partition: number, result: Appended | MillraceError): AppendResult {
  if (result instanceof MillraceError) {
    return create(AppendResultSchema, { id, result: { case: 'error', value: errorDetail(result) } })
  }
  const { baseOffset, count, timestamp, duplicate } = result
  const appended = create(AppendedSchema, {
    partition,
    baseOffset: BigInt(baseOffset),
    count,
    timestamp: BigInt(timestamp),
    duplicate,
  })
  return create(AppendResultSchema, { id, result: { case: 'appended', value: appended } })
}
