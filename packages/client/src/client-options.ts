/** Options of a client, with their defaults; docs/concepts/append.md has a table of them, checked against this. */
import { LIMITS, MillraceError } from '@millrace/record'
import type { Routing } from './cluster/cluster-directory.ts'
import type { Dial } from './cluster/connection.ts'
import type { Compression } from './producer/append-batch.ts'

export interface ClientOptions {
  /** `leader`: go to each partition's leader. `any`: the given URLs only, as through a load balancer. */
  readonly routing?: Routing
  /** An append without an acknowledgement after this time is rejected with APPEND_TIMEOUT. */
  readonly appendTimeoutMs?: number
  /** Bytes of appends that may be unacknowledged; above that they are refused with BUFFER_FULL. */
  readonly bufferBytesMax?: number
  /** Bytes of records at which a batch is sent while others are in flight. */
  readonly batchBytesMax?: number
  /** How values are compressed. `zstd` needs Node 22.15 or newer, for readers too. */
  readonly compression?: Compression
  /** How long a read may look for its first connection; what is lost later is tried again for ever. */
  readonly connectTimeoutMs?: number
  /** Patience with one attempt at one node, for appends and calls. */
  readonly attemptTimeoutMs?: number
  /** Age at which the number of partitions of a topic in use is asked for again. */
  readonly topicAgeMaxMs?: number
  /** How long `close` waits for appends to be acknowledged. */
  readonly closeTimeoutMs?: number
  /** A full window of deliveries in which nothing is settled for so long is reported as stalled. */
  readonly stallMs?: number
}

export type ResolvedOptions = Readonly<Required<ClientOptions>>

export const CLIENT_DEFAULTS: ResolvedOptions = {
  routing: 'leader',
  appendTimeoutMs: 10_000,
  bufferBytesMax: 32 * 1_048_576,
  batchBytesMax: 262_144,
  compression: 'none',
  connectTimeoutMs: 10_000,
  attemptTimeoutMs: 3_000,
  topicAgeMaxMs: 60_000,
  closeTimeoutMs: 10_000,
  stallMs: 10_000,
}

/** Defaults of single calls. */
export const CALL_DEFAULTS: {
  readonly readBatchBytesMax: number
  readonly windowCount: number
  readonly windowBytes: number
} = {
  /** Bytes of frames per batch of a read. */
  readBatchBytesMax: 262_144,
  /** Unsettled deliveries of an observed topic, by number and bytes. */
  windowCount: 1_000,
  windowBytes: 8 * 1_048_576,
}

/** Nodes and how to reach them, for transports of one's own. */
export interface ConnectTarget {
  readonly urls: readonly string[]
  /** Default: HTTP/2 in Node, fetch in browsers. */
  readonly dial?: Dial
}

/** Where to connect to: URLs of any nodes (more than one: any may be down), or a broker in this process. */
export type Target = string | readonly string[] | { readonly url: string } | ConnectTarget

/** @throws INVALID_ARGUMENT naming the option */
export function resolveOptions(options: ClientOptions): ResolvedOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const resolved: ResolvedOptions = { ...CLIENT_DEFAULTS, ...given }
  for (const [name, value] of Object.entries(resolved)) {
    const rule = ruleOf(name)
    if (rule === undefined) {
      const known = Object.keys(CLIENT_DEFAULTS).join(', ')
      throw new MillraceError('INVALID_ARGUMENT', `option ${name} does not exist; there are ${known}`)
    }
    if (rule.holds(value)) continue
    throw new MillraceError('INVALID_ARGUMENT', `option ${name}: ${shown(value)} is not ${rule.text}`)
  }
  const { batchBytesMax } = resolved
  if (batchBytesMax > LIMITS.recordSetBytesMax) {
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `option batchBytesMax: ${batchBytesMax} is above ${LIMITS.recordSetBytesMax} (recordSetBytesMax)`,
    )
  }
  return resolved
}

interface Rule {
  readonly text: string
  holds(value: unknown): boolean
}

const NUMBER: Rule = { text: 'a number above 0', holds: value => typeof value === 'number' && value > 0 }
const CHOICES: Readonly<Record<string, readonly unknown[]>> = {
  routing: ['leader', 'any'],
  compression: ['none', 'zstd'],
}

function ruleOf(name: string): Rule | undefined {
  const choices = CHOICES[name]
  if (choices !== undefined) return { text: `one of ${choices.join(', ')}`, holds: value => choices.includes(value) }
  return Object.hasOwn(CLIENT_DEFAULTS, name) ? NUMBER : undefined
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

export function targetOf(target: Target): ConnectTarget {
  const { urls, dial } = asTarget(target)
  if (urls.length === 0) throw new MillraceError('INVALID_ARGUMENT', 'connect needs at least one URL')
  return { urls: urls.map(checkedUrl), ...(dial === undefined ? {} : { dial }) }
}

function asTarget(target: Target | null | undefined): ConnectTarget {
  if (target === undefined || target === null) {
    throw new MillraceError('INVALID_ARGUMENT', 'connect needs a URL like http://127.0.0.1:7070, or a broker')
  }
  if (typeof target === 'string') return { urls: [target] }
  if ('urls' in target) return target
  return { urls: 'url' in target ? [target.url] : target }
}

function checkedUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol === 'http:' || parsed?.protocol === 'https:') return url.replace(/\/+$/, '')
  throw new MillraceError('INVALID_ARGUMENT', `${JSON.stringify(url)} is no URL like http://127.0.0.1:7070`)
}
