/**
 * What one surviving folder has of its cluster: every group that the catalogue knows, what is known to be committed, what may
 * or may not have been acknowledged, and what is not there. Looks, as a start would, and changes nothing else.
 */
import { type GroupLog, LogError } from '@millrace/log-store'
import { MemorySnapshotStores } from '@millrace/log-store/memory'
import { type AppliedPosition, decodeGroupConfiguration, type GroupConfiguration } from '@millrace/raft-node'
import { type Frame, framePayload, nextOffsetAfter } from '@millrace/record'
import { StateStoreError } from '@millrace/topics'
import { MemoryStateStore } from '@millrace/topics/memory'
import { type CatalogueContents, catalogueAtEnd, isReplayable } from '@millrace/topics/offline'
import { RESTORE_GROUP } from '../node/restored.ts'
import type { Storage } from '../node/storage.ts'
import { StartError } from '../start-error.ts'

/** What a log holds. */
interface SurvivingLog {
  readonly state: 'log'
  readonly replica: number
  readonly lastIndex: number
  readonly lastTerm: number
  /** Of the newest entry, milliseconds since 1970. */
  readonly lastTimestamp: number
  /** First offset in the log. */
  readonly firstOffset: number
  /** What is below was committed, and may have been acknowledged. */
  readonly committedOffset: number
  /** The end. What is between the two was written here, and nobody knows whether it was acknowledged. */
  readonly nextOffset: number
  /** Entries that were durable here once and are gone: the log ends below this index. */
  readonly goneUpTo?: number
  /** Ranges that cannot be read, from the first to the last entry. */
  readonly damaged: readonly (readonly [number, number])[]
}

/** It had a replica here, which cannot run. */
interface Refused {
  readonly state: 'refused'
  readonly reason: string
}

export type SurvivingGroup = {
  readonly group: number
  /** Empty for the catalogue. */
  readonly topic: string
  readonly partition: number
} & (
  | SurvivingLog
  | Refused
  /** It belongs here, and nothing of it ever reached this disk: it begins empty. */
  | { readonly state: 'empty' }
  /** It had its replicas on other nodes only. */
  | { readonly state: 'elsewhere' }
)

export interface Survivor {
  readonly groups: readonly SurvivingGroup[]
  /** Nodes of the cluster other than this one. */
  readonly otherNodes: readonly number[]
}

/** @throws StartError STORAGE_DAMAGED where the catalogue is not there or cannot be read: nothing can be recovered from here then */
export async function examine(storage: Storage, dataDir: string): Promise<Survivor> {
  const { logStore, identity } = storage
  const refused = new Map(logStore.refused().map(({ group, reason }) => [group, reason.message]))
  const catalogueLog = logStore.groups().find(({ group }) => group === 0)
  if (catalogueLog === undefined) throw noCatalogue(dataDir, refused.get(0) ?? 'it is not there')
  const contents = await catalogueOf(catalogueLog, storage).catch((error: unknown) => {
    if (error instanceof LogError) throw noCatalogue(dataDir, error.message)
    throw error
  })
  const orphans = logStore.groups().filter(({ group }) => group >= contents.nextGroup && group !== RESTORE_GROUP)
  if (orphans.length > 0) throw olderCatalogue(dataDir, orphans)
  const groups: SurvivingGroup[] = []
  for (const { group, topic, partition, here } of expected(contents, identity.nodeId)) {
    const log = logStore.groups().find(candidate => candidate.group === group)
    const at = { group, topic, partition }
    const reason = refused.get(group)
    if (log !== undefined && isUninitialised(log)) groups.push({ ...at, state: 'refused', reason: NEVER_HEARD })
    else if (log !== undefined) groups.push({ ...at, ...(await survivingLog(log, storage)) })
    else if (reason !== undefined) groups.push({ ...at, state: 'refused', reason })
    else groups.push({ ...at, state: here ? 'empty' : 'elsewhere' })
  }
  return { groups, otherNodes: otherNodes(contents, storage) }
}

/** @throws LogError where it cannot be told from the log and what belongs to it */
async function catalogueOf(log: GroupLog, storage: Storage): Promise<CatalogueContents> {
  const { ahead } = await checkpointOf(log, storage)
  if (!ahead) return catalogueAtEnd(log, storage.stateStore, storage.snapshots)
  if (!isReplayable(log.base)) throw new LogError('DAMAGED', AHEAD)
  return catalogueAtEnd(log, new MemoryStateStore(), new MemorySnapshotStores())
}

const AHEAD = 'its checkpoint is ahead of its log, which has lost entries and no longer reaches back to the beginning'
const NEVER_HEARD = 'it was waiting for its first snapshot, which a lost node would have sent'

