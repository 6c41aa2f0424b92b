/**
 * Appends to one topic: finds out how many partitions there are, chooses one for each record, and hands it to that
 * partition's appender. Until the topic is known, records wait here in order, counted against the buffer.
 */
import { keyHash, LIMITS, MillraceError, partitionOf, type RecordInput } from '@millrace/record'
import { rpcError } from '../cluster/rpc-error.ts'
import type { AppendWaiter } from './append-batch.ts'
import { estimateBytes } from './append-input.ts'
import type { Expectation } from './append-link.ts'
import { type AppenderContext, PartitionAppender } from './partition-appender.ts'

/** Chooses the partition of a record with a key: 0 to `partitions` − 1. */
export type Partitioner = (key: Uint8Array, partitions: number) => number

export const defaultPartitioner: Partitioner = (key, partitions) => partitionOf(keyHash(key), partitions)

/** How one record goes. */
export interface Route {
  readonly partition: number | undefined
  readonly expect: Expectation | undefined
  readonly partitioner: Partitioner
}

interface Unrouted {
  readonly record: RecordInput
  readonly waiter: AppendWaiter
  readonly mark: number
  readonly route: Route
  readonly charge: number
  /** When it gives up. */
  readonly deadline: number
}

export class TopicProducer {
  readonly #context: AppenderContext
  readonly #topic: string
  readonly #appenders: (PartitionAppender | undefined)[] = []
  #unrouted: Unrouted[] = []
  #closed: MillraceError | null = null
  /** Wakes flushes once the topic is known. */
  #routed: (() => void)[] = []
  #looking = false
  /** Partition for records without a key, until its batch is sent. */
  #sticky = Math.floor(Math.random() * LIMITS.partitionsPerTopicMax)
  #unkeyedTo = -1

  constructor(context: AppenderContext, topic: string) {
    this.#context = context
    this.#topic = topic
  }

  /** Milliseconds on the clock by which appends give up. */
  nowMs(): number {
    return this.#context.now()
  }

