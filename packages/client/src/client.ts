/**
 * A client of a cluster: owns its connections, producers and status. Closing it settles every append and ends every
 * read; a closed client refuses everything.
 */
import { LIMITS, MillraceError, validateTopicName } from '@millrace/record'
import type { Observable } from 'rxjs'
import type { ResolvedOptions } from './client-options.ts'
import { ClusterAdmin, type ClusterDescription } from './cluster/cluster-admin.ts'
import { ClusterDirectory } from './cluster/cluster-directory.ts'
import { ConnectionPool, type Dial } from './cluster/connection.ts'
import { AppendBuffer } from './producer/append-buffer.ts'
import { LinkPool } from './producer/link-pool.ts'
import type { AppenderContext } from './producer/partition-appender.ts'
import { TopicProducer } from './producer/topic-producer.ts'
import type { ReaderContext } from './reader/partition-reader.ts'
import { type ClientStatus, StatusBoard } from './status/client-status.ts'
import { Topic, type TopicOptions } from './topic.ts'
import { type CallOptions, TopicAdmin } from './topic-admin.ts'

/** How this kind of client reaches brokers; Node and browsers differ here and nowhere else. */
export interface ClientPlatform {
  readonly dial: Dial
  readonly appends: 'stream' | 'unary'
  readonly reads: 'frames' | 'records'
}

export class Client {
  /** Topics: ensure, create, list, describe, alter, delete. */
  readonly topics: TopicAdmin
  /** How the client is doing; replays its last value. Completes when the client is closed. */
  readonly status$: Observable<ClientStatus>
  readonly #options: ResolvedOptions
  readonly #status = new StatusBoard()
  readonly #connections: ConnectionPool
  readonly #directory: ClusterDirectory
  readonly #links: LinkPool
  readonly #buffer: AppendBuffer
  readonly #producers = new Map<string, TopicProducer>()
  readonly #appends: AppenderContext
  readonly #reads: ReaderContext
  readonly #admin: ClusterAdmin
  readonly #closed = new AbortController()
  #closing: Promise<void> | null = null

  /** Use `connect`. */
  constructor(urls: readonly string[], options: ResolvedOptions, platform: ClientPlatform) {
    const now = (): number => performance.now()
    const { attemptTimeoutMs, routing } = options
    const kind = routing === 'any' ? 'unary' : platform.appends
    this.#options = options
    this.#connections = new ConnectionPool(platform.dial)
    this.#directory = new ClusterDirectory(this.#connections, { urls, routing, callTimeoutMs: attemptTimeoutMs })
    this.#links = new LinkPool(this.#connections, { kind, attemptTimeoutMs, now })
    this.#buffer = new AppendBuffer(options.bufferBytesMax)
    this.#admin = new ClusterAdmin(this.#directory)
    this.topics = new TopicAdmin(this.#directory)
    this.status$ = this.#status.status$
    this.#appends = {
      directory: this.#directory,
      links: this.#links,
      buffer: this.#buffer,
      status: this.#status,
      lane: laneConfig(kind, options),
      appendTimeoutMs: options.appendTimeoutMs,
      batchBytesMax: options.batchBytesMax,
      compression: options.compression,
      topicAgeMaxMs: options.topicAgeMaxMs,
      now,
    }
    this.#reads = {
      directory: this.#directory,
      connections: this.#connections,
      status: this.#status,
      format: platform.reads,
      connectTimeoutMs: options.connectTimeoutMs,
      topicAgeMaxMs: options.topicAgeMaxMs,
      closed: this.#closed.signal,
      now,
    }
  }

  /**
   * A handle on a topic; asks the cluster nothing.
   *
   * @throws INVALID_NAME
   */
  topic<T, K = string>(name: string, options: TopicOptions<T, K>): Topic<T, K> {
    validateTopicName(name)
    const report = { status: this.#status, stallMs: this.#options.stallMs }
    return new Topic<T, K>({ producer: () => this.#producer(name), reader: this.#reads, report }, name, options)
  }

  /** The cluster as the node that answers sees it. */
  cluster(options: CallOptions = {}): Promise<ClusterDescription> {
    return this.#admin.describe(options.signal)
  }

  /** Resolves when half of the append buffer is free: for writers that would rather wait than get BUFFER_FULL. */
  writable(options: CallOptions = {}): Promise<void> {
    return this.#buffer.writable(options.signal)
  }

  /** Resolves when every append so far has its result, good or bad. @throws APPEND_TIMEOUT */
  async flush(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    await Promise.all([...this.#producers.values()].map(producer => producer.flush(options.timeoutMs)))
  }

  /**
   * Waits for appends, at most `closeTimeoutMs`, and settles the rest. Reads end with SHUTTING_DOWN, live observables
   * complete.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #producer(topic: string): TopicProducer {
    if (this.#closing !== null) throw closed()
    let producer = this.#producers.get(topic)
    if (producer === undefined) {
      producer = new TopicProducer(this.#appends, topic)
      this.#producers.set(topic, producer)
    }
    return producer
  }

  async #close(): Promise<void> {
    const error = closed()
    this.#closed.abort(error)
    try {
      await this.flush({ timeoutMs: this.#options.closeTimeoutMs })
    } catch (reason) {
      // What is left is settled below, each with its own outcome.
      if (!(reason instanceof MillraceError && reason.code === 'APPEND_TIMEOUT')) throw reason
    }
    for (const producer of this.#producers.values()) producer.close(error)
    this.#directory.close(error)
    this.#links.close()
    this.#connections.close(error)
    this.#status.close()
  }
}

function closed(): MillraceError {
  return new MillraceError('SHUTTING_DOWN', 'the client is closed')
}

/** Appends of one partition by separate calls may overtake each other: one at a time, then. */
function laneConfig(kind: 'stream' | 'unary', options: ResolvedOptions): AppenderContext['lane'] {
  return {
    inflightBatchesMax: kind === 'unary' ? 1 : LIMITS.producerInflightBatchesMax,
    attemptTimeoutMs: options.attemptTimeoutMs * 1.5,
    backoffMinMs: 20,
    backoffMaxMs: 200,
  }
}
