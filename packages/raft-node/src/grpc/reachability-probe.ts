/** Whether anybody listens at an address: the raw question behind "the process there is gone". */
import { connect } from 'node:net'

const PROBE_TIMEOUT_MS = 500

/** `refused` is evidence that no process listens there; everything else proves nothing. */
export type ProbeResult = 'refused' | 'listening' | 'unknown'

/** Opens a TCP connection to `host:port` and closes it at once. */
export function probe(host: string, port: number): Promise<ProbeResult> {
  return new Promise(resolve => {
    const socket = connect({ host, port })
    const finish = (result: ProbeResult): void => {
      socket.destroy()
      resolve(result)
    }
    socket.setTimeout(PROBE_TIMEOUT_MS, () => finish('unknown'))
    socket.once('connect', () => finish('listening'))
    socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code === 'ECONNREFUSED' ? 'refused' : 'unknown'))
  })
}

/** Splits `host:port` or `[v6]:port`. @throws Error for anything else */
export function splitAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) throw new Error(`not a peer address: "${address}" (expected host:port)`)
  return { host: (match[1] ?? match[2])!, port }
}
