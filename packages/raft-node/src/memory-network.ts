/**
 * A network of nodes in one process: transports that hand messages over by reference, with faults on every directed
 * link. Product code for brokers without peers to speak of, and the network of tests and simulations.
 *
 * Never calls a handler from inside `send`. Without faults a link delivers in order; messages sent in one call arrive
 * in one call. All chance comes from the `randomInt` and all time from the `clock` that it is given.
 */
import type { FrameAnswer, FrameRequest } from './frame-calls.ts'
import { MemorySnapshotCall } from './memory-snapshot-calls.ts'
import type { Clock } from './node.ts'
import type { SnapshotCall, SnapshotCallEvents, SnapshotOffer } from './snapshot-calls.ts'
import type { StateAnswer, StateRequest } from './state-calls.ts'
import { systemClock, systemRandomInt } from './system-clock.ts'
import type { GroupMessage, GroupPresence, QuietBeat, Transport, TransportHandler } from './transport.ts'

/** What a link does to what it carries. Absent: nothing. */
export interface LinkFaults {
  /** Of 1,000 messages, how many are lost. A snapshot's transfer does not lose one: it breaks. */
  readonly dropPermille?: number
  /** Of 1,000 messages, how many arrive twice. */
  readonly duplicatePermille?: number
  /** Each call of `send` is delayed by a uniform time up to this; unequal delays reorder. */
  readonly delayMsMax?: number
}

export interface MemoryNetworkOptions {
  readonly clock?: Clock
  /** Uniform integer in [0, bound). */
  readonly randomInt?: (bound: number) => number
  /** Bytes of frames on the way to one peer; more is dropped. Default 64 MiB. */
  readonly queueBytesMax?: number
}

export interface MemoryNetwork {
  /** The transport of a node. One that is made after the former was closed counts as a new process. */
  transport(nodeId: number): Transport
  /** Cuts the link in one direction: messages are lost, and nobody sees a closed connection. */
  cut(from: number, to: number): void
  /** Cuts all links of a node, both ways. */
  isolate(nodeId: number): void
  /** Undoes every cut. */
  heal(): void
  /** Breaks the snapshot transfers from one node to another that are under way. @returns how many there were */
  breakSnapshots(from: number, to: number): number
  /** Faults of all links; `{}` for none. */
  setFaults(faults: LinkFaults): void
  /** Sees every message before it is queued, and may lose it by answering false. */
  setFilter(filter: ((from: number, to: number, message: GroupMessage) => boolean) | undefined): void
  /** The same for the beats that stand for heartbeats of quiet groups. */
  setBeatFilter(filter: ((from: number, to: number, beat: QuietBeat) => boolean) | undefined): void
}

const QUEUE_BYTES_MAX = 64 * 1024 * 1024
const MESSAGE_BYTES = 64
/** A question without an answer is given up. */
const ASK_MS = 1_000

export function createMemoryNetwork(options: MemoryNetworkOptions = {}): MemoryNetwork {
  return new Network(options)
}

class Network implements MemoryNetwork {
  readonly clock: Clock
  readonly randomInt: (bound: number) => number
  readonly queueBytesMax: number
  readonly ends = new Map<number, MemoryTransport>()
  readonly #cuts = new Set<string>()
  readonly #calls = new Set<MemorySnapshotCall>()
  #faults: LinkFaults = {}
  #filter: ((from: number, to: number, message: GroupMessage) => boolean) | undefined
  #beatFilter: ((from: number, to: number, beat: QuietBeat) => boolean) | undefined

  constructor(options: MemoryNetworkOptions) {
    this.clock = options.clock ?? systemClock
    this.randomInt = options.randomInt ?? systemRandomInt
    this.queueBytesMax = options.queueBytesMax ?? QUEUE_BYTES_MAX
  }

  transport(nodeId: number): Transport {
    if (this.ends.has(nodeId)) throw new Error(`node ${nodeId} already has a transport on this network`)
    const end = new MemoryTransport(this, nodeId)
    this.ends.set(nodeId, end)
    return end
  }

  cut(from: number, to: number): void {
    this.#cuts.add(`${from}>${to}`)
  }

