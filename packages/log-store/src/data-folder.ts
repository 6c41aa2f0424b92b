/**
 * The folder that a node keeps everything in: made once for one node of one cluster, open in one process at a time. A
 * folder that holds anything is never made anew, whatever is missing from it.
 */
import { dirname } from 'node:path'
import { type Disk, errnoOf } from './disk.ts'
import { type FolderLock, lockFolder, OWNER_FILE_NAME } from './folder-lock.ts'
import { type FolderIdentity, IDENTITY_FILE_NAME, readIdentity, writeIdentity } from './identity-file.ts'
import { LogError } from './log-store.ts'
import { nodeDisk } from './node-disk.ts'
import { SNAPSHOTS_FOLDER } from './snapshot-file.ts'

export type { FolderIdentity } from './identity-file.ts'

export interface DataFolderOptions {
  /** What the folder must belong to, as far as the caller knows. */
  readonly expectedIdentity?: Partial<FolderIdentity>
  /** Makes the folder for this node where it is missing or empty; an existing one must be this node's. */
  readonly create?: FolderIdentity
  readonly disk?: Disk
}

export interface DataFolder {
  readonly path: string
  /** Where the log store lives (`openSegmentedLogStore({ dir })`). */
  readonly logDir: string
  /** Where the snapshots of its groups live (`openSnapshotFolder({ dir })`). */
  readonly snapshotsDir: string
  readonly identity: FolderIdentity
  /**
   * Makes the folder one of another cluster, for a history that begins anew with what is in it: nodes of the old cluster
   * and this one refuse each other from now on. Durable when it resolves.
   */
  moveToCluster(clusterId: string): Promise<void>
  /** Lets other processes open it. Call after everything in it is closed. */
  close(): Promise<void>
}

/** What is at a path, without touching it. */
export type FolderState =
  | { readonly kind: 'missing' }
  /** Nothing in it that a node has made. */
  | { readonly kind: 'empty' }
  | { readonly kind: 'existing'; readonly identity: FolderIdentity }

/**
 * Looks at a folder without locking or changing it.
 *
 * @throws LogError `IDENTITY` where there are data but no readable identity, `FORMAT_VERSION`
 */
export async function inspectDataFolder(path: string, disk: Disk = nodeDisk): Promise<FolderState> {
  const names = await listIfThere(disk, path)
  if (names === null) return { kind: 'missing' }
  const identity = await readIdentity(disk, path)
  if (identity !== null) return { kind: 'existing', identity }
  const data = names.filter(name => !MEANINGLESS.has(name))
  if (data.length === 0) return { kind: 'empty' }
  throw new LogError(
    'IDENTITY',
    `${path} holds ${data.slice(0, 3).join(', ')} but no identity file. Nothing was changed. Restore ${IDENTITY_FILE_NAME}, or choose an empty folder`,
  )
}

/** Left by a start that broke off before it made anything, or by the file system. */
const MEANINGLESS: ReadonlySet<string> = new Set([OWNER_FILE_NAME, `${IDENTITY_FILE_NAME}.new`, 'lost+found'])

/**
 * Opens a node's folder and locks it for this process.
 *
 * @throws LogError `FOLDER_IN_USE` naming the process, `FOLDER_NOT_WRITABLE`, `FORMAT_VERSION`, and `IDENTITY` where the
 *   folder is empty and may not be made, is of another node or cluster, or cannot say whose it is
 */
export async function openDataFolder(path: string, options: DataFolderOptions = {}): Promise<DataFolder> {
  try {
    return await open(path, options.disk ?? nodeDisk, options)
  } catch (error) {
    if (error instanceof LogError) throw error
    const code = errnoOf(error)
    const reason =
      (code !== undefined && NOT_WRITABLE[code]) || (error instanceof Error ? error.message : String(error))
    throw new LogError('FOLDER_NOT_WRITABLE', `cannot use ${path} as data folder: ${reason}`, error)
  }
}

const NOT_WRITABLE: Readonly<Record<string, string>> = {
  EACCES: 'no permission to write there',
  EPERM: 'no permission to write there',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENOTDIR: 'it is not a folder',
  EEXIST: 'it is not a folder',
}

async function open(path: string, disk: Disk, options: DataFolderOptions): Promise<DataFolder> {
  const { create } = options
  const before = await inspectDataFolder(path, disk)
  if (before.kind !== 'existing' && create === undefined) {
    throw new LogError(
      'IDENTITY',
      `${path} is ${before.kind}: no node lives there. Make one first ("init"), or name its folder`,
    )
  }
  if (before.kind === 'existing') assertIdentity(path, before.identity, options)
  if (before.kind === 'missing') {
    await disk.makeFolder(path)
    await disk.syncFolder(dirname(path))
  }
  const lock = await lockFolder(disk, path)
  try {
    return await openLocked(path, disk, lock, options)
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** Looks again: between the first look and the lock another process may have made the folder. */
async function openLocked(path: string, disk: Disk, lock: FolderLock, options: DataFolderOptions): Promise<DataFolder> {
  const state = await inspectDataFolder(path, disk)
  if (state.kind === 'existing') assertIdentity(path, state.identity, options)
  else if (options.create !== undefined) await writeIdentity(disk, path, options.create)
  const identity = state.kind === 'existing' ? state.identity : options.create
  if (identity === undefined) throw new LogError('IDENTITY', `${path} was emptied while it was being opened`)
  const { nodeId } = identity
  return {
    path,
    logDir: `${path}/log`,
    snapshotsDir: `${path}/${SNAPSHOTS_FOLDER}`,
    identity,
    moveToCluster: clusterId => writeIdentity(disk, path, { clusterId, nodeId }),
    close: () => lock.release(),
  }
}

function assertIdentity(path: string, found: FolderIdentity, { expectedIdentity, create }: DataFolderOptions): void {
  for (const expected of [expectedIdentity, create]) {
    const clusterId = expected?.clusterId ?? found.clusterId
    const nodeId = expected?.nodeId ?? found.nodeId
    if (clusterId === found.clusterId && nodeId === found.nodeId) continue
    throw new LogError(
      'IDENTITY',
      `${path} belongs to node ${found.nodeId} of cluster ${found.clusterId}, not to node ${nodeId} of cluster ${clusterId}`,
    )
  }
}

async function listIfThere(disk: Disk, path: string): Promise<readonly string[] | null> {
  try {
    return await disk.list(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw error
  }
}
