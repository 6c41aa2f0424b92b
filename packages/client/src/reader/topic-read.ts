/**
 * Reads a topic: its partitions merged, batch by batch, in the order in which batches arrive, so that none waits behind
 * a busy one. One batch per partition at most is taken ahead of the caller, and only while the caller waits.
 */
import { MillraceError } from '@millrace/record'
import { cancelled } from '../cluster/cluster-directory.ts'
import { rpcError } from '../cluster/rpc-error.ts'
import type { Codec } from '../codec.ts'
import { type PartitionBatch, PartitionReader, type ReaderContext, sleep } from './partition-reader.ts'
import { type PartitionPosition, positionToken, type ReadStart } from './read-position.ts'
import type { RecordOrigin } from './received-record.ts'
import { RecordList } from './record-list.ts'

/** Records of one partition that arrived together. */
export interface ReadBatch<T, K = string> {
  readonly topic: string
  readonly partition: number
  /** The records, made as they are looked at. */
  readonly records: RecordList<T, K>
  /** Offset of the first record. */
  readonly baseOffset: number
  /** Offset behind the last record. */
  readonly nextOffset: number
  /** Offset behind the newest committed record, as the leader knew it. */
  readonly highWatermark: number
  /** Bytes that the batch took on the wire. */
  readonly byteLength: number
  /** Resume token: `read({ from: batch.position })` goes on behind this batch, in all partitions of this read. */
  readonly position: string
}

export interface TopicReadOptions<T, K> {
  readonly topic: string
  readonly start: ReadStart
  readonly live: boolean
  readonly partitions: readonly number[] | undefined
  readonly batchBytesMax: number
  readonly signal: AbortSignal | undefined
  readonly value: Codec<T>
  readonly key: Codec<K>
}

interface Lane {
  readonly reader: PartitionReader
  readonly batches: AsyncGenerator<PartitionBatch>
  /** What was asked for; a partition that has not answered yet stands there. */
  readonly from: PartitionPosition
  /** Offset behind the last batch that the caller was given; −1: none was. */
  givenTo: number
  state: 'idle' | 'asked' | 'done'
}

export class TopicRead<T, K> implements AsyncIterableIterator<ReadBatch<T, K>> {
  readonly #context: ReaderContext
  readonly #options: TopicReadOptions<T, K>
  readonly #abort = new AbortController()
  readonly #startedAt = Date.now()
  #lanes: Lane[] | null = null
  /** Arrived and not taken yet, oldest first. */
  readonly #arrived: { readonly lane: Lane; readonly batch: PartitionBatch }[] = []
  #error: { readonly reason: unknown } | null = null
  #wake: (() => void) | null = null
  #finished = false
  #growthTimer: ReturnType<typeof setInterval> | undefined
  /** Calls of `next` are answered one after the other. */
  #tail: Promise<unknown> = Promise.resolve()
  readonly #unlisten: (() => void)[] = []

  constructor(context: ReaderContext, options: TopicReadOptions<T, K>) {
    this.#context = context
    this.#options = options
    this.#follow(context.closed)
    if (options.signal !== undefined) this.#follow(options.signal)
  }

  #follow(signal: AbortSignal): void {
    const abort = (): void => this.#abort.abort(cancelled(signal))
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    this.#unlisten.push(() => signal.removeEventListener('abort', abort))
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<ReadBatch<T, K>, undefined>> {
    const result = this.#tail.then(() => this.#next())
    this.#tail = result.catch(() => {})
    return result
  }

  /** Ends the read at once, also while a call of `next` waits. */
  return(): Promise<IteratorResult<ReadBatch<T, K>, undefined>> {
    this.#finish()
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#finish()
    return Promise.resolve()
  }

