/**
 * The transport over gRPC: sorts messages by class and hands them to the connection that this node opened to the peer
 * (what it says as leader or candidate) or to the stream that the peer opened to it (its answers).
 *
 * Never waits and never queues without a bound; what does not fit or cannot be delivered is reported by `unreachable`.
 */
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js'
import type { Message } from '@millrace/raft-core'
import type { FrameAnswer, FrameRequest } from '../frame-calls.ts'
import type { NodeEvent } from '../node.ts'
import { ReportOnce } from '../report-once.ts'
import type { SnapshotCall, SnapshotCallEvents, SnapshotOffer } from '../snapshot-calls.ts'
import type { StateAnswer, StateRequest } from '../state-calls.ts'
import { systemRandomInt } from '../system-clock.ts'
import type { GroupMessage, GroupPresence, QuietBeat, Transport, TransportHandler } from '../transport.ts'
import { decodeAppendResponses, decodeAppends, encodeAppends } from './append-codec.ts'
import { type ControlBatch, decodeHeartbeatResponses, decodeHeartbeats, encodeHeartbeats } from './control-codec.ts'
import { askFrames } from './frames-call.ts'
import { encodeHello, type PeerIdentity } from './handshake.ts'
import { PeerConnection } from './peer-connection.ts'
import { PeerServer } from './peer-server.ts'
import { KEEPALIVE_MS, PEER_METHODS } from './peer-service.ts'
import { askPresence } from './presence-call.ts'
import { SnapshotClient } from './snapshot-client.ts'
import { askState } from './state-call.ts'
import { VoteCaller } from './vote-calls.ts'

export interface GrpcTransportOptions {
  readonly nodeId: number
  readonly clusterId: string
  /** Random per start of the process, a safe integer above 0. Default: made here. */
  readonly incarnation?: number
  /** Default 127.0.0.1 and any free port. */
  readonly listen?: { readonly host?: string; readonly port?: number }
  /** Address (`host:port`) of every other node. More may come by {@link GrpcTransport.addPeer}. */
  readonly peers: ReadonlyMap<number, string>
  /** Entries queued to one peer. Default 64 MiB. */
  readonly appendQueueBytesMax?: number
  /** Small messages queued to one peer. Default 4 MiB. */
  readonly controlQueueBytesMax?: number
  /** How long a vote call may take. Default 1,000. */
  readonly voteDeadlineMs?: number
  /** How long a connection may be silent before it is tested, and the test may take. Default 3,000. */
  readonly keepaliveMs?: number
  readonly randomInt?: (bound: number) => number
  readonly log?: (event: NodeEvent) => void
}

export interface GrpcTransport extends Transport {
  /** The port that it listens on, once started. */
  readonly port: number
  /** Connects to a node that was not known at start, or has moved; quiet where the address is the one that is known. */
  addPeer(node: number, address: string): void
}

const APPEND_QUEUE_BYTES_MAX = 64 * 1024 * 1024
const CONTROL_QUEUE_BYTES_MAX = 4 * 1024 * 1024
const VOTE_DEADLINE_MS = 1_000

export function createGrpcTransport(options: GrpcTransportOptions): GrpcTransport {
  return new PeerTransport(options)
}

/** By which way a message travels. */
type Way = 'appends' | 'control' | 'votes' | 'appendAnswers' | 'controlAnswers' | 'voteAnswers'

const WAYS: Readonly<Record<Message['type'], Way | undefined>> = {
  append: 'appends',
  appendResponse: 'appendAnswers',
  heartbeat: 'control',
  timeoutNow: 'control',
  readIndex: 'control',
  heartbeatResponse: 'controlAnswers',
  readIndexResponse: 'controlAnswers',
  vote: 'votes',
  preVote: 'votes',
  voteResponse: 'voteAnswers',
  preVoteResponse: 'voteAnswers',
  snapshot: undefined,
  propose: undefined,
  transferLeader: undefined,
  storageAppended: undefined,
  storageApplied: undefined,
}

interface Peer {
  readonly address: string
  readonly connection: PeerConnection
  readonly voteCaller: VoteCaller
  readonly hello: Buffer
}

class PeerTransport implements GrpcTransport {
  readonly #options: GrpcTransportOptions
  readonly #self: PeerIdentity
  readonly #server: PeerServer
  readonly #peers = new Map<number, Peer>()
  readonly #snapshotCalls = new Set<SnapshotClient>()
  readonly #once: ReportOnce
  #handler: TransportHandler | undefined

