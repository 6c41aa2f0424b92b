/** A topic as callers hold it: codecs bound to a name. Making one asks the cluster nothing. */
import { MillraceError } from '@millrace/record'
import type { Observable } from 'rxjs'
import { CALL_DEFAULTS } from './client-options.ts'
import { cancelled } from './cluster/cluster-directory.ts'
import { type Codec, text } from './codec.ts'
import type { Delivery } from './observe/delivery.ts'
import type { WindowLimits, WindowReport } from './observe/delivery-window.ts'
import { observeTopic } from './observe/observe-topic.ts'
import { AppendMany, AppendOne } from './producer/append-call.ts'
import { type Appended, type AppendInput, encodeInput } from './producer/append-input.ts'
import { defaultPartitioner, type Partitioner, type Route, type TopicProducer } from './producer/topic-producer.ts'
import type { ReaderContext } from './reader/partition-reader.ts'
import { type ReadFrom, readStart } from './reader/read-position.ts'
import { TopicRead } from './reader/topic-read.ts'

export interface TopicOptions<T, K> {
  /** How values become bytes. */
  readonly value: Codec<T>
  /** How keys become bytes; text where absent. */
  readonly key?: Codec<K>
  /** Overrules which partition a key belongs to. All producers of a topic must agree. */
  readonly partitioner?: Partitioner
}

export interface ReadOptions {
  readonly from: ReadFrom
  /** Go on waiting at the end. Otherwise the read ends at what was committed when it began. Default false. */
  readonly live?: boolean
  /** Only these. */
  readonly partitions?: readonly number[]
  /** Ends the read with CANCELLED. */
  readonly signal?: AbortSignal
  /** Bytes of records per batch; one frame at least. */
  readonly batchBytesMax?: number
}

export interface ObserveOptions {
  /** Default `latest`. */
  readonly from?: ReadFrom
  /** False: complete at what was committed at the start. Default true: go on for ever. */
  readonly live?: boolean
  readonly partitions?: readonly number[]
  readonly batchBytesMax?: number
  /** Deliveries that may be unsettled. */
  readonly window?: Partial<WindowLimits>
}

export interface AppendManyOptions {
  /** Partition of all records that name none. */
  readonly partition?: number
}

/** What a topic needs of its client. */
export interface TopicContext {
  readonly producer: () => TopicProducer
  readonly reader: ReaderContext
  readonly report: Omit<WindowReport, 'what'>
}

export class Topic<T, K = string> {
  readonly name: string
  readonly #context: TopicContext
  readonly #value: Codec<T>
  readonly #key: Codec<K>
  readonly #partitioner: Partitioner

  /** Use `client.topic(name, options)`. */
  constructor(context: TopicContext, name: string, options: TopicOptions<T, K>) {
    this.name = name
    this.#context = context
    this.#value = checkedCodec(name, options?.value)
    this.#key = options.key ?? (text as unknown as Codec<K>)
    this.#partitioner = options.partitioner ?? defaultPartitioner
  }

