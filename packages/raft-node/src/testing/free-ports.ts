/** Ports for tests that have to know them before they listen, and that listen on them again after a restart. */
import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'

/**
 * Below what systems hand out for outgoing connections: such a port would be taken by any client while nobody listens on it.
 * Apart from those of the processes that other tests start.
 */
const PORT_FIRST = 10_000
const PORT_END = 20_000
const TRIES_MAX = 1_000

const handedOut = new Set<number>()

/** `count` different ports of loopback that nobody listened on a moment ago, none given before in this process. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = []
  const ports: number[] = []
  for (let tries = 0; ports.length < count; tries++) {
    if (tries === TRIES_MAX) throw new Error(`no ${count} free ports between ${PORT_FIRST} and ${PORT_END}`)
    const port = randomInt(PORT_FIRST, PORT_END)
    const server = handedOut.has(port) ? undefined : await listen(port)
    if (server === undefined) continue
    handedOut.add(port)
    servers.push(server)
    ports.push(port)
  }
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))))
  return ports
}

/** Undefined where somebody listens there. */
function listen(port: number): Promise<Server | undefined> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined)
      else reject(error)
    })
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server))
  })
}