  constructor(options: GrpcTransportOptions) {
    // grpc-js writes to stderr by itself; what matters is reported through `log`.
    setLogVerbosity(logVerbosity.NONE)
    this.#options = options
    this.#once = new ReportOnce(event => options.log?.(event))
    const randomInt = options.randomInt ?? systemRandomInt
    const incarnation = options.incarnation ?? 1 + randomInt(Number.MAX_SAFE_INTEGER - 1)
    this.#self = { clusterId: options.clusterId, nodeId: options.nodeId, incarnation }
    this.#server = new PeerServer({
      self: this.#self,
      host: options.listen?.host ?? '127.0.0.1',
      port: options.listen?.port ?? 0,
      keepaliveMs: options.keepaliveMs ?? KEEPALIVE_MS,
      queueBytesMax: options.controlQueueBytesMax ?? CONTROL_QUEUE_BYTES_MAX,
      voteWindowMs: (options.voteDeadlineMs ?? VOTE_DEADLINE_MS) / 2,
      decodeAppends: (fromNode, bytes) =>
        decodeAppends(bytes, (group, reason) => this.#corrupt(fromNode, group, reason)),
      decodeControl: decodeHeartbeats,
      receive: (fromNode, batch) => this.#receive(fromNode, batch),
      describeGroup: group => {
        if (this.#handler === undefined) throw new Error('the node is stopping')
        return this.#handler.describeGroup(group)
      },
      framesAsked: async (fromNode, request) => {
        if (this.#handler === undefined) throw new Error('the node is stopping')
        return await this.#handler.framesAsked(fromNode, request)
      },
      stateAsked: (fromNode, request) => {
        if (this.#handler === undefined) throw new Error('the node is stopping')
        return this.#handler.stateAsked(fromNode, request)
      },
      snapshotOffered: (fromNode, offer, answer) => {
        if (this.#handler === undefined) throw new Error('the node is stopping')
        return this.#handler.snapshotOffered(fromNode, offer, answer)
      },
      saw: (node, incarnation) => this.#peers.get(node)?.connection.sawIncarnation(incarnation),
      ended: node => this.#peers.get(node)?.connection.incomingEnded(),
      refused: reason => this.#reportOnce('warn', `refused a peer: ${reason}`),
    })
  }

  get port(): number {
    return this.#server.port
  }

  async start(handler: TransportHandler): Promise<void> {
    this.#handler = handler
    await this.#server.listen()
    for (const [node, address] of this.#options.peers) this.addPeer(node, address)
  }

  addPeer(node: number, address: string): void {
    if (node === this.#options.nodeId || this.#peers.get(node)?.address === address) return
    this.#peers.get(node)?.connection.close()
    const hello = encodeHello(this.#self, node)
    const receive = (batch: ControlBatch): void => this.#receive(node, batch)
    const connection = new PeerConnection({
      address,
      hello,
      keepaliveMs: this.#options.keepaliveMs ?? KEEPALIVE_MS,
      appends: {
        method: PEER_METHODS.appendEntries,
        queueBytesMax: this.#options.appendQueueBytesMax ?? APPEND_QUEUE_BYTES_MAX,
        encode: encodeAppends,
        decode: bytes => ({ messages: decodeAppendResponses(bytes), beat: undefined }),
      },
      control: {
        method: PEER_METHODS.heartbeat,
        queueBytesMax: this.#options.controlQueueBytesMax ?? CONTROL_QUEUE_BYTES_MAX,
        encode: encodeHeartbeats,
        decode: decodeHeartbeatResponses,
      },
      randomInt: this.#options.randomInt ?? systemRandomInt,
      receive,
      connected: () => this.#handler?.connected(node),
      unreachable: () => this.#handler?.unreachable(node),
      gone: () => this.#handler?.gone(node),
      refused: reason => this.#reportOnce('error', `node ${node} at ${address} refused this node: ${reason}`),
    })
    const voteCaller = new VoteCaller(this.#options.voteDeadlineMs ?? VOTE_DEADLINE_MS, messages =>
      receive({ messages, beat: undefined }),
    )
    this.#peers.set(node, { address, connection, voteCaller, hello })
    connection.connect()
  }

  send(toNode: number, messages: readonly GroupMessage[]): void {
    const ways = new Map<Way, GroupMessage[]>()
    for (const message of messages) {
      const way = WAYS[message.message.type]
      if (way === undefined) {
        this.#reportOnce('error', `messages of type ${message.message.type} cannot be sent by this version`)
        continue
      }
      const same = ways.get(way)
      if (same === undefined) ways.set(way, [message])
      else same.push(message)
    }
    let delivered = true
    for (const [way, same] of ways) delivered = this.#sendBy(way, toNode, same) && delivered
    if (!delivered) setImmediate(() => this.#handler?.unreachable(toNode))
  }

  sendBeat(toNode: number, beat: QuietBeat): void {
    const delivered = beat.answer
      ? this.#server.sendControlResponses(toNode, [beat])
      : this.#peers.get(toNode)?.connection.sendControl([beat])
    if (delivered !== true) setImmediate(() => this.#handler?.unreachable(toNode))
  }

  offerSnapshot(toNode: number, offer: SnapshotOffer, events: SnapshotCallEvents): SnapshotCall {
    const peer = this.#handler === undefined ? undefined : this.#peers.get(toNode)
    if (peer !== undefined) {
      const closed = (ended: SnapshotClient): void => void this.#snapshotCalls.delete(ended)
      const call = new SnapshotClient(peer.address, peer.hello, offer, events, closed)
      this.#snapshotCalls.add(call)
      return call
    }
    const timer = setImmediate(() => events.ended(`node ${toNode} cannot be called`))
    return { send: () => undefined, close: () => clearImmediate(timer) }
  }

  async describeGroup(node: number, group: number): Promise<GroupPresence> {
    const peer = this.#peers.get(node)
    const stream = peer?.connection.control
    if (peer === undefined || stream === undefined) throw new Error(`node ${node} is not connected`)
    return await askPresence(stream.client, peer.hello, group)
  }

  async fetchFrames(node: number, request: FrameRequest): Promise<FrameAnswer> {
    const peer = this.#peers.get(node)
    const stream = peer?.connection.appends
    if (peer === undefined || stream === undefined) throw new Error(`node ${node} is not connected`)
    return await askFrames(stream.client, peer.hello, request)
  }

  async fetchState(node: number, request: StateRequest): Promise<StateAnswer> {
    const peer = this.#peers.get(node)
    const stream = peer?.connection.control
    if (peer === undefined || stream === undefined) throw new Error(`node ${node} is not connected`)
    return await askState(stream.client, peer.hello, request)
  }

  isConnected(node: number): boolean {
    return this.#peers.get(node)?.connection.isUp ?? false
  }

  queuedBytes(node: number): number {
    return (this.#peers.get(node)?.connection.queuedBytes ?? 0) + this.#server.queuedBytes(node)
  }

  async close(): Promise<void> {
    this.#handler = undefined
    for (const { connection } of this.#peers.values()) connection.close()
    for (const call of [...this.#snapshotCalls]) call.end('the node is stopping')
    await this.#server.close()
  }

  #sendBy(way: Way, toNode: number, messages: readonly GroupMessage[]): boolean {
    const peer = this.#peers.get(toNode)
    switch (way) {
      case 'appends':
        return peer?.connection.sendAppends(messages) ?? false
      case 'control':
        return peer?.connection.sendControl(messages) ?? false
      case 'votes': {
        const stream = peer?.connection.control
        return peer !== undefined && stream !== undefined && peer.voteCaller.ask(stream, peer.hello, messages)
      }
      case 'appendAnswers':
        return this.#server.sendAppendResponses(toNode, messages)
      case 'controlAnswers':
        return this.#server.sendControlResponses(toNode, messages)
      case 'voteAnswers':
        this.#server.sendVoteResponses(toNode, messages)
        return true
    }
  }

  #receive(node: number, { messages, beat }: ControlBatch): void {
    if (messages.length > 0) this.#handler?.receive(node, messages)
    if (beat !== undefined) this.#handler?.beat(node, beat)
  }

  #corrupt(node: number, group: number, reason: string): void {
    this.#options.log?.({
      level: 'error',
      group,
      message: `dropped an append of node ${node}: ${reason}`,
      details: { node },
    })
  }

  #reportOnce(level: NodeEvent['level'], message: string): void {
    this.#once.report({ level, message })
  }
}