  /**
   * Appends a record. Resolves when it is on the disks of a majority. Calls may overlap: records of one partition are
   * stored in the order of the calls, and travel together.
   *
   * @throws MillraceError, with what is known of the record in `outcome`. BUFFER_FULL, RECORD_TOO_LARGE and
   *   INVALID_ARGUMENT reject at once and store nothing
   */
  append(input: AppendInput<T, K>): Promise<Appended> {
    const call = new AppendOne()
    try {
      const record = encodeInput(input, this.#value, this.#key)
      const { signal } = input
      if (signal?.aborted) throw cancelled(signal)
      const producer = this.#context.producer()
      producer.append(record, call, 0, this.#route(input))
      if (signal !== undefined) call.watch(signal, waiter => producer.drop(waiter))
    } catch (error) {
      return Promise.reject(error)
    }
    return call.promise
  }

  /**
   * Appends many records with one promise, in their order per partition. This is no transaction: where it rejects, some
   * may be stored; the error's `details` count them.
   *
   * @returns one result per record, in the order given
   * @throws as `append`; a record that is refused at once ends the call, those before it are appended
   */
  appendMany(
    inputs: readonly Omit<AppendInput<T, K>, 'expect' | 'signal'>[],
    options: AppendManyOptions = {},
  ): Promise<Appended[]> {
    if (!Array.isArray(inputs)) {
      return Promise.reject(new MillraceError('INVALID_ARGUMENT', 'appendMany takes an array of records'))
    }
    const call = new AppendMany(inputs.length)
    let route = this.#route({})
    let producer: TopicProducer | undefined
    let nowMs = 0
    for (let mark = 0; mark < inputs.length; mark++) {
      try {
        const input: AppendInput<T, K> = inputs[mark]!
        const record = encodeInput(input, this.#value, this.#key)
        const partition = input.partition ?? options.partition
        const { expect } = input
        if (partition !== route.partition || expect !== route.expect) route = this.#route({ partition, expect })
        if (producer === undefined) {
          producer = this.#context.producer()
          nowMs = producer.nowMs()
        }
        producer.append(record, call, mark, route, nowMs)
      } catch (error) {
        call.refuseFrom(mark, error)
        break
      }
    }
    return call.promise
  }

  /** Resolves when every append so far has its result, good or bad. @throws APPEND_TIMEOUT, with outcome unknown */
  async flush(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    await this.#context.producer().flush(options.timeoutMs)
  }

  /**
   * Reads batch by batch: nothing is fetched that is not asked for, but for what fits into HTTP/2's window. Goes on by
   * itself after lost connections and leader changes, behind the last record, so that none is missed or comes twice.
   * Leaving the loop ends the read.
   *
   * A position whose records retention has removed, at the start or after a lost connection, ends the read with
   * OFFSET_OUT_OF_RANGE: nothing is skipped in silence. `details.logStartOffset` says where the rest begins; whoever wants
   * to go on without what is lost reads from there, or from `'earliest'`.
   *
   * @throws INVALID_ARGUMENT at once; UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE, UNREACHABLE, CANCELLED while reading
   */
  read(options: ReadOptions): TopicRead<T, K> {
    return new TopicRead(this.#context.reader, {
      topic: this.name,
      start: readStart(options?.from, options?.partitions),
      live: options.live ?? false,
      partitions: options.partitions,
      batchBytesMax: options.batchBytesMax ?? CALL_DEFAULTS.readBatchBytesMax,
      signal: options.signal,
      value: this.#value,
      key: this.#key,
    })
  }

  /**
   * A cold Observable of deliveries; each subscription reads on its own. Every delivery is to be settled, with `ack`,
   * `nack`, `values()` or `processEach()`: the window of unsettled ones is the back-pressure.
   */
  observe(options: ObserveOptions = {}): Observable<Delivery<T, K>> {
    const { from = 'latest', live = true, window = {}, ...rest } = options
    readStart(from, rest.partitions)
    const limits: WindowLimits = {
      count: window.count ?? CALL_DEFAULTS.windowCount,
      bytes: window.bytes ?? CALL_DEFAULTS.windowBytes,
    }
    const report: WindowReport = { ...this.#context.report, what: `observe ${this.name}` }
    const open = (signal: AbortSignal): TopicRead<T, K> => this.read({ ...rest, from, live, signal })
    return observeTopic({ open, live, closed: this.#context.reader.closed }, limits, report)
  }

  #route(input: Pick<AppendInput<T, K>, 'partition' | 'expect'>): Route {
    return { partition: input.partition, expect: input.expect, partitioner: this.#partitioner }
  }
}

/** @throws INVALID_ARGUMENT */
function checkedCodec<T>(topic: string, codec: Codec<T> | undefined): Codec<T> {
  if (typeof codec?.encode === 'function' && typeof codec.decode === 'function') return codec
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `topic ${topic}: option value needs a codec: json(), text, bytes or protobuf(schema)`,
  )
}
