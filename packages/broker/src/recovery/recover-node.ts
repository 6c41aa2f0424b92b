/**
 * `millrace cluster recover`: goes on with one surviving folder of a cluster whose majority is gone for good. Every log there
 * gets an entry behind its end that makes this node's replica the only one, in a term above all before; the catalogue forgets
 * the other nodes; and the folder becomes one of a new cluster.
 *
 * Nothing is cut off or rewritten: what the logs hold stays, whether it was acknowledged or not. What only the lost nodes held
 * is gone.
 *
 * The new cluster id is what protects the new history. Other survivors still believe in the old configurations, and a majority of
 * them could elect a leader and overwrite this node's logs. Nodes of different clusters refuse each other before anything else.
 *
 * Order, each durable before the next: the mark of unfinished work; the entries, group by group; the record of what was done; the
 * new cluster id; no mark. Interrupted anywhere, no node runs in the folder until it is done again, which only adds entries.
 */
import { randomUUID } from 'node:crypto'
import type { GroupLog } from '@millrace/log-store'
import type { GroupConfiguration } from '@millrace/raft-node'
import { StateStoreError } from '@millrace/topics'
import { LogContinuation, loadState } from '@millrace/topics/offline'
import pino from 'pino'
import type { NodeConfig } from '../config/node-config.ts'
import { writeDurably } from '../node/durable-file.ts'
import { foundingOf } from '../node/founding.ts'
import { FatalDisk } from '../node/offline-log.ts'
import { RESTORE_GROUP } from '../node/restored.ts'
import { lockStorage, type Storage } from '../node/storage.ts'
import { beginWork, endWork } from '../node/unfinished.ts'
import { StartError } from '../start-error.ts'
import { checkpointOf, examine, newestConfiguration, type Survivor } from './survivor.ts'

export interface RecoverOptions {
  /** Without it nothing is changed: the report says what there is. */
  readonly acceptDataLoss: boolean
}

export interface Recovery extends Survivor {
  readonly nodeId: number
  readonly oldClusterId: string
  /** Of the cluster that this node is now alone in; undefined where nothing was changed. */
  readonly clusterId: string | undefined
  /** Name of the file in the data folder that says what was done. */
  readonly record: string | undefined
}

const WORK = { what: 'a recovery', advice: 'run millrace cluster recover again, it goes on' }

/**
 * Takes the folder's lock, as a node does, and opens its stores as a start would.
 *
 * @throws StartError FOLDER_EMPTY where no node has run, FOLDER_IN_USE, STORAGE_DAMAGED where the catalogue cannot be read
 */
export async function recoverNode(
  config: Pick<NodeConfig, 'dataDir' | 'storage' | 'snapshots'>,
  { acceptDataLoss }: RecoverOptions,
): Promise<Recovery> {
  const { dataDir, storage: limits, snapshots } = config
  if ((await foundingOf(dataDir)).state !== 'founded') throw nothingThere(dataDir)
  const disk = new FatalDisk()
  const folder = await lockStorage({
    dataDir,
    storage: limits,
    snapshotsRetained: snapshots.retained,
    expected: {},
    unfinished: WORK.what,
    onFatal: disk.onFatal,
    log: pino({ level: 'silent' }),
  })
  const { clusterId: oldClusterId, nodeId } = folder.identity
  const storage = await folder.open()
  try {
    const survivor = await examine(storage, dataDir)
    const about = { nodeId, oldClusterId, ...survivor }
    if (!acceptDataLoss) return { ...about, clusterId: undefined, record: undefined }
    const clusterId = randomUUID()
    await beginWork(dataDir, WORK)
    for (const log of storage.logStore.groups())
      if (log.group !== RESTORE_GROUP) await makeAlone(log, storage, survivor, disk)
    const record = `recovery-${Date.now()}.json`
    const done = { recoveredAt: new Date().toISOString(), ...about, clusterId }
    await writeDurably(dataDir, record, `${JSON.stringify(done, null, 1)}\n`)
    await folder.moveToCluster(clusterId)
    await endWork(dataDir)
    return { ...about, clusterId, record }
  } catch (error) {
    throw StartError.from(error, `data folder ${dataDir}`)
  } finally {
    await storage.close()
  }
}

async function makeAlone(log: GroupLog, storage: Storage, survivor: Survivor, disk: FatalDisk): Promise<void> {
  if (survivor.groups.some(({ group, state }) => group === log.group && state === 'refused')) return
  await settleState(log, storage)
  const { recovered, end, group } = log
  const before = newestConfiguration(log)
  const uncertain = recovered.uncertainUntil?.term ?? 0
  const term = Math.max(recovered.ballot.term, end.term, uncertain) + 1
  const entries = new LogContinuation(group, end, term, Math.max(end.timestamp, Date.now()))
  entries.configuration(alone(before, recovered.replicaId, storage.identity.nodeId))
  if (group === 0) entries.command({ type: 'forgetNodes', nodes: survivor.otherNodes })
  const { frames } = entries
  const ballot = { term, vote: recovered.replicaId }
  await disk.write(log, { frames, ballot, commit: end.index + frames.length, clearsUncertain: true })
}

/**
 * Leaves one state, which the log goes on from. Others will take the places of entries that the log lost: of a state that holds
 * the lost ones, they would pass for applied here, and a snapshot of it would bring the lost ones to replicas that come later.
 */
async function settleState(log: GroupLog, storage: Storage): Promise<void> {
  const { stateStore, snapshots } = storage
  try {
    // As a start does: where the checkpoint is of no use, a snapshot becomes it.
    await loadState({ stateStore, log: () => undefined }, await snapshots.open(log.group), log)
  } catch (error) {
    // Neither is: the next start says so, and does without this replica.
    if (!(error instanceof StateStoreError && error.code === 'CORRUPT')) throw error
  }
  if ((await checkpointOf(log, storage)).ahead) await stateStore.drop(log.group)
  await snapshots.drop(log.group)
  await stateStore.flush()
}

/** Replica ids of the lost nodes are not given again. */
function alone(before: GroupConfiguration, replica: number, node: number): GroupConfiguration {
  const ids = [...before.voters, ...before.votersOutgoing, ...before.learners, ...before.learnersNext]
  const lastReplica = Math.max(before.lastReplica ?? 0, replica, ...ids)
  return {
    voters: [replica],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
    places: [{ replica, node }],
    ...(before.leaseReads === true && { leaseReads: true }),
    ...(lastReplica > replica && { lastReplica }),
  }
}

function nothingThere(dataDir: string): StartError {
  return new StartError(
    'FOLDER_EMPTY',
    `data folder ${dataDir}: no node has ever run there, so there is nothing to recover; name the folder of a survivor`,
  )
}
