/** A port in front of another one that can stop to carry anything without closing a connection: a network that swallows. */
import { connect, createServer, type Server, type Socket } from 'node:net'

export class StallingProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  accepted = 0

  private constructor(server: Server) {
    this.#server = server
  }

  /** Listens on any free port of the loopback, and passes everything on to `port`. */
  static async to(port: number): Promise<StallingProxy> {
    const server = createServer()
    const proxy = new StallingProxy(server)
    server.on('connection', socket => proxy.#pass(socket, connect(port, '127.0.0.1')))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get address(): string {
    const address = this.#server.address()
    return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  }

  /** Connections that exist carry nothing from now on; new ones do. */
  stall(): void {
    for (const socket of this.#sockets) socket.unpipe().pause()
  }

  /** The same for the one connection over which the caller has sent the most. */
  stallBusiest(): void {
    const [busiest] = [...this.#pairs].toSorted(([a], [b]) => b.bytesRead - a.bytesRead)
    if (busiest === undefined) throw new Error('there is no connection')
    for (const socket of busiest) socket.unpipe().pause()
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise(resolve => this.#server.close(() => resolve()))
  }

  #pass(a: Socket, b: Socket): void {
    this.accepted += 1
    const pair = [a, b] as const
    this.#pairs.add(pair)
    a.on('close', () => this.#pairs.delete(pair))
    for (const [from, to] of [pair, [b, a] as const]) {
      this.#sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
  }
}
