/** Three durable nodes in one process, over real sockets and real files. */
import { join } from 'node:path'
import { freePorts } from '@millrace/raft-node/testing'
import pino, { type Logger } from 'pino'
import { loadConfig } from '../config/load-config.ts'
import type { NodeConfig } from '../config/node-config.ts'
import { initCluster } from '../node/init-node.ts'
import type { RunningNode } from '../node/running-node.ts'
import { serveNode } from '../node/serve-node.ts'
import { temporaryFolder } from './fake-node.ts'

export interface DurableCluster {
  readonly configs: readonly NodeConfig[]
  /** By node number − 1. A node that was stopped is undefined. */
  readonly nodes: (RunningNode | undefined)[]
  start(node: number): Promise<RunningNode>
  stop(node: number): Promise<void>
  close(): Promise<void>
}

/** Founded and not started. */
export async function durableCluster(
  count: number,
  flags: Readonly<Record<string, unknown>> = {},
  log?: Logger,
): Promise<DurableCluster> {
  return durableClusterOf(await clusterConfigs(count, flags), log)
}

/** The same of configurations that a test has changed. */
export async function durableClusterOf(
  configs: readonly NodeConfig[],
  log: Logger = pino({ level: 'silent' }),
): Promise<DurableCluster> {
  await initCluster(configs)
  const nodes: (RunningNode | undefined)[] = configs.map(() => undefined)
  const start = async (node: number) => {
    const running = await serveNode(configs[node - 1]!, {
      onFatal: error => {
        throw error
      },
      log,
    })
    nodes[node - 1] = running
    return running
  }
  const stop = async (node: number) => {
    await nodes[node - 1]?.close()
    nodes[node - 1] = undefined
  }
  const close = async () => {
    await Promise.all(nodes.map(node => node?.close()))
  }
  return { configs, nodes, start, stop, close }
}

/** Configurations of a cluster on free ports of this machine. */
export async function clusterConfigs(
  count: number,
  flags: Readonly<Record<string, unknown>> = {},
): Promise<readonly NodeConfig[]> {
  const ports = await freePorts(count * 3)
  const folder = temporaryFolder()
  const numbers = Array.from({ length: count }, (_, i) => i + 1)
  const nodes = numbers.map(node => ({
    node,
    clientUrl: `http://127.0.0.1:${ports[node * 3 - 3]}`,
    peerAddress: `127.0.0.1:${ports[node * 3 - 2]}`,
  }))
  return numbers.map(node =>
    loadConfig({
      flags: {
        node,
        dataDir: join(folder, String(node)),
        'listen.client': `127.0.0.1:${ports[node * 3 - 3]}`,
        'listen.peer': `127.0.0.1:${ports[node * 3 - 2]}`,
        'listen.admin': `127.0.0.1:${ports[node * 3 - 1]}`,
        'cluster.nodes': nodes,
        ...flags,
      },
    }),
  )
}
