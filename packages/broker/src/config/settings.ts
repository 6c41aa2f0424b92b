/**
 * The closed table of settings: name, rule, default, meaning. Everything else about the configuration follows from it:
 * the environment variables, the nearest name of a misspelt one, docs/reference/config.md.
 */
import * as v from 'valibot'
import { ADDRESS_RULE, parseAddress } from './address.ts'
import { DURATION_RULE, formatDuration, formatSize, parseDuration, parseSize, SIZE_RULE } from './quantity.ts'

/** One row. `parse` takes what a file, a variable or a flag gives. */
export interface Setting {
  /** Dotted path: `listen.client`. */
  readonly name: string
  /** The environment variable: `MILLRACE_LISTEN_CLIENT`. */
  readonly variable: string
  readonly kind: 'text' | 'number' | 'boolean' | 'size' | 'duration' | 'list' | 'nodes' | 'choice'
  readonly schema: v.GenericSchema<unknown, unknown>
  readonly fallback: unknown
  /** The default as the reference shows it. */
  readonly defaultText: string
  readonly meaning: string
}

const size = (min: number, max?: number): v.GenericSchema<unknown, unknown> =>
  quantity(parseSize, SIZE_RULE, { min, max }, formatSize)
const duration = (min: number, max?: number): v.GenericSchema<unknown, unknown> =>
  quantity(parseDuration, DURATION_RULE, { min, max }, formatDuration)

function quantity(
  parse: (text: string | number) => number | undefined,
  rule: string,
  { min, max = Number.MAX_SAFE_INTEGER }: { readonly min: number; readonly max?: number | undefined },
  format: (value: number) => string,
): v.GenericSchema<unknown, unknown> {
  return v.pipe(
    v.union([v.string(), v.number()], `must be ${rule}`),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value)
      if (value !== undefined && value >= min && value <= max) return value
      const bound = value !== undefined && value < min ? `at least ${format(min)}` : `at most ${format(max)}`
      addIssue({ message: `must be ${value === undefined ? rule : bound}` })
      return NEVER
    }),
  )
}

function integer(min: number, max: number): v.GenericSchema<unknown, unknown> {
  const rule = `must be a whole number from ${min} to ${max}`
  return v.pipe(
    v.union([v.number(), v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number))], rule),
    v.integer(rule),
    v.minValue(min, rule),
    v.maxValue(max, rule),
  )
}

const boolean: v.GenericSchema<unknown, unknown> = v.union(
  [
    v.boolean(),
    v.pipe(
      v.picklist(['true', 'false']),
      v.transform(text => text === 'true'),
    ),
  ],
  'must be true or false',
)

const address: v.GenericSchema<unknown, unknown> = v.pipe(
  v.string(`must be ${ADDRESS_RULE}`),
  v.check(text => parseAddress(text) !== undefined, `must be ${ADDRESS_RULE}`),
)

/** A list; a string is split at commas. */
function list(item: v.GenericSchema<string, string>): v.GenericSchema<unknown, unknown> {
  return v.union(
    [
      v.pipe(
        v.string(),
        v.transform(text => text.split(',').map(part => part.trim())),
        v.array(item),
      ),
      v.array(item),
    ],
    'must be a list, or names separated by commas, each as the reference says',
  )
}

const httpUrl = (text: string): boolean => {
  const url = URL.parse(text)
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:')
}

const origin: v.GenericSchema<string, string> = v.pipe(
  v.string(),
  v.check(text => httpUrl(text) && new URL(text).origin === text, 'an origin is scheme://host[:port]'),
)

const nodes: v.GenericSchema<unknown, unknown> = v.pipe(
  v.union([v.pipe(v.string(), v.parseJson()), v.unknown()]),
  v.array(
    v.strictObject({
      node: integer(1, 65_535),
      clientUrl: v.pipe(v.string(), v.check(httpUrl, 'must be a URL such as http://127.0.0.1:7070')),
      peerAddress: address,
    }),
    'must be a list of { node, clientUrl, peerAddress }',
  ),
  v.check(rows => new Set(rows.map(row => row.node)).size === rows.length, 'names the same node twice'),
)

const level: v.GenericSchema<unknown, unknown> = v.picklist(
  ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
  'must be one of trace, debug, info, warn, error, silent',
)

const text: v.GenericSchema<unknown, unknown> = v.pipe(v.string('must be text'), v.minLength(1, 'must not be empty'))

const MIB = 1_048_576

