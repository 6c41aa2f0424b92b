/**
 * The answering side: accepts the streams and vote calls of peers, checks who they are, and carries this node's answers
 * back on the streams that they opened.
 */
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  status as StatusCode,
} from '@grpc/grpc-js'
import type { GroupMessage, TransportHandler } from '../transport.ts'
import { encodeAppendResponses } from './append-codec.ts'
import { type ControlBatch, type ControlItem, decodeVotes, encodeHeartbeatResponses } from './control-codec.ts'
import { widenServerWindow } from './flow-control.ts'
import { decodeFrameRequest, encodeFrameAnswer } from './frames-call.ts'
import { decodeHello, encodeWelcome, type PeerHello, type PeerIdentity, refuseHello } from './handshake.ts'
import { keepalive, PEER_METHODS, SERVER_OPTIONS } from './peer-service.ts'
import { decodeQuestion, encodePresence } from './presence-call.ts'
import { SendQueue } from './send-queue.ts'
import { SnapshotServer } from './snapshot-server.ts'
import { decodeStateRequest, encodeStateAnswer } from './state-call.ts'
import { VoteAnswers } from './vote-calls.ts'

export interface PeerServerOptions {
  readonly self: PeerIdentity
  readonly host: string
  readonly port: number
  readonly keepaliveMs: number
  readonly queueBytesMax: number
  readonly voteWindowMs: number
  readonly decodeAppends: (fromNode: number, bytes: Uint8Array) => GroupMessage[]
  readonly decodeControl: (bytes: Uint8Array) => ControlBatch
  readonly receive: (fromNode: number, batch: ControlBatch) => void
  readonly snapshotOffered: TransportHandler['snapshotOffered']
  readonly describeGroup: TransportHandler['describeGroup']
  readonly framesAsked: TransportHandler['framesAsked']
  readonly stateAsked: TransportHandler['stateAsked']
  /** A process that runs as `node` has called. */
  readonly saw: (node: number, incarnation: number) => void
  /** A stream of `node` is over. */
  readonly ended: (node: number) => void
  readonly refused: (reason: string) => void
}

/** Which of the two streams of a peer. */
type Kind = 'appends' | 'control'
type Call = ServerDuplexStream<Buffer, Buffer>

const CLOSE_MS_MAX = 1_000

