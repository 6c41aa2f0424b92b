/**
 * Where a node keeps things: a data folder with its log and its state, or memory. Owns them: what is opened here is
 * closed here, in reverse order, also when a later step of the start fails.
 */
import { join } from 'node:path'
import {
  type DataFolder,
  type LogError,
  type LogStore,
  openDataFolder,
  openSegmentedLogStore,
  openSnapshotFolder,
  type SnapshotStores,
} from '@millrace/log-store'
import { MemoryLogStore, MemorySnapshotStores } from '@millrace/log-store/memory'
import { openLmdbStateStore, type StateStore } from '@millrace/topics'
import { MemoryStateStore } from '@millrace/topics/memory'
import type { Logger } from 'pino'
import type { NodeConfig } from '../config/node-config.ts'
import { StartError } from '../start-error.ts'
import { DiskUsage } from './disk-usage.ts'
import { type Founding, foundingOf, type Joining, markServed } from './founding.ts'
import { checkFreeSpace } from './free-space.ts'
import { readRestored } from './restored.ts'
import { checkFinished } from './unfinished.ts'

/** Whose a folder is. */
export interface NodeIdentity {
  readonly clusterId: string
  readonly nodeId: number
}

export interface Storage {
  readonly identity: NodeIdentity
  readonly logStore: LogStore
  readonly stateStore: StateStore
  readonly snapshots: SnapshotStores
  /** Undefined in memory. */
  readonly usage: DiskUsage | undefined
  /** All nodes of the cluster that is to be founded before this node may serve. Undefined: that is over. */
  readonly foundingNodes: readonly number[] | undefined
  /** The backup that all of these nodes have to be restored from. Undefined: the cluster is new, or its founding is over. */
  readonly restoredFrom?: string | undefined
  /** How the node finds the cluster that it joins, until it has the catalogue. Undefined: that is over, or never was. */
  readonly joining: Joining | undefined
  /** Id under which the folder has joined, or joins; '' is that of the founding. */
  readonly folder: string
  /** Says durably that the founding is over: to be called before the node promises anything to anybody. */
  beginServing(): Promise<void>
  /** Finishes what is queued and lets go of the files. */
  close(): Promise<void>
}

export interface StorageOptions {
  readonly dataDir: string
  readonly storage: NodeConfig['storage']
  /** Of each group, to keep. */
  readonly snapshotsRetained: number
  /** The folder must be this node's. */
  readonly expected: Partial<NodeIdentity>
  /** Whose the folder becomes where it is missing or empty. */
  readonly create?: NodeIdentity
  /** Offline work that goes on with what it left unfinished. Default: none, such a folder is refused. */
  readonly unfinished?: string
  readonly onFatal: (error: LogError) => void
  readonly log: Logger
}

/** A folder that this process has locked; its stores are not open yet. */
export interface LockedFolder {
  readonly identity: NodeIdentity
  open(): Promise<Storage>
  /** Makes the folder one of another cluster. Durable when it resolves. */
  moveToCluster(clusterId: string): Promise<void>
  release(): Promise<void>
}

/**
 * @throws StartError FOLDER_IN_USE, FOLDER_NOT_WRITABLE, DISK_FULL, IDENTITY_MISMATCH, FOLDER_EMPTY where offline work was
 *   interrupted; nothing is changed then
 */
export async function lockStorage(options: StorageOptions): Promise<LockedFolder> {
  const { dataDir, create, expected, unfinished } = options
  await checkFreeSpace(dataDir)
  try {
    const folder = await openDataFolder(dataDir, {
      expectedIdentity: expected,
      ...(create !== undefined && { create }),
    })
    await orRelease(folder, checkFinished(dataDir, unfinished))
    return {
      identity: folder.identity,
      open: () => openStores(options, folder),
      moveToCluster: clusterId => folder.moveToCluster(clusterId),
      release: () => folder.close(),
    }
  } catch (error) {
    throw StartError.from(error, `data folder ${dataDir}`)
  }
}

async function orRelease(folder: DataFolder, check: Promise<void>): Promise<void> {
  try {
    await check
  } catch (error) {
    await folder.close()
    throw error
  }
}

/** @throws StartError STORAGE_DAMAGED and what the operating system refuses; the folder is released then */
async function openStores(options: StorageOptions, folder: DataFolder): Promise<Storage> {
  const { storage, onFatal, log } = options
  const onProblem = (problem: Error) => log.warn({ reason: problem.message }, 'a problem with storage')
  const opened: { close(): Promise<void> }[] = [folder]
  const close = async () => {
    for (const each of opened.toReversed()) await each.close()
  }
  try {
    // Before the stores make anything there.
    const founding = await foundingOf(folder.path)
    if (founding.state === 'none' || founding.state === 'begun') throw interrupted(folder.path)
    const logStore = await openSegmentedLogStore({
      dir: folder.logDir,
      segmentBytesMax: storage.segmentBytesMax,
      diskReserveBytes: storage.diskReserveBytes,
      tailCacheBytesMax: storage.tailCacheBytesMax,
      onFatal,
      onProblem,
    })
    opened.push(logStore)
    const stateStore = openLmdbStateStore(join(folder.path, 'state'))
    opened.push(stateStore)
    const snapshots = await openSnapshotFolder({
      dir: folder.snapshotsDir,
      retain: options.snapshotsRetained,
      onProblem,
    })
    opened.push(snapshots)
    const usage = new DiskUsage(folder.path)
    await usage.refresh()
    const beginServing = () => markServed(folder.path)
    const foundingNodes = founding.state === 'prepared' ? founding.nodes : undefined
    const restoredFrom = foundingNodes === undefined ? undefined : await readRestored(folder.path)
    const joining = joiningOf(founding, logStore)
    const folderId = founding.state === 'founded' ? (founding.joined?.folder ?? '') : (joining?.folder ?? '')
    return {
      ...{ identity: folder.identity, logStore, stateStore, snapshots, usage },
      ...{ foundingNodes, restoredFrom, joining, folder: folderId, beginServing, close },
    }
  } catch (error) {
    await close()
    throw StartError.from(error, `data folder ${folder.path}`)
  }
}

/** A node whose catalogue has not come yet knows nobody: it asks the cluster again, and gets the same answer. */
function joiningOf(founding: Founding, logStore: LogStore): Joining | undefined {
  if (founding.state === 'joining') return founding.joining
  const catalogue = logStore.groups().find(({ group }) => group === 0)
  return founding.state === 'founded' && catalogue?.base.index === 0 ? founding.joined : undefined
}

function interrupted(dataDir: string): StartError {
  return new StartError(
    'FOLDER_EMPTY',
    `data folder ${dataDir}: its init was interrupted; run init again, it finishes what it began`,
  )
}

/** Everything in memory, a cluster of one that is still to be founded. */
export function memoryStorage(identity: NodeIdentity): Storage {
  const logStore = new MemoryLogStore()
  const stateStore = new MemoryStateStore()
  const snapshots = new MemorySnapshotStores()
  return {
    identity,
    logStore,
    stateStore,
    snapshots,
    usage: undefined,
    foundingNodes: [identity.nodeId],
    joining: undefined,
    folder: '',
    beginServing: async () => {},
    close: async () => {
      await logStore.close()
      await stateStore.close()
    },
  }
}
