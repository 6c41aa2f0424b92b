/**
 * `millrace init`: founds a node of a new cluster in an empty folder. Refuses over anything that is there. Every node of
 * the cluster is founded with the same cluster id and the same list of nodes, once.
 */
import { randomUUID } from 'node:crypto'
import { inspectDataFolder } from '@millrace/log-store'
import pino from 'pino'
import type { NodeConfig } from '../config/node-config.ts'
import { StartError } from '../start-error.ts'
import { foundCatalogue, lockStorage } from './storage.ts'

export interface InitOptions {
  /** The cluster's id, 1 to 64 characters; the same for all of its nodes. Default: a new one. */
  readonly clusterId?: string
}

/**
 * Writes the identity and the first replica of the catalogue.
 *
 * @returns the id of the cluster, for the other nodes
 * @throws StartError FOLDER_NOT_EMPTY, FOLDER_IN_USE, FOLDER_NOT_WRITABLE, DISK_FULL, CONFIG_INVALID
 */
export async function initNode(config: NodeConfig, options: InitOptions = {}): Promise<{ readonly clusterId: string }> {
  const clusterId = options.clusterId ?? randomUUID()
  if (!/^[\x21-\x7e]{1,64}$/.test(clusterId)) {
    throw new StartError(
      'CONFIG_INVALID',
      `cluster id ${JSON.stringify(clusterId)}: must be 1 to 64 printable characters`,
    )
  }
  const listed = config.cluster.nodes.map(entry => entry.node)
  const nodes = listed.length === 0 ? [config.node] : listed
  if (!nodes.includes(config.node)) {
    throw new StartError('CONFIG_INVALID', `cluster.nodes lists ${nodes.join(', ')}, but not this node, ${config.node}`)
  }
  await checkEmpty(config.dataDir)
  const identity = { clusterId, nodeId: config.node }
  let fatal: Error | undefined
  const folder = await lockStorage({
    dataDir: config.dataDir,
    storage: config.storage,
    expected: identity,
    create: identity,
    onFatal: error => {
      fatal = error
    },
    log: pino({ level: 'silent' }),
  })
  const storage = await folder.open()
  try {
    await foundCatalogue(storage.logStore, identity, nodes)
  } catch (error) {
    throw StartError.from(fatal ?? error, `data folder ${config.dataDir}`)
  } finally {
    await storage.close()
  }
  return { clusterId }
}

/**
 * Founds all nodes of a cluster whose folders are on this machine, as `dev` does. Looks at every folder before it
 * touches the first.
 *
 * @throws StartError as {@link initNode}
 */
export async function initCluster(
  configs: readonly NodeConfig[],
  options: InitOptions = {},
): Promise<{ readonly clusterId: string }> {
  const clusterId = options.clusterId ?? randomUUID()
  for (const { dataDir } of configs) await checkEmpty(dataDir)
  for (const config of configs) await initNode(config, { clusterId })
  return { clusterId }
}

async function checkEmpty(dataDir: string): Promise<void> {
  const state = await inspectDataFolder(dataDir).catch((error: unknown) => {
    throw StartError.from(error, `data folder ${dataDir}`)
  })
  if (state.kind !== 'existing') return
  const { clusterId, nodeId } = state.identity
  throw new StartError(
    'FOLDER_NOT_EMPTY',
    `data folder ${dataDir} holds node ${nodeId} of cluster ${clusterId}: init changes nothing there; choose an empty folder`,
  )
}
