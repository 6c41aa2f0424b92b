/** A client port over fake topics, on a real socket. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { onTestFinished } from 'vitest'
import { BrokerCounters } from '../admin/metrics.ts'
import type { BrokerContext } from '../broker-context.ts'
import { Forwarder } from '../cluster/forwarder.ts'
import { NodeDirectory } from '../cluster/node-directory.ts'
import { Readiness } from '../cluster/readiness.ts'
import { loadConfig } from '../config/load-config.ts'
import type { ClusterNodeConfig, NodeConfig } from '../config/node-config.ts'
import { type Listener, listenClients } from '../server/client-listener.ts'
import { clientPortHandler } from '../server/client-port.ts'
import { FakeCatalogue, FakeTopics } from './fake-topics.ts'

export interface FakeNode {
  readonly url: string
  readonly topics: FakeTopics
  readonly context: BrokerContext
  readonly stop: AbortController
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Nodes 1 to `count` over one catalogue. The addresses are known before the handlers run. */
export async function startFakeNodes(
  count: number,
  flags: Readonly<Record<string, unknown>> = {},
): Promise<readonly FakeNode[]> {
  const config = loadConfig({ flags })
  const numbers = Array.from({ length: count }, (_, i) => i + 1)
  const shared = new FakeCatalogue(numbers)
  const places: ClusterNodeConfig[] = []
  const nodes = await Promise.all(numbers.map(node => startFakeNode(node, shared, config, places)))
  for (const [i, node] of nodes.entries()) {
    places.push({ node: i + 1, clientUrl: node.url, peerAddress: '127.0.0.1:1' })
  }
  return nodes
}

async function startFakeNode(
  nodeId: number,
  shared: FakeCatalogue,
  config: NodeConfig,
  places: readonly ClusterNodeConfig[],
): Promise<FakeNode> {
  const stop = new AbortController()
  const topics = new FakeTopics(shared, nodeId)
  const counters = new BrokerCounters()
  let directory: NodeDirectory | undefined
  const log = pino({ level: 'silent' })
  const context: BrokerContext = {
    nodeId,
    clusterId: 'fake',
    version: '0.0.0',
    startedAt: 0,
    topics,
    members: topics.members,
    readiness: new Readiness(topics, stop.signal),
    failedReplicas: () => [],
    diskUsedBytes: () => 0,
    isConnected: () => true,
    get directory() {
      directory ??= new NodeDirectory(nodeId, places)
      return directory
    },
    get forwarder() {
      forwarder ??= new Forwarder(context.directory, config.limits.forwardsMax, {
        started: () => counters.forwards++,
        failed: () => counters.forwardsFailed++,
      })
      return forwarder
    },
    settings: { limits: config.limits, appendTimeoutMs: config.appendTimeoutMs, readIdleMs: config.readIdleMs },
    counters,
    log,
    stopping: stop.signal,
  }
  let forwarder: Forwarder | undefined
  const rules = { loopback: true, knownHosts: config.http.allowedHosts, allowedOrigins: config.http.allowedOrigins }
  const listener: Listener = await listenClients({
    name: 'client',
    address: { host: '127.0.0.1', port: 0 },
    connectionsMax: config.limits.connectionsMax,
    streamsPerConnectionMax: config.limits.streamsPerConnectionMax,
    log,
    handle: clientPortHandler(context, rules),
    connections: () => undefined,
  })
  const close = async () => {
    stop.abort()
    directory?.close()
    await listener.close(200)
  }
  const url = `http://127.0.0.1:${listener.address.port}`
  return { url, topics, context, stop, close, [Symbol.asyncDispose]: close }
}

/** A fresh folder below the system's temporary one, gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-broker-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
