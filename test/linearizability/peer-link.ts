/** One way for the connections of one node to another one, through a port of its own, that a test can block. */
import { connect, createServer, type Server, type Socket } from 'node:net'

/**
 * `cut`: connections are closed, and new ones too, so both ends know at once. `stalled`: they stay, and carry nothing; what
 * was sent meanwhile arrives once the link is open again. `stalledThere`, `stalledBack`: so only what the caller sends, or
 * what it is answered.
 */
export type LinkState = 'open' | 'cut' | 'stalled' | 'stalledThere' | 'stalledBack'

export class PeerLink {
  readonly #server: Server
  readonly #port: number
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #state: LinkState = 'open'

  private constructor(server: Server, port: number) {
    this.#server = server
    this.#port = port
  }

  /** Listens on any free port of the loopback, for connections to `port`. */
  static async to(port: number): Promise<PeerLink> {
    const server = createServer()
    const link = new PeerLink(server, port)
    server.on('connection', socket => link.#take(socket))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return link
  }

  get address(): string {
    const address = this.#server.address()
    return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  }

  set(state: LinkState): void {
    this.#state = state
    for (const pair of this.#pairs) this.#follow(pair)
  }

  close(): Promise<void> {
    this.set('cut')
    return new Promise(resolve => this.#server.close(() => resolve()))
  }

  #take(socket: Socket): void {
    if (this.#state === 'cut') {
      socket.destroy()
      return
    }
    const pair = [socket, connect(this.#port, '127.0.0.1')] as const
    this.#pairs.add(pair)
    const end = (): void => {
      this.#pairs.delete(pair)
      for (const one of pair) one.destroy()
    }
    for (const one of pair) one.on('error', end).on('close', end)
    this.#follow(pair)
  }

  /** Brings a pair of connections into the state of the link. */
  #follow([caller, called]: readonly [Socket, Socket]): void {
    if (this.#state === 'cut') {
      caller.destroy()
      called.destroy()
      return
    }
    carry(caller, called, this.#state === 'open' || this.#state === 'stalledBack')
    carry(called, caller, this.#state === 'open' || this.#state === 'stalledThere')
  }
}

function carry(from: Socket, to: Socket, flows: boolean): void {
  from.unpipe(to)
  if (flows) from.pipe(to)
  else from.pause()
}
