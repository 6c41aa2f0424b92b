/**
 * The replicated state of one partition: log start, next offset, producers. Follows committed frames without judging
 * them; judges batches, as leader, before they are proposed.
 *
 * Never reads a clock, never fails at apply for a reason another replica would not have: what contradicts the state
 * (an offset that is not dense, a batch stored twice, an entry this version does not know) throws and halts the replica.
 *
 * Invariant: the state is a function of the frames up to `applied`.
 */
import type { SnapshotInfo, SnapshotStore } from '@millrace/log-store'
import type { AppliedPosition, LeadershipEvent, MachineSnapshots, StateMachine, StateView } from '@millrace/raft-node'
import { BIRTH_INDEX } from '@millrace/raft-node'
import type { Frame, FrameHeader } from '@millrace/record'
import { FrameKind, framePayload } from '@millrace/record'
import type { AppendDecision } from './append-decision.ts'
import { decideAppend } from './append-decision.ts'
import { digestOf } from './checkpoint-entries.ts'
import type { StateChanges } from './checkpoint-writer.ts'
import { CheckpointWriter } from './checkpoint-writer.ts'
import { InvariantError } from './invariant-error.ts'
import { decodeLogStart } from './log-start.ts'
import type { AppendBatch } from './partition.ts'
import { decodePartition, encodePosition, encodeProducer, producerEntryKey } from './partition-checkpoint.ts'
import type { PendingAppend } from './pending-append.ts'
import { PendingAppends } from './pending-appends.ts'
import { ProducerTable, producerKey } from './producer-table.ts'
import { decodeStateSnapshot, encodeStateSnapshot } from './state-snapshot.ts'
import type { StateEntry, StateStore, StoredState } from './state-store.ts'
import { WatermarkWaiters } from './watermark-waiters.ts'

export interface PartitionMachineOptions {
  readonly group: number
  readonly stateStore: StateStore
  /** What the state store holds of the group; absent: everything comes from the log. */
  readonly stored?: StoredState | undefined
  /** Where the log begins; what is below must be in `stored`, or comes from another replica by `snapshots`. */
  readonly base: { readonly index: number; readonly nextOffset: number }
  /** Bound of the producer table; replicas must agree on it. */
  readonly producersMax?: number
  /** Snapshots of the group. Absent: other replicas get the state from the log only. */
  readonly snapshotStore?: SnapshotStore
}

export class PartitionMachine implements StateMachine {
  readonly group: number
  readonly waiters: WatermarkWaiters = new WatermarkWaiters()
  /** Of the log's base: the records are in the log, and the state says what they have come to. */
  readonly snapshots?: MachineSnapshots
  readonly #producersMax: number | undefined
  #isStateMissing: boolean
  #producers: ProducerTable
  /** No producer is remembered from entries before this one. */
  #forgottenAt = 0
  readonly #pending = new PendingAppends()
  readonly #checkpoints: CheckpointWriter
  #applied: AppliedPosition
  #broughtTo: number
  #nextIndex: number
  #nextOffset: number
  #logStartOffset: number
  /** Next offset after everything accepted; undefined while not leading. */
  #leaderOffset: number | undefined

