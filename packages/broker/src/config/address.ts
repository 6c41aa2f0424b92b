/** Addresses of listeners, `host:port` or `[v6]:port`, and which of them never leave the machine. */
import { isIP, isIPv4 } from 'node:net'

export interface Address {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
}

export const ADDRESS_RULE = 'host:port, such as 127.0.0.1:7070 or [::1]:7070'

/** The parts, or undefined where the text is not an address. Names are not looked up. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const port = Number(match[3])
  if (port > 65_535) return undefined
  if (match[1] !== undefined && isIP(match[1]) !== 6) return undefined
  return { host: match[1] ?? match[2]!, port }
}

/** `host:port`, with brackets where the host is an IPv6 address. */
export function formatAddress(address: Address): string {
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

/** Whether a host name or IP means this machine only: localhost and its subdomains, 127.0.0.0/8, ::1. */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, '')
  if (name === 'localhost' || name.endsWith('.localhost')) return true
  if (isIPv4(name)) return name.startsWith('127.')
  return name === '::1' || name === '0:0:0:0:0:0:0:1' || /^::ffff:127\.\d+\.\d+\.\d+$/.test(name)
}
