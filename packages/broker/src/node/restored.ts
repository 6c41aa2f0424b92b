/**
 * A restored folder before its first start. All nodes of the new cluster have to be restored from the same backup, onto the
 * same nodes, and to be there together once before any of them serves: a folder that is lost later and restored again under
 * the cluster's id has forgotten what it voted and acknowledged meanwhile, and the others remember that they have served.
 *
 * It is founding by another name, and done by the same means: the nodes found a group that nobody uses, whose birth says
 * which backup was restored.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { GroupLog } from '@millrace/log-store'
import type { BootstrapOptions, RaftNode } from '@millrace/raft-node'
import { writeDurably } from './durable-file.ts'

const RESTORED_FILE = 'restored'

/** Above every id that a catalogue gives. */
export const RESTORE_GROUP: number = Number.MAX_SAFE_INTEGER

/** Says which backup the folder is from, by the checksum of its manifest. Durable when it resolves. */
export async function writeRestored(dataDir: string, backup: string): Promise<void> {
  await writeDurably(dataDir, RESTORED_FILE, `${backup}\n`)
}

/** The backup that a folder is from, undefined where it is from none. */
export async function readRestored(dataDir: string): Promise<string | undefined> {
  try {
    return (await readFile(join(dataDir, RESTORED_FILE), 'utf8')).trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Resolves when all nodes are there, restored from the same backup.
 *
 * @throws as `RaftNode.bootstrap`
 */
export function foundRestored(
  node: Pick<RaftNode, 'bootstrap'>,
  {
    clusterId,
    nodes,
    backup,
  }: { readonly clusterId: string; readonly nodes: readonly number[]; readonly backup: string },
  options: BootstrapOptions,
): Promise<GroupLog> {
  return node.bootstrap({ clusterId: `${clusterId} from ${backup}`, group: RESTORE_GROUP, nodes }, options)
}
