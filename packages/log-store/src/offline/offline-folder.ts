/**
 * A data folder in the hands of a tool: locked, so that no node starts in it meanwhile, and read only. Nothing in it has
 * to be whole; only that it is a data folder at all.
 */
import { type Disk, errnoOf } from '../disk.ts'
import { lockFolder } from '../folder-lock.ts'
import { IDENTITY_FILE_NAME } from '../identity-file.ts'
import { LogError } from '../log-store.ts'
import { nodeDisk } from '../node-disk.ts'
import { readOnlyDisk } from './read-only-disk.ts'

export const LOG_FOLDER = 'log'

export interface OfflineFolder {
  /** Without a slash at the end. */
  readonly path: string
  readonly logDir: string
  /** Refuses every change. */
  readonly disk: Disk
  /** Lets others open the folder. */
  close(): Promise<void>
}

/**
 * Locks a data folder for reading. Changes nothing in it, not even the note of who owns it: a node that is started
 * meanwhile is refused without learning by whom.
 *
 * @throws LogError `FOLDER_IN_USE` naming the process, `IDENTITY` where it is no data folder, `IO`
 */
export async function openOffline(path: string, onRead?: (bytes: number) => void): Promise<OfflineFolder> {
  const root = path.replace(/(?<=.)\/+$/, '')
  const disk = readOnlyDisk(nodeDisk, onRead)
  try {
    const names = await disk.list(root)
    if (!names.includes(IDENTITY_FILE_NAME) && !names.includes(LOG_FOLDER)) {
      throw new LogError(
        'IDENTITY',
        `${root} is not the data folder of a node: it holds neither "${IDENTITY_FILE_NAME}" nor "${LOG_FOLDER}"`,
      )
    }
    const lock = await lockFolder(disk, root)
    return { path: root, logDir: `${root}/${LOG_FOLDER}`, disk, close: () => lock.release() }
  } catch (error) {
    if (error instanceof LogError) throw error
    const message = error instanceof Error ? error.message : String(error)
    const code = errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR' ? 'IDENTITY' : 'IO'
    throw new LogError(code, `cannot read ${root}: ${message}`, error)
  }
}

/** Names in a folder, rising; none where there is no folder. */
export async function listSorted(disk: Disk, path: string): Promise<readonly string[]> {
  try {
    return [...(await disk.list(path))].sort()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}

/** Ids of the groups that have a folder, rising. */
export async function listGroups(disk: Disk, logDir: string): Promise<readonly number[]> {
  const names = await listSorted(disk, `${logDir}/groups`)
  return names
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b)
}
