/**
 * Snapshot calls of the network in one process: a pipe per call that delivers in order or breaks as a whole, with the
 * delays of the network.
 */
import type { IncomingSnapshot, SnapshotCall, SnapshotCallEvents, SnapshotOffer } from './snapshot-calls.ts'
import type { TransportHandler } from './transport.ts'

/** What a pipe asks of the network. */
export interface PipeNetwork {
  /** The handler of a node; undefined while the node is down. */
  handlerOf(node: number): TransportHandler | undefined
  /** Whether the link takes what is sent now: `lost` in silence, or `broken`, which both ends notice. */
  fate(from: number, to: number): 'arrives' | 'lost' | 'broken'
  carry(deliver: () => void): void
}

export class MemorySnapshotCall implements SnapshotCall {
  readonly from: number
  readonly to: number
  readonly #network: PipeNetwork
  readonly #events: SnapshotCallEvents
  readonly #over: (call: MemorySnapshotCall) => void
  /** What is on its way, oldest first. Every delivery of the network takes the oldest of its direction. */
  readonly #there: (() => void)[] = []
  readonly #back: (() => void)[] = []
  #incoming: IncomingSnapshot | undefined
  #state: 'open' | 'broken' | 'closed' = 'open'

  constructor(
    network: PipeNetwork,
    ends: { readonly from: number; readonly to: number },
    offer: SnapshotOffer,
    events: SnapshotCallEvents,
    over: (call: MemorySnapshotCall) => void,
  ) {
    this.#network = network
    this.from = ends.from
    this.to = ends.to
    this.#events = events
    this.#over = over
    this.#send(() => this.#offered(offer))
  }

  send(chunk: Parameters<SnapshotCall['send']>[0]): void {
    this.#send(() => this.#incoming?.chunk(chunk))
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  close(): void {
    if (this.#state === 'open') this.#end()
    this.#state = 'closed'
  }

  /** Breaks the call: both ends hear of it. */
  break(reason: string): void {
    if (this.#state !== 'open') return
    this.#state = 'broken'
    this.#end()
    this.#network.carry(() => {
      if (this.#state === 'broken') this.#events.ended(reason)
    })
  }

  #end(): void {
    this.#over(this)
    this.#network.carry(() => this.#incoming?.ended())
  }

  #offered(offer: SnapshotOffer): void {
    const handler = this.#network.handlerOf(this.to)
    if (handler === undefined) this.break(`node ${this.to} is not there`)
    this.#incoming = handler?.snapshotOffered(this.from, offer, answer =>
      this.#carry(this.#back, this.to, this.from, () => this.#events.answered(answer)),
    )
  }

  #send(deliver: () => void): void {
    this.#carry(this.#there, this.from, this.to, deliver)
  }

  #carry(queue: (() => void)[], from: number, to: number, deliver: () => void): void {
    if (this.#state !== 'open') return
    const fate = this.#network.fate(from, to)
    if (fate === 'broken') this.break('the connection broke')
    if (fate !== 'arrives') return
    queue.push(deliver)
    this.#network.carry(() => {
      const oldest = queue.shift()
      if (this.#state === 'open') oldest?.()
    })
  }
}
