/**
 * Reads one partition: finds its leader, opens a Read stream, and after a loss goes on behind the last record that was
 * taken, so that none comes twice and none is missed. Pull only: while nobody asks for the next batch the stream is not
 * read, and HTTP/2 stops the broker.
 */
import { Format, type ReadResponse } from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import type { ClusterDirectory } from '../cluster/cluster-directory.ts'
import { cancelled } from '../cluster/cluster-directory.ts'
import type { ConnectionPool } from '../cluster/connection.ts'
import { rpcError } from '../cluster/rpc-error.ts'
import { CLIENT_HELLO } from '../producer/append-wire.ts'
import { backoffMs } from '../producer/backoff.ts'
import type { StatusBoard } from '../status/client-status.ts'
import { type OpenedMessage, openFrames, openRecords } from './read-message.ts'
import { type PartitionPosition, wirePosition } from './read-position.ts'

export interface ReaderContext {
  readonly directory: ClusterDirectory
  readonly connections: ConnectionPool
  readonly status: StatusBoard
  /** Frames are opened here; records have been decoded by the broker. */
  readonly format: 'frames' | 'records'
  /** How long the first connection may take, in ms; later ones are tried for ever. */
  readonly connectTimeoutMs: number
  /** How often a live read looks for partitions that the topic has got meanwhile. */
  readonly topicAgeMaxMs: number
  /** Fires when the client is closed. */
  readonly closed: AbortSignal
  readonly now: () => number
}

export interface PartitionReadOptions {
  readonly topic: string
  readonly partition: number
  readonly from: PartitionPosition
  readonly live: boolean
  readonly batchBytesMax: number
  readonly signal: AbortSignal
}

export interface PartitionBatch extends OpenedMessage {
  readonly highWatermark: number
}

const BACKOFF = { backoffMinMs: 20, backoffMaxMs: 500 }
/** A damaged frame is asked for again: it may have been damaged on the way. */
const CORRUPT_MAX = 3

export class PartitionReader {
  readonly partition: number
  readonly #context: ReaderContext
  readonly #options: PartitionReadOptions
  readonly #where: string
  #position: PartitionPosition
  /** Where a read that is not live ends: the high watermark of its first subscription. */
  #end = Number.POSITIVE_INFINITY
  #failures = 0
  #corrupt = 0
  #startOffset: number | undefined
  #startedAt = 0

  constructor(context: ReaderContext, options: PartitionReadOptions) {
    this.#context = context
    this.#options = options
    this.#where = `${options.topic}/${options.partition}`
    this.partition = options.partition
    this.#position = options.from
  }

  /** Where the read of this partition began; undefined: its leader has not answered yet. */
  get startOffset(): number | undefined {
    return this.#startOffset
  }

  /**
   * Batches, until the end, the signal, or an error that trying again does not help.
   *
   * @throws CANCELLED when the signal fires; OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC, UNREACHABLE and other terminal errors
   */
  async *batches(): AsyncGenerator<PartitionBatch> {
    const { signal } = this.#options
    const { status } = this.#context
    this.#startedAt = this.#context.now()
    try {
      while (!this.#atEnd()) {
        if (signal.aborted) throw cancelled(signal)
        let url: string | undefined
        try {
          url = await this.#leader()
          yield* this.#stream(url)
        } catch (reason) {
          if (signal.aborted) throw cancelled(signal)
          await this.#recover(rpcError(reason, 'not-sent'), url)
        }
      }
    } finally {
      status.remove(this)
    }
  }

  #atEnd(): boolean {
    return this.#position.at === 'offset' && this.#position.offset >= this.#end
  }

  async #leader(): Promise<string> {
    const { topic, partition, signal } = this.#options
    const url = await this.#context.directory.leaderUrl(topic, partition, signal)
    if (url !== undefined) return url
    throw new MillraceError('NO_LEADER', `${this.#where} has no leader now`)
  }

  /** One stream, to its end. Returns without an error where the broker has ended it. */
  async *#stream(url: string): AsyncGenerator<PartitionBatch> {
    const { topic, partition, live, batchBytesMax, signal } = this.#options
    const { connections, directory, format } = this.#context
    // Leaving the loop does not end the call; only its signal does.
    const call = new AbortController()
    const end = (): void => call.abort(signal.reason)
    signal.addEventListener('abort', end, { once: true })
    const { connection, release } = connections.read(url)
    try {
      const responses = connection.log.read(
        {
          topic,
          partition,
          from: wirePosition(this.#position),
          format: format === 'records' ? Format.RECORDS : Format.UNSPECIFIED,
          live,
          batchBytesMax,
          hello: CLIENT_HELLO,
          anyReplica: directory.routing === 'any',
        },
        { signal: call.signal },
      )
      for await (const response of responses) {
        const batch = this.#take(response)
        if (batch !== null) yield batch
        if (this.#atEnd()) return
      }
      // A live stream has no end of its own, and others end where they should: this one broke off.
      if (!this.#atEnd()) throw new MillraceError('CONNECTION_LOST', `${url} has ended the stream`)
    } finally {
      signal.removeEventListener('abort', end)
      call.abort()
      release()
    }
  }

  #take({ event }: ReadResponse): PartitionBatch | null {
    if (event.case === 'subscribed') {
      const { startOffset, highWatermark } = event.value
      this.#position = { at: 'offset', offset: Number(startOffset) }
      if (!this.#options.live && this.#startOffset === undefined) this.#end = Number(highWatermark)
      this.#startOffset ??= Number(startOffset)
      this.#failures = 0
      this.#context.status.clear(this)
      return null
    }
    if (event.case !== 'frames' && event.case !== 'records') return null
    if (this.#position.at !== 'offset') throw new MillraceError('INTERNAL', `${this.#where}: records before subscribed`)
    const { offset } = this.#position
    const opened =
      event.case === 'frames'
        ? openFrames(event.value.frames, offset, this.#where)
        : openRecords(event.value.records, offset, this.#where)
    this.#corrupt = 0
    this.#position = { at: 'offset', offset: opened.nextOffset }
    if (opened.runs.length === 0) return null
    return { ...opened, highWatermark: Number(event.value.highWatermark) }
  }

  /** Waits before the next try, or throws where there is none. */
  async #recover(error: MillraceError, url: string | undefined): Promise<void> {
    const { directory, status, now, connectTimeoutMs } = this.#context
    const { topic, partition, signal } = this.#options
    if (!error.retryable && !CONNECTION_CODES.has(error.code)) throw error
    if (error.code === 'CORRUPT_BATCH' && ++this.#corrupt >= CORRUPT_MAX) throw error
    if (this.#startOffset === undefined && now() - this.#startedAt >= connectTimeoutMs) throw error
    const leaderUrl = error.details.leaderUrl
    if (url !== undefined) directory.doubtLeader(topic, partition, url)
    if (typeof leaderUrl === 'string' && leaderUrl !== '') directory.noteLeader(topic, partition, leaderUrl)
    status.report(this, { state: 'reconnecting', what: `read of ${this.#where}`, reason: error.message })
    if (++this.#failures > 1) await sleep(backoffMs(this.#failures - 1, Math.random(), BACKOFF), signal)
  }
}

/** What a lost connection looks like in a call that writes nothing. */
const CONNECTION_CODES: ReadonlySet<string> = new Set(['CANCELLED', 'APPEND_TIMEOUT', 'LEADERSHIP_LOST'])

export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(cancelled(signal))
      return
    }
    const abort = (): void => {
      clearTimeout(timer)
      reject(cancelled(signal))
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort)
      resolve()
    }, ms)
    signal.addEventListener('abort', abort, { once: true })
  })
}
