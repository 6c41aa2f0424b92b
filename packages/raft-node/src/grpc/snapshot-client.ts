/** The calling side of one snapshot transfer: a stream on a connection of its own, which ends with it. */
import { Client, type ClientDuplexStream, credentials, type ServiceError } from '@grpc/grpc-js'
import type { SnapshotCall, SnapshotCallEvents, SnapshotChunk, SnapshotOffer } from '../snapshot-calls.ts'
import { decodeWelcome } from './handshake.ts'
import { CLIENT_OPTIONS, keepalive, PEER_METHODS } from './peer-service.ts'
import { decodeAnswer, encodeChunk, encodeOffer } from './snapshot-codec.ts'

export class SnapshotClient implements SnapshotCall {
  readonly #client: Client
  readonly #call: ClientDuplexStream<Buffer, Buffer>
  readonly #events: SnapshotCallEvents
  readonly #closed: (call: SnapshotClient) => void
  #welcomed = false
  #over = false

  /** `closed`: called once, when the connection is closed. */
  constructor(
    address: string,
    hello: Buffer,
    offer: SnapshotOffer,
    events: SnapshotCallEvents,
    closed: (call: SnapshotClient) => void,
  ) {
    this.#events = events
    this.#closed = closed
    this.#client = new Client(address, credentials.createInsecure(), { ...CLIENT_OPTIONS, ...keepalive() })
    const { path, requestSerialize, responseDeserialize } = PEER_METHODS.installSnapshot
    const call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
    this.#call = call
    call.on('data', (bytes: Buffer) => this.#data(bytes))
    call.on('error', (error: ServiceError) => this.end(error.details || error.message))
    call.on('end', () => this.end('the peer ended the call'))
    call.write(Buffer.concat([hello, encodeOffer(offer)]))
  }

  send(chunk: SnapshotChunk): void {
    if (!this.#over) this.#call.write(encodeChunk(chunk))
  }

  close(): void {
    if (this.#over) return
    this.#over = true
    this.#call.cancel()
    this.#client.close()
    this.#closed(this)
  }

  /** Ends the call for this reason. */
  end(reason: string): void {
    if (this.#over) return
    this.close()
    this.#events.ended(reason)
  }

  #data(bytes: Buffer): void {
    if (this.#over) return
    try {
      if (this.#welcomed) this.#events.answered(decodeAnswer(bytes))
      else if (decodeWelcome(bytes) === undefined) throw new Error('the peer did not answer with a welcome')
      this.#welcomed = true
    } catch (error) {
      this.end(error instanceof Error ? error.message : String(error))
    }
  }
}
