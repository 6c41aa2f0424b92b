/**
 * How far the founding of a data folder has got. Founding takes several steps, and may be interrupted between any two of
 * them: identity, stores, the catalogue's replica. `init` may go on with what it began as long as no node has run there.
 *
 * Invariant: before a node says its first word to anybody, the file `served` is durable in its folder. A folder that has
 * it is never founded again, whatever is missing from it: what is missing may have been promised to others.
 */
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { inspectDataFolder } from '@millrace/log-store'
import { StartError } from '../start-error.ts'
import type { NodeIdentity } from './storage.ts'

export type Founding =
  /** Nothing is there. */
  | { readonly state: 'none' }
  /** It has an identity and nothing that was ever promised. */
  | { readonly state: 'begun'; readonly identity: NodeIdentity }
  /** It is a node's, or was. */
  | { readonly state: 'founded'; readonly identity: NodeIdentity }

const SERVED_FILE = 'served'
const SERVED_TEXT = 'A node has run on this folder. It is never founded again.\n'

/**
 * Looks, and changes nothing.
 *
 * @throws StartError for data without an identity, a damaged identity, a folder that cannot be read
 */
export async function foundingOf(dataDir: string): Promise<Founding> {
  try {
    const folder = await inspectDataFolder(dataDir)
    if (folder.kind !== 'existing') return { state: 'none' }
    const founded = (await wasServed(dataDir)) || (await hasReplicas(dataDir))
    return { state: founded ? 'founded' : 'begun', identity: folder.identity }
  } catch (error) {
    throw StartError.from(error, `data folder ${dataDir}`)
  }
}

/** Whether a node has ever run on the folder. */
export async function wasServed(dataDir: string): Promise<boolean> {
  return (await unlessMissing(stat(join(dataDir, SERVED_FILE)))) !== undefined
}

/** Says for ever that a node runs on the folder. Durable when it resolves. */
export async function markServed(dataDir: string): Promise<void> {
  if (await wasServed(dataDir)) return
  const file = await open(join(dataDir, SERVED_FILE), 'w', 0o600)
  try {
    await file.writeFile(SERVED_TEXT)
    await file.sync()
  } finally {
    await file.close()
  }
  const folder = await open(dataDir, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Whether the log has files of any replica; a `.new` one was never taken into use. */
async function hasReplicas(dataDir: string): Promise<boolean> {
  const groups = join(dataDir, 'log', 'groups')
  for (const group of (await unlessMissing(readdir(groups))) ?? []) {
    const files = (await unlessMissing(readdir(join(groups, group)))) ?? []
    if (files.some(name => !name.endsWith('.new'))) return true
  }
  return false
}

async function unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
