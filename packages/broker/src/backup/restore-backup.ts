/**
 * `millrace backup restore`: makes the empty data folder of one node of a new cluster what it was at the backup's points. The
 * frames are those of the backup, byte for byte: offsets, timestamps, keys, producers and their batches. Every node of the
 * new cluster restores its own folder from the same backup, before the first of them starts.
 *
 * A restored replica holds committed entries only, and every replica of its group the same ones: there is nothing that two of
 * them could disagree about, and each may begin without a vote. The cluster id is a new one, so that nodes of the cluster
 * that was backed up, whose logs may be longer, never join them.
 *
 * Invariant: a folder in which not everything is durable carries the mark of unfinished work, and no node runs in it.
 */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import type { GroupLog } from '@millrace/log-store'
import { type CatalogueContents, catalogueOf, readState } from '@millrace/topics/offline'
import pino from 'pino'
import type { NodeConfig } from '../config/node-config.ts'
import { checkClusterId, newClusterId } from '../node/cluster-id.ts'
import { foundingNodes, foundingOf, writeIntent } from '../node/founding.ts'
import { checkFreeSpace } from '../node/free-space.ts'
import { FatalDisk } from '../node/offline-log.ts'
import { writeRestored } from '../node/restored.ts'
import { lockStorage, type Storage } from '../node/storage.ts'
import { beginWork, endWork } from '../node/unfinished.ts'
import { StartError } from '../start-error.ts'
import { BackupError } from './backup-error.ts'
import { FrameScanner } from './frame-scanner.ts'
import { type BackupGroup, type BackupManifest, baseOf, groupFiles } from './manifest.ts'
import { RestorePlan } from './restore-plan.ts'
import { type VerifyBackupOptions, verifyBackup } from './verify-backup.ts'

export interface RestoreOptions extends VerifyBackupOptions {
  /** Of the new cluster, the same on all of its nodes. Default: a new one. */
  readonly clusterId?: string
}

export interface Restored {
  readonly clusterId: string
  readonly manifest: BackupManifest
  /** Those that this node holds a replica of. */
  readonly groups: readonly BackupGroup[]
}

/**
 * Restores the folder of the node of `config`; nothing may be in it.
 *
 * @throws BackupError NOT_A_BACKUP, DAMAGED; StartError FOLDER_NOT_EMPTY, FOLDER_IN_USE, DISK_FULL, CONFIG_INVALID. After a
 *   failure on the way the folder is marked, and no node runs in it
 */
export async function restoreBackup(dir: string, config: NodeConfig, options: RestoreOptions = {}): Promise<Restored> {
  const { dataDir, node, storage } = config
  const nodes = foundingNodes(config)
  const { clusterId = newClusterId(nodes) } = options
  checkClusterId(clusterId, nodes)
  if ((await foundingOf(dataDir)).state !== 'none') throw notEmpty(dataDir)
  const { manifest, manifestSha256 } = await wholeBackup(dir, options)
  checkOther(manifest, clusterId)
  const plan = new RestorePlan(manifest, await catalogueIn(dir), nodes)
  const groups = manifest.groups.filter(group => plan.replicaOn(node, group) !== undefined)
  const bytes = groups.reduce((sum, { frames, state }) => sum + frames.bytes + state.bytes, 0)
  await checkFreeSpace(dataDir, bytes + storage.diskReserveBytes)
  const disk = new FatalDisk()
  const identity = { clusterId, nodeId: node }
  const { onFatal } = disk
  const log = pino({ level: 'silent' })
  const snapshotsRetained = config.snapshots.retained
  const mine = { expected: identity, create: identity }
  const folder = await lockStorage({ dataDir, storage, snapshotsRetained, ...mine, onFatal, log })
  try {
    await beginWork(dataDir, { what: 'a restore', advice: 'empty the folder, and restore again' })
    await writeRestored(dataDir, manifestSha256)
    await writeIntent(dataDir, nodes)
  } catch (error) {
    await folder.release()
    throw StartError.from(error, `data folder ${dataDir}`)
  }
  const opened = await folder.open()
  try {
    for (const group of groups) await new GroupRestore(dir, group, plan, opened, disk).run(node)
    await opened.stateStore.flush()
    await endWork(dataDir)
  } catch (error) {
    throw StartError.from(error, `data folder ${dataDir}`)
  } finally {
    await opened.close()
  }
  return { clusterId, manifest, groups }
}

