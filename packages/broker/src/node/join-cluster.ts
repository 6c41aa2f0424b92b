/**
 * Joining a cluster that exists, with a new data folder: as a node that comes, or as one whose folder was lost. Asks the
 * cluster for its leave, until it has it, and then makes the node's replica of the catalogue, under the id that the
 * catalogue gave this folder.
 *
 * Never makes a replica whose id is not committed to this folder: another folder of the same node may have had it, voted
 * with it, and be lost. The replica that is made knows nothing and has no vote until the catalogue's leader makes it a
 * member and sends it a snapshot.
 */
import { createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import type { LogStore } from '@millrace/log-store'
import { ClusterService, type JoinClusterResponse } from '@millrace/proto'
import { joinGroup } from '@millrace/raft-node'
import { MillraceError } from '@millrace/record'
import type { Logger } from 'pino'
import type { ClusterNodeConfig } from '../config/node-config.ts'
import { toMillraceError } from '../services/connect-error.ts'
import { StartError } from '../start-error.ts'
import { sleep } from '../timing.ts'
import type { Joining } from './founding.ts'
import type { NodeIdentity } from './storage.ts'

export interface ClusterJoining {
  readonly identity: NodeIdentity
  readonly joining: Joining
  /** This node, as others reach it, and those that it knows of. */
  readonly nodes: readonly ClusterNodeConfig[]
  readonly logStore: LogStore
  readonly log: Logger
  /** Why the node is not ready. */
  readonly notReady: (reason: string) => void
  /** Ends the waiting; rejects with its reason. */
  readonly signal: AbortSignal | undefined
}

const CATALOGUE = 0
const ASK_AGAIN_MS = 1_000
const SAY_AGAIN_MS = 30_000
const ANSWER_MS = 12_000

/**
 * Resolves when this node has its replica of the catalogue, durably. May be interrupted anywhere and begun again.
 *
 * @returns the nodes of the cluster
 * @throws StartError STORAGE_DAMAGED, CONFIG_INVALID; the reason of the signal
 */
export async function joinCluster(parts: ClusterJoining): Promise<readonly ClusterNodeConfig[]> {
  const { identity, logStore, log } = parts
  const { catalogueReplica: replica, nodes } = await askForLeave(parts)
  const existing = logStore.groups().find(({ group }) => group === CATALOGUE)
  if (existing === undefined) await joinGroup(logStore, { group: CATALOGUE, replica })
  else if (existing.recovered.replicaId !== replica) {
    throw new StartError(
      'STORAGE_DAMAGED',
      `this data folder holds replica ${existing.recovered.replicaId} of the catalogue, the cluster gave it ${replica}: use an empty folder`,
    )
  }
  log.info({ clusterId: identity.clusterId, replica }, `node ${identity.nodeId} has joined the cluster`)
  return nodes.map(({ node, clientUrl, peerAddress }) => ({ node, clientUrl, peerAddress }))
}

async function askForLeave(parts: ClusterJoining): Promise<JoinClusterResponse> {
  const { signal } = parts
  const say = sayer(parts)
  for (;;) {
    for (const url of urlsOf(parts)) {
      signal?.throwIfAborted()
      try {
        return await ask(url, parts)
      } catch (error) {
        if (error instanceof StartError) throw error
        say(`${url}: ${toMillraceError(error).message}`)
      }
    }
    await sleep(ASK_AGAIN_MS, signal)
    signal?.throwIfAborted()
  }
}

function urlsOf({ joining, nodes, identity }: ClusterJoining): readonly string[] {
  const others = nodes.filter(({ node }) => node !== identity.nodeId)
  return [...new Set([...joining.urls, ...others.map(({ clientUrl }) => clientUrl)])]
}

function ask(url: string, { identity, joining, nodes, signal }: ClusterJoining): Promise<JoinClusterResponse> {
  const { nodeId: node, clusterId } = identity
  const own = nodes.find(entry => entry.node === node)
  if (own === undefined) throw new StartError('CONFIG_INVALID', `cluster.nodes does not list this node, ${node}`)
  const { clientUrl, peerAddress } = own
  const request = { node, clusterId, folder: joining.folder, clientUrl, peerAddress }
  return client(url).joinCluster(request, { timeoutMs: ANSWER_MS, ...(signal && { signal }) })
}

function client(url: string) {
  return createClient(ClusterService, createConnectTransport({ baseUrl: url, httpVersion: '1.1' }))
}

/** Says so at once and whenever it changes, and else from time to time. */
function sayer({ notReady, log }: ClusterJoining): (reason: string) => void {
  const saidAtMs = new Map<string, number>()
  return reason => {
    notReady(`the node waits to be let into the cluster: ${reason}`)
    const nowMs = performance.now()
    if (nowMs < (saidAtMs.get(reason) ?? 0) + SAY_AGAIN_MS) return
    saidAtMs.clear()
    saidAtMs.set(reason, nowMs)
    log.info({ reason }, 'the node waits to be let into the cluster')
  }
}

/**
 * Of the cluster that these nodes are of.
 *
 * @throws MillraceError UNREACHABLE where none answers
 */
export async function clusterIdAt(urls: readonly string[]): Promise<string> {
  let reason: MillraceError | undefined
  for (const url of urls) {
    try {
      const { clusterId } = await client(url).describeCluster({}, { timeoutMs: ANSWER_MS })
      return clusterId
    } catch (error) {
      reason = toMillraceError(error)
    }
  }
  throw new MillraceError(
    'UNREACHABLE',
    `no node of the cluster answers at ${urls.join(', ')}: ${reason?.message ?? ''}`,
  )
}
