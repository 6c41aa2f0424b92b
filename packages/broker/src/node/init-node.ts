/**
 * `millrace init`: founds a node of a new cluster in an empty folder, or goes on where an `init` of the same node was
 * interrupted. Refuses over anything else. Every node of the cluster is founded with the same cluster id and the same list
 * of nodes, once.
 */
import { randomUUID } from 'node:crypto'
import pino from 'pino'
import type { NodeConfig } from '../config/node-config.ts'
import { StartError } from '../start-error.ts'
import { type Founding, foundingOf } from './founding.ts'
import { foundCatalogue, lockStorage, type NodeIdentity, type Storage } from './storage.ts'

export interface InitOptions {
  /**
   * The cluster's id, 1 to 64 characters; the same for all of its nodes. Default: the one that an interrupted `init` has
   * left in the folder, else a new one.
   */
  readonly clusterId?: string
}

/**
 * Writes the identity and the first replica of the catalogue.
 *
 * @returns the id of the cluster, for the other nodes
 * @throws StartError FOLDER_NOT_EMPTY, FOLDER_IN_USE, FOLDER_NOT_WRITABLE, DISK_FULL, CONFIG_INVALID
 */
export async function initNode(config: NodeConfig, options: InitOptions = {}): Promise<{ readonly clusterId: string }> {
  const { dataDir } = config
  const nodes = foundingNodes(config)
  const founding = await foundingOf(dataDir)
  const clusterId = clusterIdOf([founding], options)
  const identity = { clusterId, nodeId: config.node }
  checkOwn(dataDir, founding, identity)
  let fatal: Error | undefined
  const folder = await lockStorage({
    dataDir,
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
    if (holdsAnything(storage)) throw notEmpty(dataDir, identity)
    await foundCatalogue(storage.logStore, identity, nodes)
  } catch (error) {
    throw StartError.from(fatal ?? error, `data folder ${dataDir}`)
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
  const foundings = await Promise.all(configs.map(({ dataDir }) => foundingOf(dataDir)))
  const clusterId = clusterIdOf(foundings, options)
  for (const [i, { dataDir, node }] of configs.entries()) checkOwn(dataDir, foundings[i]!, { clusterId, nodeId: node })
  for (const config of configs) await initNode(config, { clusterId })
  return { clusterId }
}

/** @throws StartError CONFIG_INVALID */
function foundingNodes({ node, cluster }: NodeConfig): readonly number[] {
  const listed = cluster.nodes.map(entry => entry.node)
  const nodes = listed.length === 0 ? [node] : listed
  if (nodes.includes(node)) return nodes
  throw new StartError('CONFIG_INVALID', `cluster.nodes lists ${nodes.join(', ')}, but not this node, ${node}`)
}

/** @throws StartError CONFIG_INVALID */
function clusterIdOf(foundings: readonly Founding[], options: InitOptions): string {
  const begun = foundings.flatMap(founding => (founding.state === 'begun' ? [founding.identity.clusterId] : []))
  const clusterId = options.clusterId ?? begun[0] ?? randomUUID()
  if (/^[\x21-\x7e]{1,64}$/.test(clusterId)) return clusterId
  throw new StartError(
    'CONFIG_INVALID',
    `cluster id ${JSON.stringify(clusterId)}: must be 1 to 64 printable ASCII characters without spaces`,
  )
}

/** @throws StartError FOLDER_NOT_EMPTY where there is more than the beginning of this very founding */
function checkOwn(dataDir: string, founding: Founding, { clusterId, nodeId }: NodeIdentity): void {
  if (founding.state === 'none') return
  const found = founding.identity
  if (founding.state === 'founded') throw notEmpty(dataDir, found)
  if (found.clusterId === clusterId && found.nodeId === nodeId) return
  throw new StartError(
    'FOLDER_NOT_EMPTY',
    `data folder ${dataDir}: an init of node ${found.nodeId} of cluster ${found.clusterId} was interrupted there, this is node ${nodeId} of cluster ${clusterId}. Finish that one, or choose an empty folder`,
  )
}

/** What an interrupted `init` cannot have left: seen only once the stores are open. */
function holdsAnything({ logStore, stateStore }: Storage): boolean {
  return logStore.groups().length > 0 || logStore.refused().length > 0 || stateStore.load(0) !== undefined
}

function notEmpty(dataDir: string, { clusterId, nodeId }: NodeIdentity): StartError {
  return new StartError(
    'FOLDER_NOT_EMPTY',
    `data folder ${dataDir} holds node ${nodeId} of cluster ${clusterId}: init changes nothing there; choose an empty folder`,
  )
}
