/**
 * `millrace serve`: a durable node of a cluster that exists, or that all of its nodes found now after an `init` of each, or
 * that lets this node in after an `init --join`. A folder that `init` has not seen is refused, and an `init` alone founds nothing, so a node whose disk was replaced can
 * neither start a second cluster under the name of the first nor come back as the node that it was.
 */
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { inspectDataFolder, type LogError } from '@millrace/log-store'
import { createGrpcTransport } from '@millrace/raft-node'
import type { Logger } from 'pino'
import { BrokerCounters } from '../admin/metrics.ts'
import { type Address, formatAddress } from '../config/address.ts'
import type { ClusterNodeConfig, NodeConfig } from '../config/node-config.ts'
import { checkPlaintext } from '../config/plaintext.ts'
import { bind } from '../server/client-listener.ts'
import { StartError } from '../start-error.ts'
import { checkIntent, foundingOf } from './founding.ts'
import { nodeLog, raftLog } from './node-log.ts'
import { addressOf, type NodePorts, openPorts } from './ports.ts'
import { type RunningNode, runNode } from './running-node.ts'
import { lockStorage } from './storage.ts'

export interface ServeHooks {
  /**
   * The disk failed in a way after which nothing may be acknowledged. Print the message and exit with a code other than
   * 0; do not call `close`.
   */
  readonly onFatal: (error: LogError) => void
  /** Ends a founding that waits for other nodes; without effect once the node serves. */
  readonly signal?: AbortSignal
  /** Default: pino on stdout at `log.level`. */
  readonly log?: Logger
}

/**
 * Resolves when the node serves: where its cluster is still to be founded, when all founding nodes have come.
 *
 * @throws StartError with one line for a person; nothing is open or changed then. The reason of `hooks.signal`
 */
export async function serveNode(config: NodeConfig, hooks: ServeHooks): Promise<RunningNode> {
  const log = hooks.log ?? nodeLog(config.log.level, config.node)
  for (const warning of checkPlaintext(config.listen)) log.warn(warning)
  checkListed(config)
  await checkPrepared(config)
  const folder = await lockStorage({
    dataDir: config.dataDir,
    storage: config.storage,
    snapshotsRetained: config.snapshots.retained,
    expected: { nodeId: config.node },
    onFatal: error => {
      log.fatal({ code: error.code, reason: error.message }, 'the disk failed: nothing is acknowledged any more')
      hooks.onFatal(error)
    },
    log,
  })
  const counters = new BrokerCounters()
  let ports: NodePorts | undefined
  try {
    await checkFree('peer', addressOf('peer', config.listen.peer))
    ports = await openPorts({ config, admin: true, counters, log })
  } catch (error) {
    await folder.release()
    throw error
  }
  const bound = ports
  const storage = await folder.open().catch(async (error: unknown) => {
    await bound.close(0)
    throw error
  })
  const nodes = clusterNodes(config, ports.client)
  const transport = peerTransport(config, storage.identity.clusterId, nodes, log)
  const timing = { heartbeatMs: config.raft.heartbeatMs, electionTimeoutMinMs: config.raft.electionTimeoutMinMs }
  const { signal } = hooks
  return runNode({
    config,
    storage,
    ports,
    transport,
    nodes,
    counters,
    timing,
    durable: true,
    log,
    ...(signal && { signal }),
  })
}

/** @throws StartError CONFIG_INVALID where cluster.nodes does not list this node */
function checkListed({ node, cluster }: NodeConfig): void {
  if (cluster.nodes.length === 0 || cluster.nodes.some(entry => entry.node === node)) return
  const listed = cluster.nodes.map(entry => entry.node).join(', ')
  throw new StartError('CONFIG_INVALID', `cluster.nodes lists ${listed}, but not this node, ${node}`)
}

async function checkPrepared(config: NodeConfig): Promise<void> {
  const { dataDir } = config
  const state = await inspectDataFolder(dataDir).catch((error: unknown) => {
    throw StartError.from(error, `data folder ${dataDir}`)
  })
  if (state.kind === 'existing') return checkIntent(await foundingOf(dataDir), config)
  throw new StartError(
    'FOLDER_EMPTY',
    `data folder ${dataDir} is ${state.kind}: serve never founds a cluster; use init for a new one, or init --join for a node of one that runs`,
  )
}

/** Binds and lets go: the transport binds later, when the log has been recovered. */
async function checkFree(name: string, address: Address): Promise<void> {
  const server = createServer()
  await bind(server, name, address)
  await new Promise<void>(resolve => server.close(() => resolve()))
}

/** The configured list, or this node alone with the addresses that it got. */
function clusterNodes({ cluster, node, listen }: NodeConfig, client: Address): readonly ClusterNodeConfig[] {
  if (cluster.nodes.length > 0) return cluster.nodes
  return [{ node, clientUrl: `http://${formatAddress(client)}`, peerAddress: listen.peer }]
}

function peerTransport(config: NodeConfig, clusterId: string, nodes: readonly ClusterNodeConfig[], log: Logger) {
  const others = nodes.filter(entry => entry.node !== config.node)
  return createGrpcTransport({
    nodeId: config.node,
    clusterId,
    incarnation: randomBytes(6).readUIntBE(0, 6) || 1,
    listen: addressOf('peer', config.listen.peer),
    peers: new Map(others.map(entry => [entry.node, entry.peerAddress])),
    log: raftLog(log),
  })
}
