/**
 * A port in front of another one, on loopback, whose connections a test or a benchmark can disturb.
 *
 * Must not change what it carries: bytes arrive as they were sent, in order, or not at all.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'

/**
 * `cut`: connections are closed, and new ones too, so both ends know at once. `stalled`: they stay, and carry nothing; what
 * was sent meanwhile arrives once the link is open again. `stalledThere`, `stalledBack`: so only what the caller sends, or
 * what it is answered.
 */
export type LinkState = 'open' | 'cut' | 'stalled' | 'stalledThere' | 'stalledBack'

/** The caller's end of a connection, and ours to the port behind. */
type Pair = readonly [caller: Socket, called: Socket]

export class TcpProxy {
  readonly #server: Server
  readonly #port: number
  readonly #pairs = new Set<Pair>()
  #state: LinkState = 'open'
  /** Connections that were made so far. */
  accepted = 0
  /** Of connections that have ended. */
  #bytesSent = 0

  private constructor(server: Server, port: number) {
    this.#server = server
    this.#port = port
  }

  /** Listens on any free port of the loopback, and passes everything on to `port`. */
  static async to(port: number): Promise<TcpProxy> {
    const server = createServer()
    const proxy = new TcpProxy(server, port)
    server.on('connection', socket => proxy.#take(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** `host:port` to be called in place of the port behind. */
  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  /** What callers have sent, over all connections. */
  get bytesSent(): number {
    return [...this.#pairs].reduce((sum, [caller]) => sum + caller.bytesRead, this.#bytesSent)
  }

  /** From now on, for connections that exist and for new ones. */
  set(state: LinkState): void {
    this.#state = state
    for (const pair of this.#pairs) follow(pair, state)
  }

  /** Closes every connection. New ones are taken. */
  cut(): void {
    for (const pair of this.#pairs) follow(pair, 'cut')
  }

  /** Connections that exist carry nothing from now on; new ones do. */
  stall(): void {
    for (const pair of this.#pairs) follow(pair, 'stalled')
  }

  /** The same for the one connection over which the caller has sent the most. */
  stallBusiest(): void {
    const [busiest] = [...this.#pairs].toSorted(([a], [b]) => b.bytesRead - a.bytesRead)
    if (busiest === undefined) throw new Error('there is no connection')
    follow(busiest, 'stalled')
  }

  close(): Promise<void> {
    this.set('cut')
    return new Promise(resolve => this.#server.close(() => resolve()))
  }

  #take(caller: Socket): void {
    if (this.#state === 'cut') {
      caller.destroy()
      return
    }
    this.accepted += 1
    const pair: Pair = [caller, connect(this.#port, '127.0.0.1')]
    this.#pairs.add(pair)
    // A connection that ends at one side ends at the other too.
    const end = (): void => {
      if (this.#pairs.delete(pair)) this.#bytesSent += caller.bytesRead
      follow(pair, 'cut')
    }
    for (const one of pair) one.on('error', end).on('close', end)
    follow(pair, this.#state)
  }
}

/** Brings a pair of connections into a state. */
function follow([caller, called]: Pair, state: LinkState): void {
  if (state === 'cut') {
    caller.destroy()
    called.destroy()
    return
  }
  carry(caller, called, state === 'open' || state === 'stalledBack')
  carry(called, caller, state === 'open' || state === 'stalledThere')
}

function carry(from: Socket, to: Socket, flows: boolean): void {
  from.unpipe(to)
  if (flows) from.pipe(to)
  else from.pause()
}