class GroupRestore {
  readonly #dir: string
  readonly #group: BackupGroup
  readonly #plan: RestorePlan
  readonly #storage: Storage
  readonly #disk: FatalDisk

  constructor(dir: string, group: BackupGroup, plan: RestorePlan, storage: Storage, disk: FatalDisk) {
    this.#dir = dir
    this.#group = group
    this.#plan = plan
    this.#storage = storage
    this.#disk = disk
  }

  async run(node: number): Promise<void> {
    const { logStore, stateStore } = this.#storage
    const { group, point } = this.#group
    const base = baseOf(this.#group)
    const log = await logStore.create(group, { replicaId: this.#plan.replicaOn(node, this.#group)!, base })
    const { stored } = await readState(streamOf(this.#dir, groupFiles(group).state))
    await stateStore.commit(group, { applied: stored.applied, full: true, puts: stored.entries, deletes: [] })
    const { term, frames } = this.#plan.continuationOf(this.#group)
    const ballot = { term: frames.length === 0 ? point.term : term, vote: 0 }
    await this.#disk.write(log, { frames: [], ballot, commit: base.index })
    await this.#writeFrames(log)
    if (frames.length > 0) await this.#disk.write(log, { frames, commit: point.index + frames.length })
  }

  async #writeFrames(log: GroupLog): Promise<void> {
    const { group, point } = this.#group
    const file = groupFiles(group).frames
    const scanner = new FrameScanner(group, baseOf(this.#group))
    for await (const chunk of streamOf(this.#dir, file)) {
      const frames = scanner.push(chunk)
      const last = frames.at(-1)
      if (last !== undefined) await this.#disk.write(log, { frames, commit: last.header.index })
      if (scanner.fault !== undefined) throw new BackupError('DAMAGED', `${file}, ${scanner.fault}`)
    }
    if (log.end.index === point.index && log.end.chain === point.chain) return
    throw new BackupError('DAMAGED', `${file} ends at entry ${log.end.index}, not at the point ${point.index}`)
  }
}

/** One write, and one wait for the disk, for each. */
const CHUNK_BYTES = 4_194_304

function streamOf(dir: string, file: string): AsyncIterable<Buffer> {
  return createReadStream(join(dir, file), { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Buffer>
}

async function catalogueIn(dir: string): Promise<CatalogueContents> {
  return catalogueOf((await readState(streamOf(dir, groupFiles(0).state))).stored)
}

/** @throws BackupError NOT_A_BACKUP, DAMAGED */
async function wholeBackup(
  dir: string,
  options: VerifyBackupOptions,
): Promise<{ readonly manifest: BackupManifest; readonly manifestSha256: string }> {
  const { manifest, manifestSha256, damage } = await verifyBackup(dir, options)
  const [first] = damage
  if (first === undefined && manifest !== undefined) return { manifest, manifestSha256 }
  const places = damage.length === 1 ? '1 place is' : `${damage.length} places are`
  throw new BackupError(
    'DAMAGED',
    `${dir}: ${places} damaged, first ${first?.file}: ${first?.what}. Nothing was restored`,
  )
}

/** A node of the old cluster would take a restored one for its own, and overwrite it with what came after the backup. */
function checkOther(manifest: BackupManifest, clusterId: string): void {
  if (clusterId !== manifest.clusterId) return
  throw new StartError(
    'CONFIG_INVALID',
    `cluster id ${clusterId} is that of the cluster that was backed up; a restored cluster is a new one: choose another id, or none`,
  )
}

function notEmpty(dataDir: string): StartError {
  return new StartError(
    'FOLDER_NOT_EMPTY',
    `data folder ${dataDir} is not empty: a backup is restored into an empty folder, before its node has ever started; nothing was changed`,
  )
}
