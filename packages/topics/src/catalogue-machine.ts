/**
 * Group 0 as a state machine: applies the catalogue's commands and tells its owner when something changed. It decides
 * nothing about this node; opening and closing replicas is the host's work, beside apply.
 *
 * Invariant: the state is a function of the frames up to `applied`. An entry that this version does not know throws and
 * halts the replica.
 */
import type { SnapshotInfo, SnapshotStore } from '@millrace/log-store'
import type { AppliedPosition, LeadershipEvent, MachineSnapshots, StateMachine, StateView } from '@millrace/raft-node'
import { BIRTH_INDEX } from '@millrace/raft-node'
import type { Frame } from '@millrace/record'
import { FrameKind, framePayload } from '@millrace/record'
import { decodeCatalogue, encodeAll, encodeEntry, entryKey } from './catalogue-checkpoint.ts'
import { decodeCommand } from './catalogue-command.ts'
import type { CatalogueKey, CatalogueResult } from './catalogue-state.ts'
import { CatalogueState } from './catalogue-state.ts'
import { digestOf } from './checkpoint-entries.ts'
import type { StateChanges } from './checkpoint-writer.ts'
import { CheckpointWriter } from './checkpoint-writer.ts'
import { InvariantError } from './invariant-error.ts'
import { decodeStateSnapshot, encodeStateSnapshot } from './state-snapshot.ts'
import type { StateEntry, StateStore, StoredState } from './state-store.ts'

export const CATALOGUE_GROUP = 0

export interface CatalogueMachineOptions {
  readonly stateStore: StateStore
  readonly stored?: StoredState | undefined
  /** Where the log begins; what is below must be in `stored`. */
  readonly base: { readonly index: number }
  /** Snapshots of the group. Absent: none are taken, and other replicas get the state from the log only. */
  readonly snapshotStore?: SnapshotStore
  /**
   * After a batch of entries was applied, and after a snapshot replaced the state. Called from the node's turn: must be
   * short and must not throw.
   */
  readonly onApplied: () => void
  readonly onLeadership: (leading: boolean) => void
}

export class CatalogueMachine implements StateMachine {
  /** Of the applied index: the log is trimmed behind them. */
  readonly snapshots?: MachineSnapshots
  readonly #options: CatalogueMachineOptions
  readonly #checkpoints: CheckpointWriter
  /** By checkpoint key, so that each is listed once. */
  #changed = new Map<string, CatalogueKey>()
  #state: CatalogueState
  #applied: AppliedPosition
  #nextIndex: number

  /** @throws InvariantError where neither the checkpoint nor the log has the catalogue's beginning */
  constructor(options: CatalogueMachineOptions) {
    const { stored, base, stateStore, snapshotStore } = options
    if (stored === undefined && base.index > BIRTH_INDEX && snapshotStore === undefined) {
      throw new InvariantError(`catalogue: the log begins after ${base.index} and there is no checkpoint`)
    }
    if (stored !== undefined && stored.applied.index < base.index) {
      throw new InvariantError(`catalogue: checkpoint at index ${stored.applied.index}, log from ${base.index}`)
    }
    this.#options = options
    this.#state = this.#stateOf(stored)
    this.#applied = stored?.applied ?? { index: 0, term: 0 }
    // A replica that joins has no base yet, and may be sent the group's birth, which says nothing that is not known here.
    this.#nextIndex = (stored?.applied.index ?? Math.max(base.index, BIRTH_INDEX)) + 1
    this.#checkpoints = new CheckpointWriter(stateStore, CATALOGUE_GROUP, stored?.applied, full => this.#collect(full))
    if (snapshotStore !== undefined) this.snapshots = this.#snapshotsIn(snapshotStore)
  }

  /** Another object after a snapshot replaced it. */
  get state(): CatalogueState {
    return this.#state
  }

  get applied(): AppliedPosition {
    return this.#applied
  }

  /** Identifies the state: equal on all replicas at equal applied index. */
  stateHash(): number {
    return digestOf(encodeAll(this.state))
  }

  /** All of the state, as a full checkpoint holds it. */
  stateEntries(): readonly StateEntry[] {
    return encodeAll(this.state)
  }

  apply(frames: readonly Frame[]): readonly (CatalogueResult | undefined)[] {
    const results: (CatalogueResult | undefined)[] = []
    for (const frame of frames) {
      const { index, term } = frame.header
      if (index < this.#nextIndex) {
        results.push(undefined)
        continue
      }
      if (index !== this.#nextIndex)
        throw new InvariantError(`catalogue: entry ${index} comes where ${this.#nextIndex} is due`)
      results.push(this.#applyFrame(frame))
      this.#nextIndex = index + 1
      this.#applied = { index, term }
    }
    this.#options.onApplied()
    return results
  }

  leadership(event: LeadershipEvent): void {
    this.#options.onLeadership(event.type === 'started')
  }

  checkpoint(): Promise<AppliedPosition> {
    return this.#checkpoints.write()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #snapshotsIn(store: SnapshotStore): MachineSnapshots {
    const restore: MachineSnapshots['restore'] = (snapshot, content) => this.#restore(snapshot, content)
    return { kind: 'applied', store, view: () => this.#view(), restore }
  }

  #view(): StateView {
    const applied = this.#applied
    const entries = encodeAll(this.state)
    return { applied, content: () => encodeStateSnapshot(applied, entries), release: () => undefined }
  }

  async #restore({ index }: SnapshotInfo, content: AsyncIterable<Uint8Array>): Promise<AppliedPosition> {
    const stored = await decodeStateSnapshot(content)
    if (stored.applied.index !== index) {
      throw new InvariantError(`catalogue: a snapshot at ${index} of the state at ${stored.applied.index}`)
    }
    const state = this.#stateOf(stored)
    this.#changed.clear()
    this.#state = state
    this.#applied = stored.applied
    this.#nextIndex = index + 1
    const durable = await this.#checkpoints.replace()
    this.#options.onApplied()
    return durable
  }

  #stateOf(stored: StoredState | undefined): CatalogueState {
    const contents = stored === undefined ? undefined : decodeCatalogue(stored.entries)
    return new CatalogueState(contents, key => this.#changed.set(hex(key), key))
  }

  #applyFrame(frame: Frame): CatalogueResult | undefined {
    const { kind, index, timestamp } = frame.header
    switch (kind) {
      case FrameKind.noop:
      case FrameKind.configuration:
        return undefined
      case FrameKind.command:
        return this.state.apply(decodeCommand(framePayload(frame)), { index, timestamp })
      default:
        throw new InvariantError(`catalogue: entry ${index} is of kind ${kind}, which needs newer software`)
    }
  }

  #collect(full: boolean): StateChanges {
    const changed = this.#changed
    this.#changed = new Map()
    const retain = (): void => {
      for (const [id, key] of changed) this.#changed.set(id, key)
    }
    if (full) return { applied: this.#applied, puts: encodeAll(this.state), deletes: [], retain }
    const puts: StateEntry[] = []
    const deletes: Uint8Array[] = []
    for (const key of changed.values()) {
      const entry = encodeEntry(this.state, key)
      if (entry === undefined) deletes.push(entryKey(key))
      else puts.push(entry)
    }
    return { applied: this.#applied, puts, deletes, retain }
  }
}

function hex(key: CatalogueKey): string {
  return Buffer.from(entryKey(key)).toString('hex')
}
