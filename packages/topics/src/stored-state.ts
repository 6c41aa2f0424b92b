/**
 * What a replica's state begins with: its checkpoint; where the log no longer reaches back to that, or it is damaged or
 * gone, the newest snapshot of the group that is on this disk; where there is none either, nothing: the node fetches the
 * state of another replica.
 */
import type { GroupLog, SnapshotReader, SnapshotStore } from '@millrace/log-store'
import type { NodeEvent } from '@millrace/raft-node'
import { BIRTH_INDEX } from '@millrace/raft-node'
import { decodeStateSnapshot } from './state-snapshot.ts'
import type { StateStore, StoredState } from './state-store.ts'
import { StateStoreError } from './state-store.ts'

const READ_BYTES = 256 * 1024

interface LoadingStores {
  readonly stateStore: StateStore
  readonly log: (event: NodeEvent) => void
}

/**
 * The group's verified state, or undefined where everything comes from the log, or, if that begins later, from another
 * replica. A damaged checkpoint is dropped where the log or a snapshot can replace it; a snapshot that does is the checkpoint
 * from then on. One that nothing here can replace stays as it is until another state is written in its place.
 *
 * @throws StateStoreError FORMAT_VERSION; LogError, InvariantError where the snapshot cannot be read
 */
export async function loadState(
  { stateStore, log: report }: LoadingStores,
  snapshots: SnapshotStore,
  { group, base }: GroupLog,
): Promise<StoredState | undefined> {
  const loaded = load(stateStore, group)
  const damage = loaded instanceof StateStoreError ? loaded : undefined
  const stored = loaded instanceof StateStoreError ? undefined : loaded
  const least = stored?.applied.index ?? BIRTH_INDEX
  if (least < base.index) {
    const inSnapshot = await newestState(snapshots)
    if (inSnapshot !== undefined && inSnapshot.applied.index >= base.index) {
      const { applied, entries: puts } = inSnapshot
      const reason =
        damage?.message ?? `there is no checkpoint that the log, which begins after ${base.index}, goes on from`
      report({ level: 'warn', group, message: `${reason}; the snapshot at index ${applied.index} takes its place` })
      await stateStore.drop(group)
      await stateStore.commit(group, { applied, full: true, puts, deletes: [] })
      await stateStore.flush()
      return inSnapshot
    }
  }
  if (base.index > BIRTH_INDEX && least < base.index) {
    const reason = damage?.message ?? 'its checkpoint is gone, or older than the log'
    report({ level: 'error', group, message: `${reason}; the log begins after ${base.index}: the state is lost here` })
    return undefined
  }
  if (damage === undefined) return stored
  report({ level: 'warn', group, message: `${damage.message}; it is dropped and the log replayed from its start` })
  await stateStore.drop(group)
  return undefined
}

function load(stateStore: StateStore, group: number): StoredState | StateStoreError | undefined {
  try {
    return stateStore.load(group)
  } catch (error) {
    if (error instanceof StateStoreError && error.code === 'CORRUPT') return error
    throw error
  }
}

async function newestState(snapshots: SnapshotStore): Promise<StoredState | undefined> {
  const reader = await snapshots.openNewest()
  if (reader === null) return undefined
  try {
    return await decodeStateSnapshot(contentOf(reader))
  } finally {
    await reader.close()
  }
}

async function* contentOf(reader: SnapshotReader): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < reader.info.contentBytes; ) {
    const bytes = await reader.read(at, READ_BYTES)
    at += bytes.length
    yield bytes
  }
}
