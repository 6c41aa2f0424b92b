/**
 * A node from start to stop: ports, storage, Raft, topics, handlers, in this order and back. Owns everything that it
 * opened; a start that fails leaves nothing open.
 */
import { setMaxListeners } from 'node:events'
import { createNode, type NodeTiming, type RaftNode, type SnapshotOptions, type Transport } from '@millrace/raft-node'
import { openTopics, type TopicHost } from '@millrace/topics'
import type { Logger } from 'pino'
import { type BrokerCounters, createMetrics, type Metrics } from '../admin/metrics.ts'
import type { BrokerContext } from '../broker-context.ts'
import { Forwarder } from '../cluster/forwarder.ts'
import { NodeDirectory } from '../cluster/node-directory.ts'
import { peerSkewsMs } from '../cluster/peer-clocks.ts'
import { Readiness } from '../cluster/readiness.ts'
import { type Address, formatAddress } from '../config/address.ts'
import type { ClusterNodeConfig, NodeConfig } from '../config/node-config.ts'
import { StartError } from '../start-error.ts'
import { processClock, within } from '../timing.ts'
import { VERSION } from '../version.ts'
import { foundCluster } from './found-cluster.ts'
import { joinCluster } from './join-cluster.ts'
import { raftLog } from './node-log.ts'
import type { NodePorts } from './ports.ts'
import type { Storage } from './storage.ts'

export interface NodeParts {
  readonly config: NodeConfig
  readonly storage: Storage
  readonly ports: NodePorts
  readonly transport: Transport
  /** Every node of the cluster, this one included, with the addresses that are really used. */
  readonly nodes: readonly ClusterNodeConfig[]
  readonly counters: BrokerCounters
  readonly timing: NodeTiming
  /** False where nothing is kept on disk. */
  readonly durable: boolean
  readonly log: Logger
  /** Ends a founding that waits for other nodes. */
  readonly signal?: AbortSignal
}