  isolate(nodeId: number): void {
    for (const other of this.ends.keys()) {
      this.cut(nodeId, other)
      this.cut(other, nodeId)
    }
  }

  heal(): void {
    this.#cuts.clear()
  }

  breakSnapshots(from: number, to: number): number {
    const calls = [...this.#calls].filter(call => call.from === from && call.to === to)
    for (const call of calls) call.break('the connection broke')
    return calls.length
  }

  setFaults(faults: LinkFaults): void {
    this.#faults = faults
  }

  setFilter(filter: ((from: number, to: number, message: GroupMessage) => boolean) | undefined): void {
    this.#filter = filter
  }

  setBeatFilter(filter: ((from: number, to: number, beat: QuietBeat) => boolean) | undefined): void {
    this.#beatFilter = filter
  }

  /** What survives the link, duplicates included. */
  survivors(from: number, to: number, messages: readonly GroupMessage[]): readonly GroupMessage[] {
    if (this.#cuts.has(`${from}>${to}`)) return []
    const { dropPermille = 0, duplicatePermille = 0 } = this.#faults
    if (dropPermille === 0 && duplicatePermille === 0 && this.#filter === undefined) return messages
    const out: GroupMessage[] = []
    for (const message of messages) {
      if (this.#filter?.(from, to, message) === false) continue
      if (dropPermille > 0 && this.randomInt(1_000) < dropPermille) continue
      out.push(message)
      if (duplicatePermille > 0 && this.randomInt(1_000) < duplicatePermille) out.push(message)
    }
    return out
  }

  /** Runs `deliver` when the link has carried it. */
  carry(deliver: () => void): void {
    const { delayMsMax = 0 } = this.#faults
    if (delayMsMax === 0) this.clock.nextTurn(deliver)
    else this.clock.setTimer(this.randomInt(delayMsMax + 1), deliver)
  }

  /** The same for a beat. */
  survivingBeats(from: number, to: number, beat: QuietBeat): readonly QuietBeat[] {
    if (this.#cuts.has(`${from}>${to}`)) return []
    const { dropPermille = 0, duplicatePermille = 0 } = this.#faults
    if (this.#beatFilter?.(from, to, beat) === false) return []
    if (dropPermille > 0 && this.randomInt(1_000) < dropPermille) return []
    return duplicatePermille > 0 && this.randomInt(1_000) < duplicatePermille ? [beat, beat] : [beat]
  }

  /** Tells both sides of every pair that `nodeId` is a part of now. */
  joined(nodeId: number): void {
    const end = this.ends.get(nodeId)!
    for (const [other, peer] of this.ends) {
      if (other === nodeId || peer.handler === undefined) continue
      this.clock.nextTurn(() => {
        if (!this.isUp(nodeId, other)) return
        peer.handler?.connected(nodeId)
        end.handler?.connected(other)
      })
    }
  }

  /** The process of `nodeId` is gone: its peers see closed connections and refused ones. */
  left(nodeId: number): void {
    this.ends.delete(nodeId)
    for (const call of [...this.#calls]) if (call.from === nodeId || call.to === nodeId) call.break('a node is gone')
    for (const peer of this.ends.values()) {
      this.clock.nextTurn(() => {
        peer.handler?.unreachable(nodeId)
        peer.handler?.gone(nodeId)
      })
    }
  }

  handlerOf(node: number): TransportHandler | undefined {
    return this.ends.get(node)?.handler
  }

  fate(from: number, to: number): 'arrives' | 'lost' | 'broken' {
    if (this.#cuts.has(`${from}>${to}`)) return 'lost'
    const { dropPermille = 0 } = this.#faults
    return dropPermille > 0 && this.randomInt(1_000) < dropPermille ? 'broken' : 'arrives'
  }

  call(from: number, to: number, offer: SnapshotOffer, events: SnapshotCallEvents): SnapshotCall {
    const over = (ended: MemorySnapshotCall): void => void this.#calls.delete(ended)
    const call = new MemorySnapshotCall(this, { from, to }, offer, events, over)
    if (call.isOpen) this.#calls.add(call)
    return call
  }

  isUp(a: number, b: number): boolean {
    return this.ends.get(a)?.handler !== undefined && this.ends.get(b)?.handler !== undefined
  }
}

class MemoryTransport implements Transport {
  handler: TransportHandler | undefined
  readonly #network: Network
  readonly #nodeId: number
  readonly #queued = new Map<number, number>()

  constructor(network: Network, nodeId: number) {
    this.#network = network
    this.#nodeId = nodeId
  }

  async start(handler: TransportHandler): Promise<void> {
    this.handler = handler
    this.#network.joined(this.#nodeId)
  }

  send(toNode: number, messages: readonly GroupMessage[]): void {
    const peer = this.#network.ends.get(toNode)
    const bytes = messages.reduce((sum, message) => sum + messageBytes(message), 0)
    const queued = this.queuedBytes(toNode)
    if (peer?.handler === undefined || queued + bytes > this.#network.queueBytesMax) {
      this.#network.clock.nextTurn(() => this.handler?.unreachable(toNode))
      return
    }
    const survivors = this.#network.survivors(this.#nodeId, toNode, messages)
    if (survivors.length === 0) return
    this.#queued.set(toNode, queued + bytes)
    this.#network.carry(() => {
      this.#queued.set(toNode, this.queuedBytes(toNode) - bytes)
      if (this.handler !== undefined) peer.handler?.receive(this.#nodeId, survivors)
    })
  }

  sendBeat(toNode: number, beat: QuietBeat): void {
    const peer = this.#network.ends.get(toNode)
    if (peer?.handler === undefined) {
      this.#network.clock.nextTurn(() => this.handler?.unreachable(toNode))
      return
    }
    for (const survivor of this.#network.survivingBeats(this.#nodeId, toNode, beat)) {
      this.#network.carry(() => {
        if (this.handler !== undefined) peer.handler?.beat(this.#nodeId, survivor)
      })
    }
  }

  describeGroup(node: number, group: number): Promise<GroupPresence> {
    return this.#ask(node, async handler => handler.describeGroup(group))
  }

  fetchFrames(node: number, request: FrameRequest): Promise<FrameAnswer> {
    return this.#ask(node, handler => handler.framesAsked(this.#nodeId, request))
  }

  fetchState(node: number, request: StateRequest): Promise<StateAnswer> {
    return this.#ask(node, async handler => handler.stateAsked(this.#nodeId, request))
  }

  #ask<T>(node: number, question: (handler: TransportHandler) => Promise<T>): Promise<T> {
    const { clock } = this.#network
    return new Promise((resolve, reject) => {
      const timer = clock.setTimer(ASK_MS, () => reject(new Error(`node ${node} does not answer`)))
      const lost = (from: number, to: number): boolean => this.#network.fate(from, to) !== 'arrives'
      const answered = (end: () => void): void => {
        if (lost(node, this.#nodeId)) return
        this.#network.carry(() => {
          timer.cancel()
          end()
        })
      }
      if (lost(this.#nodeId, node)) return
      this.#network.carry(() => {
        const handler = this.#network.handlerOf(node)
        if (handler === undefined) return
        question(handler).then(
          answer => answered(() => resolve(answer)),
          (error: unknown) => answered(() => reject(error)),
        )
      })
    })
  }

  isConnected(node: number): boolean {
    return this.#network.isUp(this.#nodeId, node)
  }

  queuedBytes(node: number): number {
    return this.#queued.get(node) ?? 0
  }

  offerSnapshot(toNode: number, offer: SnapshotOffer, events: SnapshotCallEvents): SnapshotCall {
    return this.#network.call(this.#nodeId, toNode, offer, events)
  }

  async close(): Promise<void> {
    this.handler = undefined
    // Closed before: the node may have a new transport by now, which is not this one's to take down.
    if (this.#network.ends.get(this.#nodeId) === this) this.#network.left(this.#nodeId)
  }
}

function messageBytes({ message }: GroupMessage): number {
  if (message.type !== 'append') return MESSAGE_BYTES
  return message.entries.reduce((sum, entry) => sum + entry.size, MESSAGE_BYTES)
}