  async #next(): Promise<IteratorResult<ReadBatch<T, K>, undefined>> {
    if (this.#finished) return { done: true, value: undefined }
    try {
      this.#lanes ??= await this.#open()
      this.#askAll(this.#lanes)
      while (this.#arrived.length === 0 && this.#error === null && this.#lanes.some(lane => lane.state !== 'done')) {
        await new Promise<void>(resolve => {
          this.#wake = resolve
        })
        // There may be more of them now.
        if (this.#arrived.length === 0) this.#askAll(this.#lanes)
      }
      if (this.#error !== null) throw this.#error.reason
    } catch (reason) {
      const ended = this.#finished
      this.#finish()
      if (ended) return { done: true, value: undefined }
      throw reason
    }
    const arrived = this.#arrived.shift()
    if (arrived === undefined) {
      this.#finish()
      return { done: true, value: undefined }
    }
    return { done: false, value: this.#batch(arrived.lane, arrived.batch) }
  }

  #askAll(lanes: readonly Lane[]): void {
    for (const lane of lanes) if (lane.state === 'idle') this.#ask(lane)
  }

  #ask(lane: Lane): void {
    lane.state = 'asked'
    lane.batches.next().then(
      result => {
        lane.state = result.done ? 'done' : 'idle'
        if (!result.done) this.#arrived.push({ lane, batch: result.value })
        this.#wake?.()
      },
      reason => {
        lane.state = 'done'
        this.#error ??= { reason }
        this.#wake?.()
      },
    )
  }

  #batch(lane: Lane, batch: PartitionBatch): ReadBatch<T, K> {
    const { topic, value, key } = this.#options
    const { partition } = lane.reader
    // Where the others stand now, for tokens that are made later.
    const others = this.#lanes!.map(l => [l.reader.partition, standOf(l)] as const)
    lane.givenTo = batch.nextOffset
    const tokenAt = (offset: number): string => {
      const own: PartitionPosition = { at: 'offset', offset }
      const all = others.map(([p, position]) => [p, p === partition ? own : position] as const)
      return positionToken(all, this.#startedAt)
    }
    const origin: RecordOrigin<T, K> = {
      topic,
      partition,
      valueCodec: value,
      keyCodec: key,
      positionAfter: offset => tokenAt(offset + 1),
    }
    return {
      topic,
      partition,
      records: new RecordList(origin, batch.runs),
      baseOffset: batch.baseOffset,
      nextOffset: batch.nextOffset,
      highWatermark: batch.highWatermark,
      byteLength: batch.byteLength,
      get position() {
        return tokenAt(batch.nextOffset)
      },
    }
  }

  async #open(): Promise<Lane[]> {
    if (this.#abort.signal.aborted) throw cancelled(this.#abort.signal)
    const partitions = this.#choose((await this.#topicView()).partitions)
    const { live, start } = this.#options
    if (live && start.others !== null && this.#options.partitions === undefined) {
      this.#growthTimer = setInterval(() => this.#lookForPartitions(), this.#context.topicAgeMaxMs)
    }
    return partitions.map(([partition, from]) => this.#lane(partition, from))
  }

  #lane(partition: number, from: PartitionPosition): Lane {
    const { topic, live, batchBytesMax } = this.#options
    const options = { topic, partition, from, live, batchBytesMax, signal: this.#abort.signal }
    const reader = new PartitionReader(this.#context, options)
    return { reader, batches: reader.batches(), from, givenTo: -1, state: 'idle' }
  }

  /** A live read takes in the partitions that the topic has got meanwhile, from their start: all of them is new. */
  #lookForPartitions(): void {
    const grow = ({ partitions }: { readonly partitions: number }): void => {
      const lanes = this.#lanes
      if (lanes === null || this.#finished) return
      const known = new Set(lanes.map(lane => lane.reader.partition))
      for (let partition = 0; partition < partitions; partition++) {
        if (!known.has(partition)) lanes.push(this.#lane(partition, { at: 'earliest' }))
      }
      if (lanes.length > known.size) this.#wake?.()
    }
    // Nobody answers: the next look may find someone. That the topic is gone its streams say.
    this.#context.directory.refresh(this.#options.topic).then(grow, () => {})
  }

  /** Asks until someone answers, or `connectTimeoutMs` is over. */
  async #topicView(): Promise<{ readonly partitions: number }> {
    const { directory, status, now, connectTimeoutMs } = this.#context
    const { topic } = this.#options
    const startedAt = now()
    for (;;) {
      try {
        const view = await directory.topic(topic, this.#abort.signal)
        status.clear(this)
        return view
      } catch (reason) {
        const error = rpcError(reason, 'not-sent')
        if (!error.retryable || now() - startedAt >= connectTimeoutMs) throw error
        status.report(this, { state: 'reconnecting', what: `read of ${topic}`, reason: error.message })
        await sleep(100 + Math.random() * 100, this.#abort.signal)
      }
    }
  }

  /** @throws UNKNOWN_PARTITION */
  #choose(count: number): (readonly [number, PartitionPosition])[] {
    const { start, topic } = this.#options
    const { named, others } = start
    const all = others === null ? [...named.keys()] : Array.from({ length: count }, (_, i) => i)
    const wanted = this.#options.partitions ?? [...new Set([...all, ...named.keys()])]
    return wanted.map(partition => {
      const from = named.get(partition) ?? others
      if (Number.isInteger(partition) && partition >= 0 && partition < count && from !== null) return [partition, from]
      throw new MillraceError(
        'UNKNOWN_PARTITION',
        `partition ${partition}: ${topic} has partitions 0 to ${count - 1}${from === null ? ', and the position names another' : ''}`,
        { details: { partition, partitions: count } },
      )
    })
  }

  #finish(): void {
    if (this.#finished) return
    this.#finished = true
    clearInterval(this.#growthTimer)
    for (const unlisten of this.#unlisten) unlisten()
    this.#context.status.remove(this)
    const ended = cancelled(this.#abort.signal)
    this.#abort.abort(ended)
    this.#error ??= { reason: ended }
    this.#arrived.length = 0
    // They end by the signal; a generator that waits for nothing ends by this.
    for (const lane of this.#lanes ?? []) void lane.batches.return(undefined).catch(() => {})
    this.#wake?.()
  }
}

/** Where the caller stands in a partition. */
function standOf({ reader, from, givenTo }: Lane): PartitionPosition {
  const offset = givenTo >= 0 ? givenTo : reader.startOffset
  return offset === undefined ? from : { at: 'offset', offset }
}
