/**
 * Founding a cluster, on one of its nodes: with all others, or not at all. Says whom it waits for, in the log and to who
 * asks whether the node is ready.
 *
 * Must never give this node its replica of the catalogue a second time. A node whose folder was lost cannot know that it
 * had one; the others do, and none of them is asked for an opinion when it is down: it is waited for.
 */
import { FoundingError, type RaftNode } from '@millrace/raft-node'
import { foundCatalogue } from '@millrace/topics'
import type { Logger } from 'pino'
import { StartError } from '../start-error.ts'
import { foundRestored } from './restored.ts'
import type { NodeIdentity } from './storage.ts'

export interface ClusterFounding {
  readonly node: Pick<RaftNode, 'bootstrap'>
  readonly identity: NodeIdentity
  /** All founding nodes, as the intent has them. */
  readonly nodes: readonly number[]
  /** The backup that all of them are restored from; undefined where the cluster begins empty. */
  readonly restoredFrom?: string | undefined
  readonly log: Logger
  /** Why the node is not ready. */
  readonly notReady: (reason: string) => void
  /** Ends the waiting; rejects with its reason. */
  readonly signal: AbortSignal | undefined
}

const SAY_AGAIN_MS = 30_000

/**
 * Resolves when every founding node has its replica of the catalogue, durably. May be interrupted anywhere and begun again.
 *
 * @throws StartError CLUSTER_EXISTS, CONFIG_INVALID; the reason of the signal
 */
export async function foundCluster(founding: ClusterFounding): Promise<void> {
  const { node, identity, nodes, restoredFrom, log, notReady, signal } = founding
  const { clusterId } = identity
  const waiting = whoIsMissing(founding)
  try {
    const options = { timeoutMs: Number.POSITIVE_INFINITY, waiting, ...(signal && { signal }) }
    if (restoredFrom === undefined) await foundCatalogue(node, { clusterId, nodes }, options)
    else await foundRestored(node, { clusterId, nodes, backup: restoredFrom }, options)
  } catch (error) {
    throw error instanceof FoundingError ? refused(founding, error) : error
  }
  notReady('the node is starting')
  log.info({ clusterId, nodes: nodes.join(', ') }, 'the cluster is founded')
}

/** Says so at once and whenever it changes; from time to time, as a warning, while it stays the same. */
function whoIsMissing({
  nodes: all,
  restoredFrom,
  log,
  notReady,
}: ClusterFounding): (nodes: readonly number[]) => void {
  let said = ''
  let sayAgainMs = 0
  return nodes => {
    const missing = nodes.join(', ')
    const nowMs = performance.now()
    const changed = missing !== said
    if (!changed && nowMs < sayAgainMs) return
    said = missing
    sayAgainMs = nowMs + SAY_AGAIN_MS
    const which = nodes.length === 1 ? `node ${missing}` : `nodes ${missing}`
    notReady(`the cluster is being founded: waiting for ${which} of ${all.join(', ')}`)
    const line = `the founding waits for ${which}: all of ${all.join(', ')} have to run, after ${restoredFrom === undefined ? 'an init' : 'a restore'} each`
    log[changed ? 'info' : 'warn']({ missing }, line)
  }
}

function refused(founding: ClusterFounding, error: FoundingError): StartError {
  const { identity, nodes, restoredFrom } = founding
  const { clusterId, nodeId } = identity
  if (error.refusal === 'exists' && error.node !== nodeId) {
    return new StartError(
      'CLUSTER_EXISTS',
      `cluster ${clusterId} exists: node ${error.node} has its catalogue. If node ${nodeId} was part of it, its folder is lost, and its replicas are never made again under their ids, since they would have forgotten votes and acknowledged records. A new folder takes its place: empty this one, prepare it with millrace init --join and a client address of the cluster, serve, and let it in with millrace cluster replace-node ${nodeId} (or add-node, where node ${nodeId} is new). Nothing was changed`,
      error,
    )
  }
  if (error.refusal === 'differs' && error.node !== nodeId) {
    if (restoredFrom !== undefined) {
      return new StartError(
        'CONFIG_INVALID',
        `node ${error.node} was restored into cluster ${clusterId} from another backup, or with other nodes than ${nodes.join(', ')}: empty the folders and restore all nodes from one backup, with the same cluster.nodes. Nothing was changed`,
        error,
      )
    }
    return new StartError(
      'CONFIG_INVALID',
      `node ${error.node} founds cluster ${clusterId} with other nodes than ${nodes.join(', ')}: cluster.nodes has to be the same on all nodes when init is run. Nothing was changed`,
      error,
    )
  }
  return new StartError('STORAGE_DAMAGED', error.message, error)
}
