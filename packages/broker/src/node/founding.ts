/**
 * How far the beginning of a data folder has got. `init` writes the identity and the intent: the list of all founding
 * nodes, or, for a cluster that exists, the id under which the folder joins it. `serve` gives the node its replica of the
 * catalogue, together with all founding nodes or with the cluster's leave, and then writes the file `served`.
 *
 * Invariant: before a node votes, acknowledges or answers a client, `served` is durable in its folder. A folder that has it
 * is never founded again, whatever is missing from it: what is missing may have been promised to others. One without it
 * has promised nothing.
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { inspectDataFolder } from '@millrace/log-store'
import * as v from 'valibot'
import type { NodeConfig } from '../config/node-config.ts'
import { StartError } from '../start-error.ts'
import { writeDurably } from './durable-file.ts'
import type { NodeIdentity } from './storage.ts'

export type Founding =
  /** Nothing is there. */
  | { readonly state: 'none' }
  /** `init` was interrupted: it has an identity, and nothing else. */
  | { readonly state: 'begun'; readonly identity: NodeIdentity }
  /** `init` is done. The node has its replica or not yet, and has promised nothing. */
  | { readonly state: 'prepared'; readonly identity: NodeIdentity; readonly nodes: readonly number[] }
  /** `init` is done, for a cluster that exists. The node may have its replica of the catalogue; it has promised nothing. */
  | { readonly state: 'joining'; readonly identity: NodeIdentity; readonly joining: Joining }
  /** It is a node's, or was. `joined` is undefined where it was founded. */
  | { readonly state: 'founded'; readonly identity: NodeIdentity; readonly joined: Joining | undefined }

/** The intent to join a cluster that exists. */
export interface Joining {
  /** The folder's id, random: replica ids are promised to it, and to no other folder of the same node. */
  readonly folder: string
  /** Client URLs of nodes to ask. */
  readonly urls: readonly string[]
}

const SERVED_FILE = 'served'
const SERVED_TEXT = 'A node has run on this folder. It is never founded again.\n'
const INTENT_FILE = 'founding'
const JOIN_FILE = 'joining'
/** What a node makes when it serves. */
const DATA = ['log', 'state']

/**
 * Looks, and changes nothing.
 *
 * @throws StartError for data without an identity, a damaged identity or intent, a folder that cannot be read
 */
export async function foundingOf(dataDir: string): Promise<Founding> {
  try {
    const folder = await inspectDataFolder(dataDir)
    if (folder.kind !== 'existing') return { state: 'none' }
    const { identity } = folder
    const names = await readdir(dataDir)
    const joining = names.includes(JOIN_FILE) ? await readJoining(dataDir) : undefined
    if (names.includes(SERVED_FILE)) return { state: 'founded', identity, joined: joining }
    if (joining !== undefined) return { state: 'joining', identity, joining }
    if (names.includes(INTENT_FILE)) return { state: 'prepared', identity, nodes: await readIntent(dataDir) }
    return DATA.some(name => names.includes(name))
      ? { state: 'founded', identity, joined: undefined }
      : { state: 'begun', identity }
  } catch (error) {
    throw StartError.from(error, `data folder ${dataDir}`)
  }
}

/**
 * The nodes that found a cluster by this config.
 *
 * @throws StartError CONFIG_INVALID
 */
export function foundingNodes({ node, cluster }: Pick<NodeConfig, 'node' | 'cluster'>): readonly number[] {
  const listed = cluster.nodes.map(entry => entry.node)
  const nodes = listed.length === 0 ? [node] : listed
  if (nodes.includes(node)) return nodes
  throw new StartError('CONFIG_INVALID', `cluster.nodes lists ${nodes.join(', ')}, but not this node, ${node}`)
}

/**
 * A founding that is still to be done has to be the one that the config means.
 *
 * @throws StartError CONFIG_INVALID
 */
export function checkIntent(founding: Founding, config: NodeConfig): void {
  if (founding.state !== 'prepared') return
  const [intended, configured] = [founding.nodes, foundingNodes(config)].map(nodes => nodes.toSorted((a, b) => a - b))
  if (String(intended) === String(configured)) return
  throw new StartError(
    'CONFIG_INVALID',
    `init prepared data folder ${config.dataDir} for a cluster founded by the nodes ${intended!.join(', ')}, and cluster.nodes lists ${configured!.join(', ')}: correct cluster.nodes or, as long as no node of the cluster has served, remove the folder and run init again`,
  )
}

/**
 * Says that this node founds a cluster with all of `nodes`. Durable when it resolves.
 *
 * @param nodes ids, the own one among them
 */
export async function writeIntent(dataDir: string, nodes: readonly number[]): Promise<void> {
  await writeDurably(dataDir, INTENT_FILE, `${JSON.stringify({ nodes })}\n`)
}

/** Says that this folder joins a cluster. Durable when it resolves. */
export async function writeJoining(dataDir: string, { folder, urls }: Joining): Promise<void> {
  await writeDurably(dataDir, JOIN_FILE, `${JSON.stringify({ folder, urls })}\n`)
}

/** Says for ever that a node runs on the folder. Durable when it resolves. */
export async function markServed(dataDir: string): Promise<void> {
  if (await exists(join(dataDir, SERVED_FILE))) return
  await writeDurably(dataDir, SERVED_FILE, SERVED_TEXT)
}

/** @throws StartError STORAGE_DAMAGED */
async function readJoining(dataDir: string): Promise<Joining> {
  const path = join(dataDir, JOIN_FILE)
  try {
    return v.parse(JOINING, JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    const advice = 'without it nobody knows which replicas were promised to this folder. Replace the node'
    throw new StartError('STORAGE_DAMAGED', `${path} is damaged, and ${advice}`, error)
  }
}

const JOINING = v.object({ folder: v.pipe(v.string(), v.minLength(1)), urls: v.array(v.string()) })

/** @throws StartError STORAGE_DAMAGED */
async function readIntent(dataDir: string): Promise<readonly number[]> {
  const path = join(dataDir, INTENT_FILE)
  const text = await readFile(path, 'utf8')
  const nodes = /^\{"nodes":\[(\d+(?:,\d+)*)\]\}\n$/.exec(text)?.[1]
  if (nodes !== undefined) return nodes.split(',').map(Number)
  throw new StartError(
    'STORAGE_DAMAGED',
    `${path} is damaged: no node has served on ${dataDir} yet, so remove it and run init again`,
  )
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}