/** A node that serves. */
export interface RunningNode {
  readonly nodeId: number
  readonly clusterId: string
  /** Base URL of the client port. */
  readonly url: string
  readonly address: Address
  readonly adminUrl: string | undefined
  /** For the layers that start nodes; not part of the public interface. */
  readonly context: BrokerContext
  /** Hands leaderships away, finishes what is under way, closes everything; at most about `shutdownMs`. Idempotent. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Takes over `storage` and `ports`: they are closed when this fails.
 *
 * @throws StartError, LogError; the reason of `signal`
 */
export async function runNode(parts: NodeParts): Promise<RunningNode> {
  const opened: (() => Promise<unknown>)[] = [() => parts.storage.close(), () => parts.ports.close(0)]
  try {
    return await start(parts, opened)
  } catch (error) {
    for (const undo of opened.toReversed()) await undo()
    throw StartError.from(error, `node ${parts.storage.identity.nodeId}`)
  }
}

async function start(parts: NodeParts, opened: (() => Promise<unknown>)[]): Promise<RunningNode> {
  const { config, storage, ports, nodes, counters, log } = parts
  const { logStore, stateStore, snapshots, identity, folder } = storage
  const { nodeId, clusterId } = identity
  const report = raftLog(log)
  const node = await startRaft(parts, opened)
  const directory = new NodeDirectory(nodeId, nodes)
  const topics = await openTopics({
    node,
    logStore,
    stateStore,
    snapshots,
    nodeId,
    clusterId,
    folder,
    nodes,
    onNodes: known => {
      // What this node's configuration says counts here: the catalogue may be a copy from elsewhere.
      const others = known.filter(other => !nodes.some(({ node }) => node === other.node))
      directory.learn(others)
      for (const other of others) parts.transport.addPeer?.(other.node, other.peerAddress)
    },
    clock: processClock,
    timing: { retentionIntervalMs: config.retention.intervalMs },
    peerSkewsMs: () => {
      const others = directory.nodes
        .map(other => other.node)
        .filter(other => other !== nodeId && node.isConnected(other))
      return peerSkewsMs(directory, others, processClock)
    },
    log: report,
  })
  opened.push(() => topics.shutdown())
  const stopping = new AbortController()
  // One listener per call under way.
  setMaxListeners(0, stopping.signal)
  const context = brokerContext(parts, node, topics, directory, stopping.signal)
  const metrics = createMetrics({ counters, topics, node, ...(parts.durable && { logStore }) })
  ports.serve(context, metrics)
  log.info({ client: formatAddress(ports.client), clusterId, version: VERSION }, 'the node serves')
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= stop(parts, node, topics, context, metrics, stopping)
    return closing
  }
  return {
    nodeId,
    clusterId,
    url: `http://${formatAddress(ports.client)}`,
    address: ports.client,
    adminUrl: ports.admin === undefined ? undefined : `http://${formatAddress(ports.admin)}`,
    context,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** The node, as a part of its cluster: founded with it, if that is still to be done. */
async function startRaft(parts: NodeParts, opened: (() => Promise<unknown>)[]): Promise<RaftNode> {
  const { config, storage, ports, transport, timing, log, signal } = parts
  const { logStore, identity, foundingNodes, restoredFrom, joining } = storage
  if (joining !== undefined) {
    const { notReady } = ports
    const members = await joinCluster({ identity, joining, nodes: parts.nodes, logStore, log, notReady, signal })
    for (const { node, peerAddress } of members) transport.addPeer?.(node, peerAddress)
  }
  let founded = foundingNodes === undefined
  if (founded) await storage.beginServing()
  const node = await createNode({
    ...{ nodeId: identity.nodeId, logStore, transport, timing, log: raftLog(log) },
    snapshots: raftSnapshots(config),
    isFounded: () => founded,
  })
  opened.push(() => node.shutdown())
  if (foundingNodes === undefined) return node
  const founding = { node, identity, nodes: foundingNodes, restoredFrom, log, notReady: ports.notReady, signal }
  await foundCluster(founding)
  await storage.beginServing()
  founded = true
  return node
}

function raftSnapshots({ snapshots }: NodeConfig): SnapshotOptions {
  return {
    snapshotEntries: snapshots.entries,
    snapshotBytes: snapshots.bytes,
    trailingEntriesMax: snapshots.trailingEntriesMax,
    snapshotChunkBytes: snapshots.chunkBytes,
    snapshotBytesPerSecondMax: snapshots.bytesPerSecondMax,
    snapshotSendsMax: snapshots.sendsMax,
  }
}

function brokerContext(
  parts: NodeParts,
  node: RaftNode,
  topics: TopicHost,
  directory: NodeDirectory,
  stopping: AbortSignal,
): BrokerContext {
  const { config, storage, counters, log } = parts
  const { nodeId, clusterId } = storage.identity
  const readiness = new Readiness(topics, stopping)
  // Never rejects.
  void readiness.watch()
  const forwarder = new Forwarder(directory, config.limits.forwardsMax, {
    started: () => counters.forwards++,
    failed: () => counters.forwardsFailed++,
  })
  return {
    nodeId,
    clusterId,
    version: VERSION,
    startedAt: Date.now(),
    topics,
    members: topics.members,
    ...(parts.durable && { logStore: storage.logStore }),
    readiness,
    failedReplicas: () => topics.failed().map(({ plan, error }) => ({ group: plan.group, reason: error.message })),
    diskUsedBytes: () => storage.usage?.bytes ?? 0,
    isConnected: other => node.isConnected(other),
    directory,
    forwarder,
    settings: {
      limits: config.limits,
      appendTimeoutMs: config.appendTimeoutMs,
      readIdleMs: config.readIdleMs,
    },
    counters,
    log,
    stopping,
  }
}

/** Streams that are still open when the node stops get this long to hear its last answers. */
const LAST_ANSWERS_MS = 500

/**
 * Leaderships first, so that clients find the next leader while this node still answers; then streams and ports; then
 * what was shared by all.
 */
async function stop(
  { config, storage, ports, log }: NodeParts,
  node: RaftNode,
  topics: TopicHost,
  context: BrokerContext,
  metrics: Metrics,
  stopping: AbortController,
): Promise<void> {
  log.info('the node stops')
  const started = performance.now()
  const left = () => Math.max(LAST_ANSWERS_MS, config.shutdownMs - (performance.now() - started))
  const raft = node.shutdown()
  if (!(await within(left(), raft))) log.warn('leaderships and checkpoints were not finished in time')
  stopping.abort()
  await within(left(), topics.shutdown())
  await ports.close(LAST_ANSWERS_MS)
  context.directory.close()
  metrics.close()
  if (!(await within(left(), storage.close()))) log.warn('the storage was not closed in time')
  log.info({ ms: Math.round(performance.now() - started) }, 'the node has stopped')
}
