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
import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import type { GroupLog } from '@millrace/log-store'
import { decodeGroupConfiguration, type GroupConfiguration } from '@millrace/raft-node'
import { LogContinuation, readState } from '@millrace/topics/offline'
import pino from 'pino'
import type { NodeConfig } from '../config/node-config.ts'
import { foundingOf, markServed } from '../node/founding.ts'
import { checkFreeSpace } from '../node/free-space.ts'
import { FatalDisk } from '../node/offline-log.ts'
import { lockStorage, type Storage } from '../node/storage.ts'
import { beginWork, endWork } from '../node/unfinished.ts'
import { StartError } from '../start-error.ts'
import { BackupError } from './backup-error.ts'
import { FrameScanner } from './frame-scanner.ts'
import { type BackupGroup, type BackupManifest, baseOf, groupFiles } from './manifest.ts'
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
 * @throws BackupError NOT_A_BACKUP, DAMAGED, OTHER_NODES; StartError FOLDER_NOT_EMPTY, FOLDER_IN_USE, DISK_FULL, CONFIG_INVALID.
 *   After a failure on the way the folder is marked, and no node runs in it
 */
export async function restoreBackup(dir: string, config: NodeConfig, options: RestoreOptions = {}): Promise<Restored> {
  const { dataDir, node, storage } = config
  const clusterId = checkClusterId(options.clusterId ?? randomUUID())
  if ((await foundingOf(dataDir)).state !== 'none') throw notEmpty(dataDir)
  const manifest = await wholeBackup(dir, options)
  checkOther(manifest, clusterId)
  const groups = manifest.groups.filter(group => replicaOn(node, group) !== undefined)
  checkNodes(manifest, config)
  const bytes = groups.reduce((sum, { frames, state }) => sum + frames.bytes + state.bytes, 0)
  await checkFreeSpace(dataDir, bytes + storage.diskReserveBytes)
  const disk = new FatalDisk()
  const identity = { clusterId, nodeId: node }
  const { onFatal } = disk
  const log = pino({ level: 'silent' })
  const snapshotsRetained = config.snapshots.retained
  const mine = { expected: identity, create: identity }
  const folder = await lockStorage({ dataDir, storage, snapshotsRetained, ...mine, onFatal, log })
  await beginWork(dataDir, { what: 'a restore', advice: 'empty the folder, and restore again' })
  // What is in it was promised to clients: it is never founded.
  await markServed(dataDir)
  const opened = await folder.open()
  try {
    for (const group of groups) await restoreGroup(dir, manifest, group, node, opened, disk)
    await opened.stateStore.flush()
    await endWork(dataDir)
  } catch (error) {
    throw StartError.from(error, `data folder ${dataDir}`)
  } finally {
    await opened.close()
  }
  return { clusterId, manifest, groups }
}

async function restoreGroup(
  dir: string,
  manifest: BackupManifest,
  group: BackupGroup,
  node: number,
  { logStore, stateStore }: Storage,
  disk: FatalDisk,
): Promise<void> {
  const files = groupFiles(group.group)
  const base = baseOf(group)
  const log = await logStore.create(group.group, { replicaId: replicaOn(node, group)!, base })
  const { stored } = await readState(createReadStream(join(dir, files.state)) as AsyncIterable<Buffer>)
  await stateStore.commit(group.group, { applied: stored.applied, full: true, puts: stored.entries, deletes: [] })
  const ballot = { term: group.point.term, vote: 0 }
  await disk.write(log, { frames: [], ballot, commit: base.index })
  const scanner = new FrameScanner(group.group, base)
  for await (const chunk of createReadStream(join(dir, files.frames), { highWaterMark: 1_048_576 })) {
    const frames = scanner.push(chunk as Buffer)
    const last = frames.at(-1)
    if (last !== undefined) await disk.write(log, { frames, commit: last.header.index })
    if (scanner.fault !== undefined) throw new BackupError('DAMAGED', `${files.frames}, ${scanner.fault}`)
  }
  if (log.end.index !== group.point.index || log.end.chain !== group.point.chain)
    throw new BackupError(
      'DAMAGED',
      `${files.frames} ends at entry ${log.end.index}, not at the point ${group.point.index}`,
    )
  if (group.group === 0 && manifest.leftOut.length > 0) await deleteTopics(log, manifest.leftOut, disk)
}

/** Topics that the backup leaves out would come back empty. Every node makes the same entries by itself. */
async function deleteTopics(log: GroupLog, names: readonly string[], disk: FatalDisk): Promise<void> {
  const { end } = log
  const continuation = new LogContinuation(log.group, end, end.term + 1, end.timestamp)
  for (const name of names) continuation.command({ type: 'deleteTopic', name })
  const { term, frames } = continuation
  await disk.write(log, { frames, ballot: { term, vote: 0 }, commit: end.index + frames.length })
}

/** @throws BackupError NOT_A_BACKUP, DAMAGED */
async function wholeBackup(dir: string, options: VerifyBackupOptions): Promise<BackupManifest> {
  const { manifest, damage } = await verifyBackup(dir, options)
  const [first] = damage
  if (first === undefined && manifest !== undefined) return manifest
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

/**
 * Replicas stay with the nodes that they were on: a group is of use only where a majority of its replicas is.
 *
 * @throws BackupError OTHER_NODES
 */
function checkNodes(manifest: BackupManifest, { node, cluster }: NodeConfig): void {
  const holders = [...new Set(manifest.groups.flatMap(group => configurationOf(group).places.map(place => place.node)))]
  holders.sort((a, b) => a - b)
  const listed = cluster.nodes.length === 0 ? [node] : cluster.nodes.map(entry => entry.node)
  const missing = holders.filter(holder => !listed.includes(holder))
  const has = `the backup has replicas of nodes ${holders.join(', ')}`
  if (missing.length > 0)
    throw new BackupError(
      'OTHER_NODES',
      `${has}; cluster.nodes lists ${listed.join(', ')}: list the same nodes, at any addresses`,
    )
  if (replicaOn(node, manifest.groups[0]!) === undefined)
    throw new BackupError('OTHER_NODES', `${has}, and none of the catalogue for node ${node}`)
}

function replicaOn(node: number, group: BackupGroup): number | undefined {
  return configurationOf(group).places.find(place => place.node === node)?.replica
}

function configurationOf({ configuration }: BackupGroup): GroupConfiguration {
  return decodeGroupConfiguration(Buffer.from(configuration.bytes, 'base64'))
}

/** @throws StartError CONFIG_INVALID */
function checkClusterId(clusterId: string): string {
  if (/^[\x21-\x7e]{1,64}$/.test(clusterId)) return clusterId
  const rule = 'must be 1 to 64 printable ASCII characters without spaces'
  throw new StartError('CONFIG_INVALID', `cluster id ${JSON.stringify(clusterId)}: ${rule}`)
}

function notEmpty(dataDir: string): StartError {
  return new StartError(
    'FOLDER_NOT_EMPTY',
    `data folder ${dataDir} is not empty: a backup is restored into an empty folder, before its node has ever started; nothing was changed`,
  )
}
