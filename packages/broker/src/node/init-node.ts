/**
 * `millrace init`: says in an empty folder which node of which cluster it is for, and which nodes found that cluster
 * together, or that it joins one that exists; or goes on where an `init` of the same node was interrupted. Refuses over anything else. Makes no replica: that
 * is for all founding nodes together, when they serve.
 */
import { randomUUID } from 'node:crypto'
import pino from 'pino'
import type { NodeConfig } from '../config/node-config.ts'
import { StartError } from '../start-error.ts'
import { checkClusterId, newClusterId } from './cluster-id.ts'
import { type Founding, foundingNodes, foundingOf, writeIntent, writeJoining } from './founding.ts'
import { clusterIdAt } from './join-cluster.ts'
import { lockStorage, type NodeIdentity } from './storage.ts'

export interface InitOptions {
  /**
   * The cluster's id, 1 to 64 characters; the same for all of its nodes. One that `init` made goes with the list of nodes
   * that it was made for only. Default: the one that an interrupted `init` has left in the folder, else a new one.
   */
  readonly clusterId?: string
}

/**
 * Writes the identity and the intent to found.
 *
 * @returns the id of the cluster, for the other nodes
 * @throws StartError FOLDER_NOT_EMPTY, FOLDER_IN_USE, FOLDER_NOT_WRITABLE, DISK_FULL, CONFIG_INVALID
 */
export async function initNode(config: NodeConfig, options: InitOptions = {}): Promise<{ readonly clusterId: string }> {
  const nodes = foundingNodes(config)
  const clusterId = clusterIdOf([await foundingOf(config.dataDir)], nodes, options)
  await prepare(config, clusterId, dataDir => writeIntent(dataDir, nodes))
  return { clusterId }
}

export interface JoinOptions {
  /** Client URLs of nodes of the cluster, one or more. */
  readonly urls: readonly string[]
}

/**
 * Prepares an empty folder for a node of a cluster that exists: one that comes, or one whose folder was lost. The cluster
 * has to let it in (`cluster add-node`, `cluster replace-node`), before or after; `serve` asks for that.
 *
 * @returns the id of the cluster, as one of its nodes says it
 * @throws StartError FOLDER_NOT_EMPTY, FOLDER_IN_USE, FOLDER_NOT_WRITABLE, DISK_FULL, CONFIG_INVALID; MillraceError UNREACHABLE
 *   where no node answers
 */
export async function initJoiningNode(
  config: NodeConfig,
  { urls }: JoinOptions,
): Promise<{ readonly clusterId: string }> {
  // Before anybody is asked.
  const founding = await foundingOf(config.dataDir)
  const clusterId = await clusterIdAt(urls)
  checkOwn(config.dataDir, founding, { clusterId, nodeId: config.node })
  await prepare(config, clusterId, dataDir => writeJoining(dataDir, { folder: randomUUID(), urls }))
  return { clusterId }
}

/** @param write says what the folder is for: the last step */
async function prepare(
  config: NodeConfig,
  clusterId: string,
  write: (dataDir: string) => Promise<void>,
): Promise<void> {
  const { dataDir } = config
  const founding = await foundingOf(dataDir)
  const identity = { clusterId, nodeId: config.node }
  checkOwn(dataDir, founding, identity)
  const folder = await lockStorage({
    dataDir,
    storage: config.storage,
    snapshotsRetained: config.snapshots.retained,
    expected: identity,
    create: identity,
    onFatal: () => undefined,
    log: pino({ level: 'silent' }),
  })
  try {
    // Again, now that nobody else can be at it.
    checkOwn(dataDir, await foundingOf(dataDir), identity)
    await write(dataDir)
  } catch (error) {
    throw StartError.from(error, `data folder ${dataDir}`)
  } finally {
    await folder.release()
  }
}

/**
 * Prepares all nodes of a cluster whose folders are on this machine, as `dev` does. Looks at every folder before it
 * touches the first.
 *
 * @throws StartError as {@link initNode}
 */
export async function initCluster(
  configs: readonly NodeConfig[],
  options: InitOptions = {},
): Promise<{ readonly clusterId: string }> {
  const foundings = await Promise.all(configs.map(({ dataDir }) => foundingOf(dataDir)))
  const [first] = configs
  const clusterId = clusterIdOf(foundings, first === undefined ? [] : foundingNodes(first), options)
  for (const [i, { dataDir, node }] of configs.entries()) checkOwn(dataDir, foundings[i]!, { clusterId, nodeId: node })
  for (const config of configs) await initNode(config, { clusterId })
  return { clusterId }
}

/** @throws StartError CONFIG_INVALID */
function clusterIdOf(foundings: readonly Founding[], nodes: readonly number[], options: InitOptions): string {
  const begun = foundings.flatMap(founding => (founding.state === 'begun' ? [founding.identity.clusterId] : []))
  const clusterId = options.clusterId ?? begun[0]
  return clusterId === undefined ? newClusterId(nodes) : checkClusterId(clusterId, nodes)
}

/** @throws StartError FOLDER_NOT_EMPTY where there is more than the beginning of this very founding */
function checkOwn(dataDir: string, founding: Founding, { clusterId, nodeId }: NodeIdentity): void {
  if (founding.state === 'none') return
  const found = founding.identity
  const whose = `node ${found.nodeId} of cluster ${found.clusterId}`
  if (founding.state === 'prepared') {
    const nodes = founding.nodes.join(', ')
    throw new StartError(
      'FOLDER_NOT_EMPTY',
      `data folder ${dataDir} is prepared for ${whose}, founded by the nodes ${nodes}: serve runs it, init changes nothing there`,
    )
  }
  if (founding.state === 'joining') {
    throw new StartError(
      'FOLDER_NOT_EMPTY',
      `data folder ${dataDir} is prepared for ${whose}, which joins that cluster: serve runs it, init changes nothing there`,
    )
  }
  if (founding.state === 'founded') {
    throw new StartError(
      'FOLDER_NOT_EMPTY',
      `data folder ${dataDir} holds ${whose}: init changes nothing there; choose an empty folder`,
    )
  }
  if (found.clusterId === clusterId && found.nodeId === nodeId) return
  throw new StartError(
    'FOLDER_NOT_EMPTY',
    `data folder ${dataDir}: an init of ${whose} was interrupted there, this is node ${nodeId} of cluster ${clusterId}. Finish that one, or choose an empty folder`,
  )
}
