/** What frames come to, without a node: the state machines of groups, fed from a file. Keeps only the state in memory. */
import type { BaseRecord, GroupLog, SnapshotStores } from '@millrace/log-store'
import { BIRTH_INDEX } from '@millrace/raft-node'
import type { Frame } from '@millrace/record'
import { decodeCatalogue } from '../catalogue-checkpoint.ts'
import { CATALOGUE_GROUP, CatalogueMachine } from '../catalogue-machine.ts'
import type { CatalogueContents } from '../catalogue-state.ts'
import { digestOf } from '../checkpoint-entries.ts'
import { MemoryStateStore } from '../memory-state-store.ts'
import { PartitionMachine } from '../partition-machine.ts'
import { decodeStateSnapshot } from '../state-snapshot.ts'
import type { StateStore, StoredState } from '../state-store.ts'
import { loadState } from '../stored-state.ts'

export type { CatalogueContents } from '../catalogue-state.ts'

/** Whether the state of a group can be derived from its log alone. */
export function isReplayable(base: Pick<BaseRecord, 'index'>): boolean {
  return base.index <= BIRTH_INDEX
}

/** A group's state from its birth on. */
export class GroupReplay {
  readonly #machine: CatalogueMachine | PartitionMachine

  constructor(group: number, base: Pick<BaseRecord, 'index' | 'nextOffset'>) {
    const stateStore = new MemoryStateStore()
    this.#machine =
      group === CATALOGUE_GROUP
        ? new CatalogueMachine({ stateStore, base, onApplied: () => undefined, onLeadership: () => undefined })
        : new PartitionMachine({ group, stateStore, base })
  }

  /** @throws InvariantError where a frame contradicts what came before it, or needs newer software */
  apply(frames: readonly Frame[]): void {
    this.#machine.apply(frames)
  }

  stateHash(): number {
    return this.#machine.stateHash()
  }
}

/** A state as the content of a snapshot or a backup has it, whole in memory; `hash` is what `TopicHost.stateHashes` says of it. */
export async function readState(
  content: AsyncIterable<Uint8Array>,
): Promise<{ readonly stored: StoredState; readonly hash: number }> {
  const stored = await decodeStateSnapshot(content)
  return { stored, hash: digestOf(stored.entries) }
}

/** @throws InvariantError where the entries are not those of a catalogue */
export function catalogueOf(stored: StoredState): CatalogueContents {
  return decodeCatalogue(stored.entries)
}

const READ_BYTES = 1_048_576

/**
 * What the catalogue says at the end of a log, committed or not.
 *
 * @throws LogError where the log cannot be read; StateStoreError where the log does not reach back and the state is damaged
 */
export async function catalogueAtEnd(
  log: GroupLog,
  stateStore: StateStore,
  snapshots: SnapshotStores,
): Promise<CatalogueContents> {
  const stored = await loadState({ stateStore, log: () => undefined }, await snapshots.open(log.group), log)
  const onApplied = (): void => undefined
  const machine = new CatalogueMachine({ stateStore, stored, base: log.base, onApplied, onLeadership: onApplied })
  for (let next = Math.max(log.base.index, machine.applied.index) + 1; next <= log.end.index; ) {
    const frames = await log.read(next, log.end.index + 1, READ_BYTES)
    machine.apply(frames)
    next += frames.length
  }
  const { state } = machine
  return {
    ...state.counters,
    topics: [...state.topics()],
    nodes: state.nodes(),
    deleted: [...state.deleted()],
    members: state.members.list(),
    catalogue: state.members.catalogue,
  }
}