/** All settings, in the order of the reference. */
export const SETTINGS: readonly Setting[] = [
  row('node', 'number', integer(1, 65_535), 1, 'Number of this node in its cluster. Never changes.'),
  row('dataDir', 'text', text, './millrace-data', 'Folder of everything this node keeps. Belongs to one process.'),
  row('listen.client', 'text', address, '127.0.0.1:7070', 'Where clients connect: Connect, gRPC, gRPC-Web and HTTP.'),
  row('listen.peer', 'text', address, '127.0.0.1:7080', 'Where the other nodes connect.'),
  row('listen.admin', 'text', address, '127.0.0.1:7090', 'Where /metrics, /livez and /readyz are served.'),
  row(
    'listen.plaintext',
    'boolean',
    boolean,
    false,
    'Allows listeners that are not on loopback although nothing on them is encrypted or authenticated.',
  ),
  row(
    'cluster.nodes',
    'nodes',
    nodes,
    [],
    'Every node of the cluster as { node, clientUrl, peerAddress }, the same list on each. Empty: a cluster of one.',
  ),
  row(
    'http.allowedOrigins',
    'list',
    list(origin),
    [],
    'Origins whose web pages may call this node. They get CORS headers; all others are refused.',
  ),
  row(
    'http.allowedHosts',
    'list',
    list(v.pipe(v.string(), v.regex(/^[A-Za-z0-9._-]+$/))),
    [],
    'Host names, without port, under which this node may be addressed beside those it knows.',
  ),
  row('limits.streamInflightBytesMax', 'size', size(2 * MIB), 8 * MIB, 'Unanswered bytes of one append stream.'),
  row('limits.readBufferBytesMax', 'size', size(65_536), MIB, 'Bytes that one read stream holds for its reader.'),
  row('limits.connectionsMax', 'number', integer(1, 1_000_000), 4_096, 'Open connections to the client port.'),
  row('limits.streamsPerConnectionMax', 'number', integer(1, 100_000), 1_000, 'HTTP/2 streams of one connection.'),
  row('limits.forwardsMax', 'number', integer(1, 100_000), 256, 'Calls passed on to leaders at the same time.'),
  row('limits.readStreamsMax', 'number', integer(1, 1_000_000), 4_096, 'Open reads on this node.'),
  row(
    'appendTimeoutMs',
    'duration',
    duration(100),
    10_000,
    'How long a unary or HTTP append may take before its outcome is called unknown.',
  ),
  row('readIdleMs', 'duration', duration(100), 5_000, 'Silence after which a live read says that it is alive.'),
  row('shutdownMs', 'duration', duration(100), 10_000, 'How long a stop may take; leaderships move away first.'),
  row('storage.segmentBytesMax', 'size', size(MIB), 128 * MIB, 'Size at which a log segment ends.'),
  row(
    'storage.diskReserveBytes',
    'size',
    size(0),
    256 * MIB,
    'Free space below which appends are refused, so that a full disk can still be emptied.',
  ),
  row('storage.tailCacheBytesMax', 'size', size(0), 32 * MIB, 'Newest frames kept in memory, all partitions together.'),
  row(
    'snapshots.entries',
    'number',
    integer(1, 1_000_000_000),
    100_000,
    'Entries of the catalogue applied since its last snapshot that call for another.',
  ),
  row('snapshots.bytes', 'size', size(1), 64 * MIB, 'The same in bytes.'),
  row(
    'snapshots.trailingEntriesMax',
    'number',
    integer(0, 1_000_000_000),
    10_000,
    "Entries that stay in the catalogue's log before its newest snapshot, for nodes that are a little behind.",
  ),
  row('snapshots.retained', 'number', integer(1, 100), 2, 'Verified snapshots to keep of each group.'),
  row('snapshots.chunkBytes', 'size', size(4_096, 8 * MIB), 256 * 1_024, 'Of a snapshot, in one message.'),
  row(
    'snapshots.bytesPerSecondMax',
    'size',
    size(65_536),
    64 * MIB,
    'Of snapshots, sent by this node to all others together, in a second.',
  ),
  row('snapshots.sendsMax', 'number', integer(1, 1_000), 4, 'Snapshots sent at once; to one node it is one at a time.'),
  row(
    'retention.intervalMs',
    'duration',
    duration(1_000, 3_600_000),
    30_000,
    'How often this node looks for records that may go, and trims its logs.',
  ),
  row('raft.heartbeatMs', 'duration', duration(10), 150, 'Interval of heartbeats between nodes.'),
  row(
    'raft.electionTimeoutMinMs',
    'duration',
    duration(50),
    1_500,
    'Shortest silence of a leader before an election; each is random between this and twice this.',
  ),
  row('log.level', 'choice', level, 'info', 'Least important level that is logged.'),
]

function row(
  name: string,
  kind: Setting['kind'],
  schema: v.GenericSchema<unknown, unknown>,
  fallback: unknown,
  meaning: string,
): Setting {
  return { name, variable: variableOf(name), kind, schema, fallback, defaultText: defaultText(kind, fallback), meaning }
}

function variableOf(name: string): string {
  return `MILLRACE_${name
    .replace(/[A-Z]/g, letter => `_${letter}`)
    .replaceAll('.', '_')
    .toUpperCase()}`
}

function defaultText(kind: Setting['kind'], fallback: unknown): string {
  if (kind === 'size') return formatSize(Number(fallback))
  if (kind === 'duration') return formatDuration(Number(fallback))
  return Array.isArray(fallback) ? 'none' : String(fallback)
}
