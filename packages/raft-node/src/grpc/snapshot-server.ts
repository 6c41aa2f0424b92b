/** The answering side of snapshot transfers: each is a call of its own, and nothing is kept of one when it is over. */
import { type handleBidiStreamingCall, type ServerDuplexStream, status as StatusCode } from '@grpc/grpc-js'
import type { IncomingSnapshot } from '../snapshot-calls.ts'
import type { TransportHandler } from '../transport.ts'
import { decodeHello, encodeWelcome, type PeerHello, type PeerIdentity } from './handshake.ts'
import { decodeChunk, decodeOffer, encodeAnswer } from './snapshot-codec.ts'

export interface SnapshotServerOptions {
  readonly self: PeerIdentity
  /** @throws Error when the call is not for this node */
  readonly greet: (hello: PeerHello | undefined) => PeerHello
  readonly offered: TransportHandler['snapshotOffered']
}

type Call = ServerDuplexStream<Buffer, Buffer>

export class SnapshotServer {
  readonly #options: SnapshotServerOptions
  readonly #calls = new Set<Call>()

  constructor(options: SnapshotServerOptions) {
    this.#options = options
  }

  readonly handler: handleBidiStreamingCall<Buffer, Buffer> = call => {
    let incoming: IncomingSnapshot | undefined
    this.#calls.add(call)
    const end = (): void => {
      if (this.#calls.delete(call)) incoming?.ended()
    }
    call.on('data', (bytes: Buffer) => {
      if (!this.#calls.has(call)) return
      try {
        if (incoming === undefined) incoming = this.#begin(call, bytes)
        else incoming.chunk(decodeChunk(bytes))
      } catch (error) {
        end()
        const details = error instanceof Error ? error.message : String(error)
        call.emit('error', { code: StatusCode.FAILED_PRECONDITION, details })
      }
    })
    call.on('end', () => {
      end()
      call.end()
    })
    call.on('cancelled', end)
    call.on('close', end)
  }

  /** Ends what is open. */
  close(): void {
    for (const call of this.#calls) {
      call.emit('error', { code: StatusCode.UNAVAILABLE, details: 'the node is stopping' })
    }
  }

  #begin(call: Call, bytes: Buffer): IncomingSnapshot {
    const { self, greet, offered } = this.#options
    const hello = greet(decodeHello(bytes))
    call.write(encodeWelcome(self, hello))
    return offered(hello.fromNode, decodeOffer(bytes), answer => {
      if (this.#calls.has(call)) call.write(encodeAnswer(answer))
    })
  }
}