  /**
   * Takes a record. Its waiter hears of it exactly once, later, if nothing is thrown.
   *
   * @param nowMs of {@link nowMs}: asked once for many records that come together
   * @throws BUFFER_FULL, RECORD_TOO_LARGE, INVALID_ARGUMENT, UNKNOWN_PARTITION: nothing was taken
   */
  append(record: RecordInput, waiter: AppendWaiter, mark: number, route: Route, nowMs: number = this.nowMs()): void {
    if (this.#closed !== null) throw this.#closed
    const { buffer, directory } = this.#context
    const bytes = estimateBytes(record)
    buffer.check(bytes)
    const view = directory.known(this.#topic)
    if (view !== undefined && this.#unrouted.length === 0) {
      if (nowMs - view.at > this.#context.topicAgeMaxMs) this.#lookAgain()
      this.#route(record, waiter, mark, route, view.partitions, nowMs)
      return
    }
    buffer.take(bytes)
    const deadline = nowMs + this.#context.appendTimeoutMs
    this.#unrouted.push({ record: owned(record), waiter, mark, route, charge: bytes, deadline })
    if (this.#unrouted.length === 1) void this.#learnTopic()
  }

  /** The caller gives up. True: its records are certainly not stored. */
  drop(waiter: AppendWaiter): boolean {
    const waiting = this.#unrouted.findIndex(unrouted => unrouted.waiter === waiter)
    if (waiting !== -1) {
      const [dropped] = this.#unrouted.splice(waiting, 1)
      this.#context.buffer.give(dropped!.charge)
      return true
    }
    return this.#appenders.some(appender => appender?.drop(waiter))
  }

  /**
   * Resolves when all that was appended so far has its result, good or bad.
   *
   * @throws APPEND_TIMEOUT, with outcome unknown, after `timeoutMs`
   */
  async flush(timeoutMs: number | undefined): Promise<void> {
    if (timeoutMs === undefined) return await this.#flush()
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      const message = `flush of ${this.#topic}: appends are still unacknowledged after ${timeoutMs} ms`
      late.reject(new MillraceError('APPEND_TIMEOUT', message))
    }, timeoutMs)
    try {
      await Promise.race([this.#flush(), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  async #flush(): Promise<void> {
    while (this.#unrouted.length > 0) {
      await new Promise<void>(resolve => {
        this.#routed.push(resolve)
      })
    }
    const open = this.#appenders.filter(appender => appender !== undefined)
    await Promise.all(open.map(appender => new Promise<void>(resolve => appender.flush(resolve))))
  }

  close(error: MillraceError): void {
    this.#closed = error
    this.#failUnrouted(error, () => true)
    for (const appender of this.#appenders) appender?.close(error)
  }

  #route(
    record: RecordInput,
    waiter: AppendWaiter,
    mark: number,
    route: Route,
    partitions: number,
    nowMs: number,
  ): void {
    const partition = this.#choose(record, route, partitions)
    const appender = this.#appender(partition)
    if (route.expect === undefined) appender.add(record, waiter, mark, nowMs)
    else appender.addConditional(record, route.expect, waiter)
  }

  #choose(record: RecordInput, route: Route, partitions: number): number {
    if (route.partition !== undefined) return this.#checked(route.partition, partitions, 'partition')
    if (record.key == null) {
      this.#unkeyedTo = this.#sticky % partitions
      return this.#unkeyedTo
    }
    return this.#checked(route.partitioner(record.key, partitions), partitions, 'the partitioner’s answer')
  }

  #checked(partition: number, partitions: number, what: string): number {
    if (Number.isInteger(partition) && partition >= 0 && partition < partitions) return partition
    throw new MillraceError(
      'UNKNOWN_PARTITION',
      `${what} ${partition}: ${this.#topic} has partitions 0 to ${partitions - 1}`,
      { details: { partition, partitions } },
    )
  }

  #appender(partition: number): PartitionAppender {
    const known = this.#appenders[partition]
    if (known !== undefined) return known
    const appender = new PartitionAppender(this.#context, this.#topic, partition)
    appender.onSealed = () => {
      if (this.#unkeyedTo === partition) this.#sticky = partition + 1
    }
    this.#appenders[partition] = appender
    return appender
  }

  /** Asks for the topic until someone answers, or the records' time is over. */
  async #learnTopic(): Promise<void> {
    const { directory, status, now } = this.#context
    while (this.#unrouted.length > 0) {
      try {
        const { partitions } = await directory.topic(this.#topic)
        status.clear(this)
        this.#routeAll(partitions)
        return
      } catch (reason) {
        const error = rpcError(reason, 'not-sent')
        const late = now()
        this.#failUnrouted(error, ({ deadline }) => !error.retryable || deadline <= late)
        if (this.#unrouted.length === 0) break
        status.report(this, { state: 'reconnecting', what: `append to ${this.#topic}`, reason: error.message })
        await new Promise(resolve => setTimeout(resolve, 50 + Math.random() * 100))
      }
    }
    status.remove(this)
  }

  /** The number of partitions may have grown. Meanwhile, and if nobody answers, what is known holds. */
  #lookAgain(): void {
    if (this.#looking) return
    this.#looking = true
    const done = (): void => {
      this.#looking = false
    }
    this.#context.directory.refresh(this.#topic).then(done, done)
  }

  #routeAll(partitions: number): void {
    const unrouted = this.#unrouted
    const nowMs = this.nowMs()
    this.#unrouted = []
    for (const { record, waiter, mark, route, charge } of unrouted) {
      this.#context.buffer.give(charge)
      try {
        this.#route(record, waiter, mark, route, partitions, nowMs)
      } catch (error) {
        waiter.failed(mark, rpcError(error, 'not-sent'))
      }
    }
    this.#wakeFlush()
  }

  #failUnrouted(error: MillraceError, which: (unrouted: Unrouted) => boolean): void {
    const failed: Unrouted[] = []
    const kept: Unrouted[] = []
    for (const unrouted of this.#unrouted) (which(unrouted) ? failed : kept).push(unrouted)
    this.#unrouted = kept
    const notStored = new MillraceError(error.code, error.message, {
      cause: error,
      outcome: 'not_stored',
      details: error.details,
    })
    for (const { waiter, mark, charge } of failed) {
      this.#context.buffer.give(charge)
      waiter.failed(mark, notStored)
    }
    this.#wakeFlush()
  }

  #wakeFlush(): void {
    const routed = this.#routed
    this.#routed = []
    for (const wake of routed) wake()
  }
}

/** Bytes that the caller may change before they are encoded. `slice` would copy arrays, and be a view of Buffers. */
function owned(record: RecordInput): RecordInput {
  const { key, value } = record
  return {
    ...record,
    key: key === null || key === undefined ? null : new Uint8Array(key),
    value: value instanceof Uint8Array ? new Uint8Array(value) : value,
  }
}
