/** Which ports of this machine are free. Answers are true at the moment of asking; who listens must still handle EADDRINUSE. */
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/** Below the ranges that Linux, macOS and Windows hand out for outgoing connections. */
const FREE_PORT_MIN = 20_000
const FREE_PORT_MAX = 32_000

const handedOut = new Set<number>()

/** The ports among these that somebody listens on. */
export async function takenPorts(ports: readonly number[], host: string = '127.0.0.1'): Promise<number[]> {
  const free = await Promise.all(ports.map(port => isFree(port, host)))
  return ports.filter((_, at) => !free[at])
}

/** Different free ports, none given to an earlier caller in this process. */
export async function freePorts(count: number, host: string = '127.0.0.1'): Promise<number[]> {
  const ports: number[] = []
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > 1000) throw new Error(`no ${count} free ports between ${FREE_PORT_MIN} and ${FREE_PORT_MAX}`)
    const port = randomInt(FREE_PORT_MIN, FREE_PORT_MAX)
    if (handedOut.has(port) || !(await isFree(port, host))) continue
    handedOut.add(port)
    ports.push(port)
  }
  return ports
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false)
      else reject(error)
    })
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