export class PeerServer {
  readonly #options: PeerServerOptions
  readonly #server: Server
  readonly #votes: VoteAnswers
  readonly #snapshots: SnapshotServer
  /** Where answers to a node go: on the newest stream that it opened. */
  readonly #answers = {
    appends: new Map<number, SendQueue<GroupMessage>>(),
    control: new Map<number, SendQueue<ControlItem>>(),
  }
  readonly #calls = new Set<Call>()
  #port = 0

  constructor(options: PeerServerOptions) {
    this.#options = options
    this.#votes = new VoteAnswers(options.voteWindowMs)
    this.#snapshots = new SnapshotServer({
      self: options.self,
      greet: hello => this.#greet(hello),
      offered: options.snapshotOffered,
    })
    this.#server = new Server({ ...SERVER_OPTIONS, ...keepalive(options.keepaliveMs) })
    widenServerWindow(this.#server)
    this.#server.addService(PEER_METHODS, {
      appendEntries: this.#streamHandler('appends'),
      heartbeat: this.#streamHandler('control'),
      requestVote: this.#voteHandler(),
      installSnapshot: this.#snapshots.handler,
      describePresence: this.#describeHandler(),
      fetchFrames: this.#framesHandler(),
      fetchState: this.#stateHandler(),
    })
  }

  /** Port that is listened on, once it is. */
  get port(): number {
    return this.#port
  }

  /** @throws Error naming the address when it cannot be listened on */
  listen(): Promise<void> {
    const { host, port } = this.#options
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
        if (error !== null) return reject(listenError(address, error))
        this.#port = bound
        resolve()
      })
    })
  }

  /** @returns false when there is no stream to answer on, or no room in it */
  sendAppendResponses(toNode: number, messages: readonly GroupMessage[]): boolean {
    return this.#answers.appends.get(toNode)?.push(messages) ?? false
  }

  sendControlResponses(toNode: number, items: readonly ControlItem[]): boolean {
    return this.#answers.control.get(toNode)?.push(items) ?? false
  }

  sendVoteResponses(toNode: number, messages: readonly GroupMessage[]): void {
    this.#votes.take(toNode, messages)
  }

  queuedBytes(node: number): number {
    return (this.#answers.appends.get(node)?.queuedBytes ?? 0) + (this.#answers.control.get(node)?.queuedBytes ?? 0)
  }

  /**
   * Stops listening, then ends what is open. (Without channelz, grpc-js 1.14 keeps no list of sessions that
   * `forceShutdown` could destroy, so the streams have to end for the connections to close.)
   */
  close(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(() => {
        this.#server.forceShutdown()
        resolve()
      }, CLOSE_MS_MAX)
      this.#server.tryShutdown(() => {
        clearTimeout(timer)
        resolve()
      })
      this.#votes.close()
      this.#snapshots.close()
      for (const call of this.#calls) {
        call.emit('error', { code: StatusCode.UNAVAILABLE, details: 'the node is stopping' })
      }
    })
  }

  #streamHandler(kind: Kind): handleBidiStreamingCall<Buffer, Buffer> {
    return call => {
      let hello: PeerHello | undefined
      let closeQueue = (): void => undefined
      this.#calls.add(call)
      const end = (): void => {
        if (!this.#calls.delete(call) || hello === undefined) return
        closeQueue()
        this.#options.ended(hello.fromNode)
      }
      const refuse = (error: unknown): void => {
        end()
        call.emit('error', refusal(error))
      }
      call.on('data', (bytes: Buffer) => {
        try {
          if (hello !== undefined) return this.#receive(kind, hello.fromNode, bytes)
          hello = this.#greet(decodeHello(bytes))
          closeQueue = this.#openQueue(kind, hello.fromNode, call)
          call.write(encodeWelcome(this.#options.self, hello))
        } catch (error) {
          refuse(error)
        }
      })
      call.on('end', () => {
        end()
        call.end()
      })
      call.on('cancelled', end)
      call.on('close', end)
    }
  }

  /** Answers to that node go into this call from now on. @returns what ends that */
  #openQueue(kind: Kind, fromNode: number, call: Call): () => void {
    const { queueBytesMax } = this.#options
    const write = (bytes: Buffer, flushed: () => void): void => void call.write(bytes, () => flushed())
    if (kind === 'appends') {
      const queue = new SendQueue<GroupMessage>({ queueBytesMax, encode: encodeAppendResponses, write })
      return replaceQueue(this.#answers.appends, fromNode, queue)
    }
    const queue = new SendQueue<ControlItem>({ queueBytesMax, encode: encodeHeartbeatResponses, write })
    return replaceQueue(this.#answers.control, fromNode, queue)
  }

  #receive(kind: Kind, fromNode: number, bytes: Buffer): void {
    const { decodeAppends, decodeControl, receive } = this.#options
    if (kind === 'control') receive(fromNode, decodeControl(bytes))
    else receive(fromNode, { messages: decodeAppends(fromNode, bytes), beat: undefined })
  }

  #voteHandler(): handleUnaryCall<Buffer, Buffer> {
    return (call, answer) => {
      try {
        const hello = this.#greet(decodeHello(call.request))
        const votes = decodeVotes(call.request)
        this.#votes.expect(hello.fromNode, votes, encodeWelcome(this.#options.self, hello), answer)
        this.#options.receive(hello.fromNode, { messages: votes, beat: undefined })
      } catch (error) {
        answer(refusal(error))
      }
    }
  }

  #describeHandler(): handleUnaryCall<Buffer, Buffer> {
    return (call, answer) => {
      try {
        this.#greet(decodeHello(call.request))
        answer(null, encodePresence(this.#options.describeGroup(decodeQuestion(call.request))))
      } catch (error) {
        answer(refusal(error))
      }
    }
  }

  #framesHandler(): handleUnaryCall<Buffer, Buffer> {
    return (call, answer) => {
      const run = async (): Promise<Buffer> => {
        const { fromNode } = this.#greet(decodeHello(call.request))
        return encodeFrameAnswer(await this.#options.framesAsked(fromNode, decodeFrameRequest(call.request)))
      }
      run().then(
        bytes => answer(null, bytes),
        (error: unknown) => answer(refusal(error)),
      )
    }
  }

  #stateHandler(): handleUnaryCall<Buffer, Buffer> {
    return (call, answer) => {
      try {
        const { fromNode } = this.#greet(decodeHello(call.request))
        answer(null, encodeStateAnswer(this.#options.stateAsked(fromNode, decodeStateRequest(call.request))))
      } catch (error) {
        answer(refusal(error))
      }
    }
  }

  /** @throws Error when the call is not for this node */
  #greet(hello: PeerHello | undefined): PeerHello {
    const reason = refuseHello(this.#options.self, hello)
    if (reason !== undefined || hello === undefined) {
      this.#options.refused(reason ?? 'no hello')
      throw new Error(reason)
    }
    this.#options.saw(hello.fromNode, hello.incarnation)
    return hello
  }
}

function replaceQueue<T extends ControlItem>(
  queues: Map<number, SendQueue<T>>,
  node: number,
  queue: SendQueue<T>,
): () => void {
  queues.get(node)?.close()
  queues.set(node, queue)
  return () => {
    queue.close()
    if (queues.get(node) === queue) queues.delete(node)
  }
}

/** What the peer is told; it does not try again with something else, so it is a failed precondition. */
function refusal(error: unknown): { code: number; details: string } {
  const details = error instanceof Error ? error.message : String(error)
  return { code: StatusCode.FAILED_PRECONDITION, details }
}

function listenError(address: string, error: Error): Error {
  const reason = error.message.includes('EADDRINUSE') ? 'the port is in use by another process' : error.message
  return new Error(`cannot listen for peers on ${address}: ${reason}`, { cause: error })
}
