/**
 * What this node keeps up towards one peer: two streams (entries, and everything small) on two connections, made anew
 * after every failure, and the vote calls beside them.
 *
 * Reports the peer as gone only on evidence: a connection closed, whoever had opened it, and a new one was refused, or
 * the process that calls or answers is another one than before. Once per loss.
 */
import { type MethodDefinition, status as StatusCode } from '@grpc/grpc-js'
import type { GroupMessage, QuietBeat } from '../transport.ts'
import type { ControlBatch, ControlItem } from './control-codec.ts'
import type { OutgoingMessage } from './gathered-message.ts'
import type { PeerWelcome } from './handshake.ts'
import { PeerStream } from './peer-stream.ts'
import { probe, splitAddress } from './reachability-probe.ts'

/** Codec and method of one stream. */
export interface StreamKind<T extends GroupMessage | QuietBeat> {
  readonly method: MethodDefinition<Buffer, Buffer>
  readonly queueBytesMax: number
  readonly encode: (items: readonly T[]) => OutgoingMessage
  readonly decode: (bytes: Uint8Array) => ControlBatch
}

export interface PeerConnectionOptions {
  readonly address: string
  readonly hello: Buffer
  readonly keepaliveMs: number
  readonly appends: StreamKind<GroupMessage>
  readonly control: StreamKind<ControlItem>
  readonly randomInt: (bound: number) => number
  readonly receive: (batch: ControlBatch) => void
  readonly connected: () => void
  readonly unreachable: () => void
  readonly gone: () => void
  /** The peer said no: another cluster, another node, another protocol. Called once per reason. */
  readonly refused: (reason: string) => void
}

const RECONNECT_MS_MIN = 50
const RECONNECT_MS_MAX = 1_000
const HANDSHAKE_MS_MAX = 2_000

export class PeerConnection {
  readonly #options: PeerConnectionOptions
  readonly #host: string
  readonly #port: number
  #state: 'connecting' | 'up' | 'waiting' | 'closed' = 'waiting'
  #appends: PeerStream<GroupMessage> | undefined
  #control: PeerStream<ControlItem> | undefined
  #welcomes = 0
  #timer: NodeJS.Timeout | undefined
  /** Names the present pair of streams; what an older one still reports is ignored. */
  #attempt = 0
  #failures = 0
  /** Of the process that was last seen there; 0: none yet. */
  #incarnation = 0
  /** That process has spoken or answered, and has not been reported as gone. */
  #alive = false
  #refusal = ''

  constructor(options: PeerConnectionOptions) {
    this.#options = options
    const { host, port } = splitAddress(options.address)
    this.#host = host
    this.#port = port
  }

  get isUp(): boolean {
    return this.#state === 'up'
  }

  get queuedBytes(): number {
    return (this.#appends?.queuedBytes ?? 0) + (this.#control?.queuedBytes ?? 0)
  }

  /** The stream whose connection vote calls share; undefined while there is none. */
  get control(): PeerStream<ControlItem> | undefined {
    return this.#state === 'up' ? this.#control : undefined
  }

  /** The stream whose connection other long messages may share; undefined while there is none. */
  get appends(): PeerStream<GroupMessage> | undefined {
    return this.#state === 'up' ? this.#appends : undefined
  }

  sendAppends(messages: readonly GroupMessage[]): boolean {
    return this.#appends?.send(messages) ?? false
  }

  sendControl(items: readonly ControlItem[]): boolean {
    return this.#control?.send(items) ?? false
  }

  connect(): void {
    if (this.#state !== 'waiting') return
    clearTimeout(this.#timer)
    this.#state = 'connecting'
    this.#attempt += 1
    this.#welcomes = 0
    this.#appends = this.#open(this.#options.appends)
    this.#control = this.#open(this.#options.control)
    this.#timer = setTimeout(() => this.#lost(new Error('no welcome in time')), HANDSHAKE_MS_MAX)
  }

  /** A process that runs as this peer has shown itself, by calling or by answering. */
  sawIncarnation(incarnation: number): void {
    const replaced = this.#incarnation !== 0 && this.#incarnation !== incarnation
    this.#incarnation = incarnation
    if (replaced) this.#reportGone()
    this.#alive = true
    // The connection that is up leads to the old process; its end is on the way.
    if (replaced && this.#state === 'up') this.#lost(new Error('the process of the peer is another one'))
    // It is there, so there is nothing to wait for.
    if (this.#state === 'waiting') this.connect()
  }

  /** A stream that the peer had opened is over. */
  incomingEnded(): void {
    if (this.#alive) void this.#lookForEvidence()
  }

  close(): void {
    this.#state = 'closed'
    clearTimeout(this.#timer)
    this.#closeStreams()
  }

  #open<T extends GroupMessage | QuietBeat>(kind: StreamKind<T>): PeerStream<T> {
    const attempt = this.#attempt
    const current = (): boolean => attempt === this.#attempt && this.#state !== 'closed' && this.#state !== 'waiting'
    return new PeerStream({
      ...kind,
      address: this.#options.address,
      hello: this.#options.hello,
      keepaliveMs: this.#options.keepaliveMs,
      receive: this.#options.receive,
      welcomed: welcome => current() && this.#welcomed(welcome),
      failed: error => current() && this.#lost(error),
    })
  }

  #welcomed(welcome: PeerWelcome): void {
    this.sawIncarnation(welcome.incarnation)
    this.#welcomes += 1
    if (this.#welcomes < 2) return
    clearTimeout(this.#timer)
    this.#state = 'up'
    this.#failures = 0
    this.#refusal = ''
    this.#options.connected()
  }

  #lost(error: Error): void {
    const wasUp = this.#state === 'up'
    this.#state = 'waiting'
    clearTimeout(this.#timer)
    this.#closeStreams()
    this.#timer = setTimeout(() => this.connect(), reconnectDelayMs(this.#failures, this.#options.randomInt))
    this.#failures += 1
    this.#noteRefusal(error)
    if (wasUp) this.#options.unreachable()
    if (this.#alive) void this.#lookForEvidence()
  }

  async #lookForEvidence(): Promise<void> {
    const incarnation = this.#incarnation
    const result = await probe(this.#host, this.#port)
    if (result === 'refused' && this.#state !== 'closed' && this.#incarnation === incarnation) this.#reportGone()
  }

  #reportGone(): void {
    if (!this.#alive) return
    this.#alive = false
    this.#options.gone()
  }

  #noteRefusal(error: Error): void {
    const { code, details } = error as { code?: number; details?: string }
    if (code !== StatusCode.FAILED_PRECONDITION || details === undefined || details === this.#refusal) return
    this.#refusal = details
    this.#options.refused(details)
  }

  #closeStreams(): void {
    this.#appends?.close()
    this.#control?.close()
    this.#appends = undefined
    this.#control = undefined
  }
}

/** The time until the next attempt after so many that failed: doubling, less up to a quarter by chance. */
export function reconnectDelayMs(failures: number, randomInt: (bound: number) => number): number {
  const ms = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(failures, 10))
  return ms - randomInt(Math.ceil(ms / 4))
}