/** A replica that joined its group and has heard nothing of it yet: it has no history to go on with. */
function isUninitialised({ end }: GroupLog): boolean {
  return end.index === 0
}

/** The newest configuration of a log, committed or not. */
export function newestConfiguration({ recovered }: GroupLog): GroupConfiguration {
  const newest = recovered.configurations.at(-1)
  return decodeGroupConfiguration(newest === undefined ? recovered.base.configuration : framePayload(newest))
}

function* expected({ topics }: CatalogueContents, nodeId: number) {
  yield { group: 0, topic: '', partition: 0, here: true }
  for (const { info } of topics) {
    for (const { group, partition, replicas } of info.partitions)
      yield { group, topic: info.name, partition, here: replicas.some(({ node }) => node === nodeId) }
  }
}

/**
 * Where the checkpoint of a log stands. Ahead: it is of entries that the log has lost, or has others in place of. The log has to
 * be replayed without it then, as new entries will come where those were.
 */
export async function checkpointOf(
  log: GroupLog,
  { stateStore }: Pick<Storage, 'stateStore'>,
): Promise<{ readonly applied: number; readonly ahead: boolean }> {
  const applied = appliedOf(stateStore, log.group)
  if (applied === undefined || applied.index <= log.base.index) return { applied: log.base.index, ahead: false }
  if (applied.index > log.end.index) return { applied: log.base.index, ahead: true }
  const [frame] = await unlessDamaged(log.read(applied.index, applied.index + 1, 1))
  const ahead = frame !== undefined && frame.header.term !== applied.term
  return { applied: ahead ? log.base.index : applied.index, ahead }
}

async function survivingLog(log: GroupLog, storage: Storage): Promise<SurvivingLog | Refused> {
  const { recovered, end, base } = log
  const { uncertainUntil } = recovered
  const { applied, ahead } = await checkpointOf(log, storage)
  if (ahead && !isReplayable(base)) return { state: 'refused', reason: AHEAD }
  // A checkpoint is of committed entries; it may know more than the newest round did.
  const committed = Math.max(recovered.commit, applied)
  return {
    state: 'log',
    replica: recovered.replicaId,
    lastIndex: end.index,
    lastTerm: end.term,
    lastTimestamp: end.timestamp,
    firstOffset: base.nextOffset,
    committedOffset: await offsetAfter(log, committed),
    nextOffset: end.nextOffset,
    ...(uncertainUntil !== undefined && { goneUpTo: uncertainUntil.index }),
    damaged: log.holes.map(({ before, last }) => [before.index + 1, last.index] as const),
  }
}

/** Undefined where there is none, or a damaged one: the next start says so, and does without it. */
function appliedOf(stateStore: Storage['stateStore'], group: number): AppliedPosition | undefined {
  try {
    return stateStore.load(group)?.applied
  } catch (error) {
    if (error instanceof StateStoreError && error.code === 'CORRUPT') return undefined
    throw error
  }
}

/** Nothing where the range cannot be read: less is known then. */
async function unlessDamaged(read: Promise<readonly Frame[]>): Promise<readonly Frame[]> {
  try {
    return await read
  } catch (error) {
    if (error instanceof LogError && error.code === 'DAMAGED') return []
    throw error
  }
}

async function offsetAfter(log: GroupLog, index: number): Promise<number> {
  if (index <= log.base.index) return log.base.nextOffset
  if (index >= log.end.index) return log.end.nextOffset
  const [frame] = await unlessDamaged(log.read(index, index + 1, 1))
  return frame === undefined ? log.base.nextOffset : nextOffsetAfter(frame.header)
}

function otherNodes(contents: CatalogueContents, { logStore, identity }: Storage): readonly number[] {
  const nodes = new Set(contents.nodes.map(({ node }) => node))
  for (const { info } of contents.topics)
    for (const { replicas } of info.partitions) for (const { node } of replicas) nodes.add(node)
  for (const log of logStore.groups()) for (const { node } of newestConfiguration(log).places) nodes.add(node)
  nodes.delete(identity.nodeId)
  return [...nodes].sort((a, b) => a - b)
}

/** The ids of these groups would be given again, and their records would turn up in other topics. */
function olderCatalogue(dataDir: string, orphans: readonly GroupLog[]): StartError {
  const ids = orphans.map(({ group }) => group).join(', ')
  return new StartError(
    'STORAGE_DAMAGED',
    `data folder ${dataDir}: groups ${ids} are there, and the catalogue has lost the entries that made them. Nothing was changed; recover another survivor, or restore a backup`,
  )
}

function noCatalogue(dataDir: string, reason: string): StartError {
  return new StartError(
    'STORAGE_DAMAGED',
    `data folder ${dataDir}: the catalogue (group 0) cannot be read: ${reason}. Nothing was changed; recover another survivor, or restore a backup`,
  )
}