  /** @throws InvariantError where neither the checkpoint nor the log has the partition's beginning */
  constructor(options: PartitionMachineOptions) {
    const { group, stored, base, stateStore, producersMax } = options
    this.group = group
    const isMissing = stored === undefined && base.index > BIRTH_INDEX && options.snapshotStore !== undefined
    if (stored === undefined && base.nextOffset > 0 && !isMissing) {
      throw new InvariantError(`group ${group}: the log starts at offset ${base.nextOffset} and there is no checkpoint`)
    }
    if (stored !== undefined && stored.applied.index < base.index) {
      throw new InvariantError(`group ${group}: checkpoint at index ${stored.applied.index}, log from ${base.index}`)
    }
    const decoded = stored === undefined ? undefined : decodePartition(stored.entries)
    this.#isStateMissing = isMissing
    this.#producersMax = producersMax
    this.#forgottenAt = decoded?.position.forgottenAt ?? 0
    this.#producers = this.#tableOf(decoded?.producers)
    this.#applied = stored?.applied ?? { index: 0, term: 0 }
    this.#broughtTo = this.#applied.index
    this.#nextIndex = (stored?.applied.index ?? base.index) + 1
    this.#nextOffset = decoded?.position.nextOffset ?? base.nextOffset
    this.#logStartOffset = decoded?.position.logStartOffset ?? base.nextOffset
    this.#checkpoints = new CheckpointWriter(stateStore, group, stored?.applied, full => this.#collect(full))
    this.waiters.advance(this.#nextOffset)
    if (options.snapshotStore !== undefined) this.snapshots = this.#snapshotsIn(options.snapshotStore)
  }

  get applied(): AppliedPosition {
    return this.#applied
  }

  /**
   * What a checkpoint or a snapshot has brought up to this index was not read from the log, which may not hold all of it yet,
   * or something else that is not committed.
   */
  get broughtTo(): number {
    return this.#broughtTo
  }

  /** There is no state here, or half of one: nothing that it says counts. */
  get isStateMissing(): boolean {
    return this.#isStateMissing
  }

  get nextOffset(): number {
    return this.#nextOffset
  }

  get logStartOffset(): number {
    return this.#logStartOffset
  }

  /** Whether batches may be decided upon: this replica leads and nothing from before its term is left to apply. */
  get accepting(): boolean {
    return this.#leaderOffset !== undefined
  }

  /** Identifies the state: equal on all replicas at equal applied index. */
  stateHash(): number {
    return digestOf(this.#collectAll())
  }

  /** All of the state, as a full checkpoint holds it. */
  stateEntries(): readonly StateEntry[] {
    return this.#collectAll()
  }

  /** What becomes of `batch`. Only while `accepting`. */
  decide(batch: AppendBatch, key: string): AppendDecision {
    const leaderOffset = this.#leaderOffset
    if (leaderOffset === undefined) throw new InvariantError(`group ${this.group}: a decision without leadership`)
    return decideAppend({ producers: this.#producers, pending: this.#pending, leaderOffset }, batch, key)
  }

  /** The node took the proposal for `batch`. */
  accepted(batch: PendingAppend, index: number, baseOffset: number): void {
    if (baseOffset !== this.#leaderOffset) {
      throw new InvariantError(
        `group ${this.group}: entry ${index} was given offset ${baseOffset}, the leader is at ${this.#leaderOffset}`,
      )
    }
    this.#leaderOffset = baseOffset + batch.count
    this.#pending.push(batch, index, baseOffset)
  }

  apply(frames: readonly Frame[]): undefined {
    for (const frame of frames) {
      const { header } = frame
      // A checkpoint may be ahead of what the log knew to be committed when it was opened.
      if (header.index < this.#nextIndex) continue
      this.#applyFrame(frame)
      this.#nextIndex = header.index + 1
      this.#applied = { index: header.index, term: header.term }
    }
    this.#pending.applied(this.#applied.index)
    this.waiters.advance(this.#nextOffset)
    return undefined
  }

  /** @see StateMachine.passLost */
  passLost(last: AppliedPosition & { readonly nextOffset: number }, givenUpAt: number): void {
    const { index, term, nextOffset } = last
    if (index < this.#nextIndex || nextOffset < this.#nextOffset) {
      throw new InvariantError(`group ${this.group}: entry ${index} is given up, and entry ${this.#nextIndex} is due`)
    }
    this.#applied = { index, term }
    this.#nextIndex = index + 1
    this.#nextOffset = nextOffset
    this.#forget(givenUpAt)
    this.#pending.drop()
    this.waiters.advance(this.#nextOffset)
  }

  leadership(event: LeadershipEvent): void {
    this.#pending.drop()
    switch (event.type) {
      case 'started':
        this.#leaderOffset = event.nextOffset
        return
      case 'stopped':
        this.#leaderOffset = undefined
        return
    }
  }

  checkpoint(): Promise<AppliedPosition> {
    return this.#checkpoints.write()
  }

  close(): Promise<void> {
    this.#leaderOffset = undefined
    this.waiters.wakeAll()
    return Promise.resolve()
  }

  #snapshotsIn(store: SnapshotStore): MachineSnapshots {
    const restore: MachineSnapshots['restore'] = (snapshot, content) => this.#restore(snapshot, content)
    return { kind: 'base', store, view: () => this.#view(), restore }
  }

  #view(): StateView {
    const applied = this.#applied
    const entries = this.#collectAll()
    return { applied, content: () => encodeStateSnapshot(applied, entries), release: () => undefined }
  }

  /** At the birth of the group there is no content: the state is that of an empty partition. */
  async #restore(snapshot: SnapshotInfo, content: AsyncIterable<Uint8Array>): Promise<AppliedPosition> {
    const stored = snapshot.contentBytes === 0 ? undefined : await decodeStateSnapshot(content)
    const decoded = stored === undefined ? undefined : decodePartition(stored.entries)
    this.#isStateMissing = true
    this.#pending.drop()
    this.#forgottenAt = decoded?.position.forgottenAt ?? 0
    this.#producers = this.#tableOf(decoded?.producers)
    this.#applied = stored?.applied ?? { index: snapshot.index, term: snapshot.term }
    this.#broughtTo = this.#applied.index
    this.#nextIndex = this.#applied.index + 1
    this.#nextOffset = decoded?.position.nextOffset ?? snapshot.nextOffset
    this.#logStartOffset = decoded?.position.logStartOffset ?? snapshot.nextOffset
    const durable = await this.#checkpoints.replace()
    this.#isStateMissing = false
    this.waiters.advance(this.#nextOffset)
    return durable
  }

  #applyFrame(frame: Frame): void {
    const { header } = frame
    if (header.index !== this.#nextIndex) throw this.#broken(header, `comes where ${this.#nextIndex} is due`)
    if (header.baseOffset !== this.#nextOffset) {
      throw this.#broken(header, `has offset ${header.baseOffset} where ${this.#nextOffset} is due`)
    }
    switch (header.kind) {
      case FrameKind.noop:
      case FrameKind.configuration:
        return
      case FrameKind.lostRange:
        // Here too where nothing was missing: the table is the same on every replica from now on.
        this.#forget(header.index)
        return
      case FrameKind.records:
        this.#applyRecords(header)
        return
      case FrameKind.logStart:
        this.#applyLogStart(frame)
        return
      case FrameKind.command:
      case FrameKind.cursor:
        throw this.#broken(header, `is of kind ${header.kind}, which needs newer software`)
      default:
        throw this.#broken(header, `is of the unknown kind ${header.kind satisfies never}, which needs newer software`)
    }
  }

  #applyRecords(header: FrameHeader): void {
    if (header.recordCount < 1) throw this.#broken(header, 'holds no record')
    const key = producerKey(header.producerId)
    // Between entries that are given up and the one that says so, nobody knows which sequence a producer is at.
    if (key !== NO_PRODUCER_KEY && header.index > this.#forgottenAt) this.#producers.apply(key, header)
    this.#nextOffset += header.recordCount
  }

  /** One that is behind another changes nothing: it was proposed before somebody asked for more. */
  #applyLogStart(frame: Frame): void {
    const offset = decodeLogStart(framePayload(frame))
    if (offset === undefined) throw this.#broken(frame.header, 'is a log start which needs newer software')
    if (offset > this.#nextOffset) {
      throw this.#broken(frame.header, `starts the log at ${offset}, beyond the next offset ${this.#nextOffset}`)
    }
    this.#logStartOffset = Math.max(this.#logStartOffset, offset)
  }

  #forget(at: number): void {
    this.#forgottenAt = Math.max(this.#forgottenAt, at)
    this.#producers = this.#tableOf()
    this.#checkpoints.wholeNext()
  }

  #tableOf(entries?: ConstructorParameters<typeof ProducerTable>[0]): ProducerTable {
    return new ProducerTable(entries, this.#producersMax, this.#forgottenAt > 0)
  }

  #collect(full: boolean): StateChanges {
    const keys = this.#producers.takeChanges()
    const retain = (): void => this.#producers.returnChanges(keys)
    if (full) return { applied: this.#applied, puts: this.#collectAll(), deletes: [], retain }
    const puts = [this.#position()]
    const deletes: Uint8Array[] = []
    for (const key of keys) {
      const entry = this.#producers.get(key)
      if (entry === undefined) deletes.push(producerEntryKey(key))
      else puts.push(encodeProducer(key, entry))
    }
    return { applied: this.#applied, puts, deletes, retain }
  }

  #collectAll(): readonly StateEntry[] {
    const entries = [this.#position()]
    for (const [key, entry] of this.#producers.entries()) entries.push(encodeProducer(key, entry))
    return entries
  }

  #position(): StateEntry {
    return encodePosition({
      ...{ logStartOffset: this.#logStartOffset, nextOffset: this.#nextOffset },
      forgottenAt: this.#forgottenAt,
    })
  }

  #broken(header: FrameHeader, what: string): InvariantError {
    return new InvariantError(`group ${this.group}: entry ${header.index} of term ${header.term} ${what}`)
  }
}

const NO_PRODUCER_KEY = '\0'.repeat(16)
