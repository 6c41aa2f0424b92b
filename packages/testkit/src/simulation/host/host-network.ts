/**
 * The transport of hosted nodes: what `Transport` promises, over the simulated links. In order while a connection lasts;
 * a process that ends closes its connections, and its peers hear of that late, or not at all.
 */
import type { Message } from '@millrace/raft-core'
import type {
  FrameAnswer,
  FrameRequest,
  GroupMessage,
  QuietBeat,
  SnapshotCall,
  SnapshotOffer,
  StateRequest,
  Transport,
  TransportHandler,
} from '@millrace/raft-node'
import type { SimProcess } from '../sim-process.ts'
import type { World } from '../world.ts'

type SnapshotEvents = Parameters<Transport['offerSnapshot']>[2]

/** Hears every message that leaves or arrives. */
export interface MessageWatch {
  leaves(fromNode: number, group: number, message: Message): void
  arrives(toNode: number, group: number, message: Message): void
}

const UNREACHABLE_AFTER_US = 1_000
/** A question without an answer is given up. */
const ASK_US = 1_000_000

export class HostNetwork {
  readonly world: World
  readonly watch: MessageWatch
  readonly ends: Map<number, HostTransport> = new Map()

  constructor(world: World, watch: MessageWatch) {
    this.world = world
    this.watch = watch
  }

  transport(node: number, process: SimProcess): Transport {
    return new HostTransport(this, node, process)
  }

  /** A process has started to listen. */
  joined(end: HostTransport): void {
    this.ends.set(end.node, end)
    for (const other of this.ends.values()) {
      if (other === end) continue
      end.later(() => other.handler !== undefined && end.handler?.connected(other.node))
      other.later(() => end.handler !== undefined && other.handler?.connected(end.node))
    }
  }

  /** A process has ended. */
  left(node: number): void {
    const end = this.ends.get(node)
    if (end === undefined) return
    this.ends.delete(node)
    end.handler = undefined
    for (const other of this.ends.values()) {
      const isEvident = this.world.random.host.chance(0.7)
      other.later(() => {
        other.handler?.unreachable(node)
        if (isEvident && !this.ends.has(node)) other.handler?.gone(node)
      })
    }
  }

  /** Carries something to another node's handler, in an event of its process. */
  carry(from: number, to: number, arrive: (handler: TransportHandler) => void): boolean {
    return this.world.network.send(from, to, () => {
      const end = this.ends.get(to)
      end?.process.after(0, () => {
        if (end.handler !== undefined) arrive(end.handler)
      })
    })
  }
}

class HostTransport implements Transport {
  readonly node: number
  readonly process: SimProcess
  readonly #network: HostNetwork
  handler: TransportHandler | undefined

  constructor(network: HostNetwork, node: number, process: SimProcess) {
    this.#network = network
    this.node = node
    this.process = process
  }

  async start(handler: TransportHandler): Promise<void> {
    this.handler = handler
    this.#network.joined(this)
  }

  send(toNode: number, messages: readonly GroupMessage[]): void {
    const { watch } = this.#network
    for (const { group, message } of messages) watch.leaves(this.node, group, message)
    this.#carry(toNode, handler => {
      for (const { group, message } of messages) watch.arrives(toNode, group, message)
      handler.receive(this.node, messages)
    })
  }

  sendBeat(toNode: number, beat: QuietBeat): void {
    this.#carry(toNode, handler => handler.beat(this.node, beat))
  }

  /** No state machine here makes snapshots: the logs reach back to the birth of their group. */
  offerSnapshot(toNode: number, offer: SnapshotOffer, events: SnapshotEvents): SnapshotCall {
    this.later(() => events.ended(`node ${toNode} takes no snapshot of group ${offer.group}`))
    return { send: () => undefined, close: () => undefined }
  }

  /** Replicas are told where they are: nobody needs to look around. */
  describeGroup(node: number, group: number): Promise<never> {
    return Promise.reject(new Error(`node ${node} is not asked about group ${group} here`))
  }

  fetchState(node: number, { group }: StateRequest): Promise<never> {
    return Promise.reject(new Error(`node ${node} has no snapshots of group ${group}`))
  }

  fetchFrames(node: number, request: FrameRequest): Promise<FrameAnswer> {
    return new Promise((resolve, reject) => {
      // Too late where there was an answer.
      this.process.after(ASK_US, () => reject(new Error(`node ${node} does not answer`)))
      const answered = (end: () => void): void => {
        // Into the process that asked: another one may run on that node by now.
        this.#network.world.network.send(node, this.node, () => this.process.after(0, end))
      }
      this.#carry(node, handler => {
        handler.framesAsked(this.node, request).then(
          answer => answered(() => resolve(answer)),
          (error: unknown) => answered(() => reject(error)),
        )
      })
    })
  }

  isConnected(node: number): boolean {
    return this.#network.ends.has(node)
  }

  queuedBytes(): number {
    return 0
  }

  async close(): Promise<void> {
    if (this.#network.ends.get(this.node) === this) this.#network.left(this.node)
  }

  /** After about as long as a message takes. */
  later(run: () => void): void {
    const { plan, random } = this.#network.world
    this.process.after(random.host.between(plan.network.delayLeastUs, 2 * plan.network.delayMostUs), run)
  }

  #carry(toNode: number, arrive: (handler: TransportHandler) => void): void {
    const isLost = !this.#network.ends.has(toNode) || !this.#network.carry(this.node, toNode, arrive)
    if (isLost) this.process.after(UNREACHABLE_AFTER_US, () => this.handler?.unreachable(toNode))
  }
}
