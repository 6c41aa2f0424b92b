/** A broker inside the caller's process: for tests and small tools. Memory by default, a durable single node on request. */
import { randomUUID } from 'node:crypto'
import type { LogError } from '@millrace/log-store'
import type { NodeTiming } from '@millrace/raft-node'
import { createMemoryNetwork } from '@millrace/raft-node/memory'
import type { TopicConfig } from '@millrace/topics'
import pino, { type Logger } from 'pino'
import { BrokerCounters } from '../admin/metrics.ts'
import type { BrokerContext } from '../broker-context.ts'
import { onCatalogueLeader } from '../cluster/catalogue-call.ts'
import { waitForLeaders } from '../cluster/leader-wait.ts'
import { catchUp } from '../cluster/topic-lookup.ts'
import { type Address, formatAddress } from '../config/address.ts'
import { loadConfig } from '../config/load-config.ts'
import type { NodeConfig } from '../config/node-config.ts'
import { checkPlaintext } from '../config/plaintext.ts'
import { StartError } from '../start-error.ts'
import { checkIntent, foundingOf } from './founding.ts'
import { initNode } from './init-node.ts'
import { type NodePorts, openPorts } from './ports.ts'
import { type RunningNode, runNode } from './running-node.ts'
import { lockStorage, memoryStorage, type NodeIdentity, type Storage } from './storage.ts'

export interface StartBrokerOptions {
  /** Keeps everything in this folder, which is made where it is missing. Default: memory. */
  readonly dataDir?: string
  /** Topics that are there when the promise resolves; those that exist already are left as they are. */
  readonly topics?: Readonly<Record<string, Partial<TopicConfig>>>
  /** Port on 127.0.0.1. Default 0: any free one. */
  readonly port?: number
  /** Settings by dotted name, as docs/reference/config.md lists them: `{ 'limits.readBufferBytesMax': '2MiB' }`. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Default: silent. */
  readonly log?: Logger
  /** With `dataDir`: the disk failed for good. Default: the error is thrown where nobody catches it. */
  readonly onFatal?: (error: LogError) => void
}

export interface Broker {
  /** Base URL, for `connect(broker)` and for `fetch`. */
  readonly url: string
  readonly address: Address
  readonly clusterId: string
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A replica that is damaged never leads: the others are of use all the same. */
const LEADERS_WAIT_MS = 5_000

/** One node alone needs no patience with others. */
export const ALONE_TIMING: NodeTiming = { heartbeatMs: 20, electionTimeoutMinMs: 50 }

/**
 * Starts a broker on 127.0.0.1.
 *
 *     await using broker = await startBroker({ topics: { orders: { partitions: 3 } } })
 *     const client = connect(broker)
 *
 * @throws StartError PORT_IN_USE, FOLDER_IN_USE, FOLDER_NOT_WRITABLE and the like; MillraceError for bad topics
 */
export async function startBroker(options: StartBrokerOptions = {}): Promise<Broker> {
  const { port = 0, settings = {} } = options
  const config = loadConfig({ flags: { 'listen.client': `127.0.0.1:${port}`, ...settings } })
  const log = options.log ?? pino({ level: 'silent' })
  for (const warning of checkPlaintext(config.listen)) log.warn(warning)
  const counters = new BrokerCounters()
  const ports = await openPorts({ config, admin: false, counters, log })
  const storage = await openStorage(options, config, log).catch(async (error: unknown) => {
    await ports.close(0)
    throw error
  })
  const node = await runAlone(config, storage, ports, counters, options.dataDir !== undefined, log)
  try {
    await createTopics(node.context, options.topics ?? {})
  } catch (error) {
    await node.close()
    throw error
  }
  const { url, address, clusterId, close } = node
  return { url, address, clusterId, close, [Symbol.asyncDispose]: close }
}

async function openStorage(options: StartBrokerOptions, config: NodeConfig, log: Logger): Promise<Storage> {
  const { dataDir } = options
  if (dataDir === undefined) return memoryStorage({ clusterId: randomUUID(), nodeId: config.node })
  const founding = await foundingOf(dataDir)
  checkIntent(founding, { ...config, dataDir })
  if (founding.state === 'joining') {
    const reason = 'is prepared to join a cluster of several nodes: millrace serve runs it, a broker alone does not'
    throw new StartError('CONFIG_INVALID', `data folder ${dataDir} ${reason}`)
  }
  if (founding.state === 'none' || founding.state === 'begun') await initNode({ ...config, dataDir })
  const onFatal =
    options.onFatal ??
    ((error: LogError) => {
      throw error
    })
  const expected: Partial<NodeIdentity> = { nodeId: config.node }
  const { storage, snapshots } = config
  const folder = await lockStorage({ dataDir, storage, snapshotsRetained: snapshots.retained, expected, onFatal, log })
  return folder.open()
}

function runAlone(
  config: NodeConfig,
  storage: Storage,
  ports: NodePorts,
  counters: BrokerCounters,
  durable: boolean,
  log: Logger,
): Promise<RunningNode> {
  const { nodeId } = storage.identity
  const clientUrl = `http://${formatAddress(ports.client)}`
  return runNode({
    config,
    storage,
    ports,
    transport: createMemoryNetwork().transport(nodeId),
    nodes: [{ node: nodeId, clientUrl, peerAddress: '' }],
    counters,
    timing: ALONE_TIMING,
    durable,
    log,
  })
}

/** Every topic, old or new, has its leaders when this resolves. */
async function createTopics(
  context: BrokerContext,
  wanted: Readonly<Record<string, Partial<TopicConfig>>>,
): Promise<void> {
  const { signal } = new AbortController()
  for (const [name, config] of Object.entries(wanted)) {
    await onCatalogueLeader(context, {
      forwarded: false,
      signal,
      local: () => context.topics.create({ name, config, ifNotExists: true }),
      remote: () => Promise.reject(new Error('a broker alone passes nothing on')),
    })
  }
  await catchUp(context)
  for (const topic of context.topics.list()) await waitForLeaders(context, topic, LEADERS_WAIT_MS)
}
