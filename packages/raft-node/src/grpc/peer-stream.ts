/**
 * The calling side of one long-lived stream to a peer, with a connection of its own: hello, welcome, then messages both
 * ways until the first failure. It never reconnects; `PeerConnection` makes a new one.
 */
import { Client, type ClientDuplexStream, credentials, type MethodDefinition, type ServiceError } from '@grpc/grpc-js'
import type { GroupMessage, QuietBeat } from '../transport.ts'
import type { ControlBatch } from './control-codec.ts'
import { GatheredMessage, type OutgoingMessage } from './gathered-message.ts'
import { decodeWelcome, type PeerWelcome } from './handshake.ts'
import { CLIENT_OPTIONS, keepalive } from './peer-service.ts'
import { SendQueue } from './send-queue.ts'

export interface PeerStreamOptions<T extends GroupMessage | QuietBeat> {
  readonly address: string
  readonly method: MethodDefinition<Buffer, Buffer>
  readonly hello: Buffer
  readonly keepaliveMs: number
  readonly queueBytesMax: number
  readonly encode: (items: readonly T[]) => OutgoingMessage
  readonly decode: (bytes: Uint8Array) => ControlBatch
  readonly welcomed: (welcome: PeerWelcome) => void
  readonly receive: (batch: ControlBatch) => void
  /** Called once: the stream is over. */
  readonly failed: (error: Error) => void
}

export class PeerStream<T extends GroupMessage | QuietBeat> {
  readonly client: Client
  readonly #options: PeerStreamOptions<T>
  readonly #call: ClientDuplexStream<Buffer, Buffer>
  readonly #queue: SendQueue<T, OutgoingMessage>
  #state: 'opening' | 'open' | 'closed' = 'opening'

  constructor(options: PeerStreamOptions<T>) {
    this.#options = options
    this.client = new Client(options.address, credentials.createInsecure(), {
      ...CLIENT_OPTIONS,
      ...keepalive(options.keepaliveMs),
    })
    const { path, requestSerialize, responseDeserialize } = options.method
    const call = this.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
    this.#call = call
    this.#queue = new SendQueue({
      queueBytesMax: options.queueBytesMax,
      encode: options.encode,
      write: (message, flushed) => this.#write(message, flushed),
    })
    call.on('data', (bytes: Buffer) => this.#data(bytes))
    call.on('error', (error: ServiceError) => this.#fail(error))
    call.on('end', () => this.#fail(new Error('the peer ended the stream')))
    call.write(options.hello)
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes
  }

  /** @returns false when nothing was taken: not open, or no room */
  send(items: readonly T[]): boolean {
    return this.#state === 'open' && this.#queue.push(items)
  }

  close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#queue.close()
    this.#call.cancel()
    this.client.close()
  }

  #write(message: OutgoingMessage, flushed: () => void): void {
    if (!(message instanceof GatheredMessage)) {
      this.#call.write(message, () => flushed())
      return
    }
    this.#call.write(message.asBuffer(), () => {
      message.flushed()
      flushed()
    })
  }

  #data(bytes: Buffer): void {
    if (this.#state === 'closed') return
    try {
      if (this.#state === 'open') this.#options.receive(this.#options.decode(bytes))
      else this.#welcome(bytes)
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #welcome(bytes: Buffer): void {
    const welcome = decodeWelcome(bytes)
    if (welcome === undefined) throw new Error('the peer did not answer with a welcome')
    this.#state = 'open'
    this.#options.welcomed(welcome)
  }

  #fail(error: Error): void {
    if (this.#state === 'closed') return
    this.close()
    this.#options.failed(error)
  }
}
