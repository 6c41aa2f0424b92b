/**
 * Everything about snapshots of one replica: taking, sending, receiving, installing, and the trims of its log.
 *
 * Invariant: the log's base never passes a state that is durable here. A snapshot that is installed is durable before the
 * log is discarded for it; a crash in between leaves a state that is ahead of its log, which an opening can deal with.
 */
import type { BaseRecord, GroupLog, SnapshotHead, SnapshotInfo, SnapshotReader } from '@millrace/log-store'
import type { Input, InstallSnapshot, LogIndex, ReplicaId, SnapshotMeta, Term } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import { BIRTH_INDEX } from './birth-record.ts'
import { decodeGroupConfiguration } from './configuration-codec.ts'
import { ConfigurationTrail, type DatedConfiguration } from './configuration-trail.ts'
import type { EntryPayload } from './entry-frame.ts'
import type { GroupOpening } from './group-opening.ts'
import { trimmedTo } from './group-opening.ts'
import type { HostServices } from './host-services.ts'
import { baseAt, LogTrimmer } from './log-trimmer.ts'
import type { MachineSnapshots } from './machine-snapshots.ts'
import { ReportOnce } from './report-once.ts'
import type { IncomingSnapshot, SnapshotAnswer, SnapshotOffer } from './snapshot-calls.ts'
import { contentOf, snapshotId, writeSnapshot } from './snapshot-content.ts'
import { isBirth, SnapshotReceiver } from './snapshot-receiver.ts'
import type { SendHandle, TransferProgress } from './snapshot-sends.ts'
import { SnapshotTaker } from './snapshot-taker.ts'
import type { AppliedPosition } from './state-machine.ts'

/** What this asks of its replica. */
export interface SnapshotSubject {
  readonly term: Term
  readonly leads: boolean
  /** What the state machine holds durably. */
  readonly checkpointed: LogIndex
  readonly commit: LogIndex
  /** The state is being replaced. */
  readonly restoring: boolean
  /** Has the state machine write a checkpoint. */
  checkpoint(): Promise<void>
  nodeOf(replica: ReplicaId): number
  /** What a follower is known to have of the log, where this replica leads. */
  matchOf(follower: ReplicaId): LogIndex | undefined
  admits(replica: ReplicaId, fromNode: number): boolean
  /** For the next turn. */
  input(input: Input<EntryPayload>): void
  /** Has the state replaced, and then the log, while nothing is applied. */
  replace(restore: () => Promise<AppliedPosition>, reset: () => Promise<void>): Promise<void>
  /** A snapshot is installed: state and log are what it says. */
  installed(): void
  halt(reason: string): void
}

export interface GroupSnapshotsOptions {
  readonly services: HostServices
  readonly log: GroupLog
  readonly opening: GroupOpening
  /** Of the state machine, where it has any. */
  readonly machine: MachineSnapshots | undefined
  readonly subject: SnapshotSubject
}

export class GroupSnapshots {
  readonly #options: GroupSnapshotsOptions
  readonly #trail: ConfigurationTrail
  readonly #trimmer: LogTrimmer
  readonly #taker: SnapshotTaker | undefined
  readonly #receiver: SnapshotReceiver
  readonly #once: ReportOnce
  /** By the replica that gets it. */
  readonly #sends = new Map<ReplicaId, SendHandle>()
  /** What was received and may be installed, by index. */
  readonly #delivered = new Map<LogIndex, SnapshotInfo>()

  constructor(options: GroupSnapshotsOptions) {
    const { services, log, opening, machine, subject } = options
    const { clock, snapshots } = services
    this.#options = options
    this.#once = new ReportOnce(event => services.report(event))
    this.#trail = new ConfigurationTrail({
      baseIndex: log.base.index,
      base: datedAt(log.base),
      newest: { index: opening.configurationIndex, configuration: opening.configuration },
      applied: opening.initial.applied,
    })
    const trimmed = (base: BaseRecord): void => subject.input(trimmedTo(base))
    this.#trimmer = new LogTrimmer({
      ...{ log, clock, trimmed, trail: this.#trail, pinMs: snapshots.limits.snapshotPinMs },
      matchOf: follower => subject.matchOf(follower),
    })
    if (machine?.kind === 'applied') this.#taker = this.#takerOf(machine)
    this.#receiver = new SnapshotReceiver({
      ...{ clock, replica: log.recovered.replicaId, store: machine?.store },
      term: () => subject.term,
      commit: () => subject.commit,
      admits: (replica, node) => subject.admits(replica, node),
      deliver: offer => this.#deliver(offer),
      received: bytes => {
        snapshots.traffic.bytesReceived += bytes
      },
    })
    this.#offerNewest()
  }

  /** The snapshots under way: those that are sent by the replica that gets them. */
  get progress(): { readonly sends: ReadonlyMap<ReplicaId, TransferProgress>; readonly receiving?: TransferProgress } {
    const sends = new Map<ReplicaId, TransferProgress>()
    for (const [replica, { progress }] of this.#sends) if (progress !== undefined) sends.set(replica, progress)
    const receiving = this.#receiver.progress
    return receiving === undefined ? { sends } : { sends, receiving }
  }

  applied(frames: readonly Frame[]): void {
    this.#taker?.applied(frames)
  }

  /** A configuration is in force. */
  configured(change: DatedConfiguration): void {
    this.#trail.applied(change)
  }

  /** A state came from elsewhere, with what is in force there: nothing is known of changes that were not applied before. */
  restored(inForce: DatedConfiguration, appliedBefore: LogIndex): void {
    this.#trail.restored(inForce, appliedBefore)
  }

  /** @throws Error where the state machine takes none */
  async take(): Promise<SnapshotInfo> {
    if (this.#taker === undefined) throw new Error(`group ${this.#options.log.group} takes no snapshots`)
    return await this.#taker.take()
  }

  /** @see GroupHandle.trimLog */
  async trim(index: LogIndex): Promise<LogIndex> {
    const { subject } = this.#options
    if (index > subject.checkpointed && !subject.restoring) await subject.checkpoint()
    return await this.#trimmer.trimTo(Math.min(index, subject.checkpointed))
  }

  /** The role or the term is another one. */
  leadershipChanged(): void {
    if (this.#options.subject.leads) return
    for (const send of this.#sends.values()) send.abort('the leadership ended')
    this.#trimmer.unpin()
  }

  /** The core has a snapshot for a follower. */
  send(message: InstallSnapshot<EntryPayload>): void {
    const { services, subject } = this.#options
    const { to, snapshot } = message
    this.#sends.get(to)?.abort('it was asked for again')
    const pin = this.#trimmer.pin(to, snapshot.index)
    const send = services.snapshots.add({
      toNode: subject.nodeOf(to),
      open: () => this.#open(message),
      ended: end => {
        pin.release()
        if (this.#sends.get(to) !== send) return
        this.#sends.delete(to)
        subject.input({ type: 'snapshotStatus', peer: to, status: end.status })
        if (end.status === 'failed') this.#sendFailed(to, end.reason)
      },
    })
    this.#sends.set(to, send)
  }

  /** The core knows no snapshot that it could send. */
  wanted(): void {
    if (!this.#offerNewest()) this.#offer(this.#options.log.base)
  }

  /** @see TransportHandler.snapshotOffered */
  offered(fromNode: number, offer: SnapshotOffer, answer: (answer: SnapshotAnswer) => void): IncomingSnapshot {
    return this.#receiver.offered(fromNode, offer, answer)
  }

  /** Where the log will stand once that snapshot is installed. @throws Error where it was not received */
  positionOf({ index, term }: Pick<SnapshotMeta, 'index' | 'term'>): SnapshotInfo {
    const info = this.#delivered.get(index)
    if (info?.term === term) return info
    throw new Error(`the snapshot at index ${index} of term ${term} was never received`)
  }

  /** Replaces the state, durably, then the log. A failure halts the replica, and whoever asked hears of it too. */
  async install(meta: SnapshotMeta<EntryPayload>): Promise<void> {
    const { subject } = this.#options
    try {
      const info = this.positionOf(meta)
      await subject.replace(
        () => this.#restore(info),
        () => this.#resetLog(info),
      )
    } catch (error) {
      subject.halt(`a snapshot could not be installed: ${error instanceof Error ? error.message : String(error)}`)
      throw error
    }
    subject.installed()
  }

  /** Stops everything. Resolves when no file is open any more. */
  async close(): Promise<void> {
    for (const send of this.#sends.values()) send.abort('the replica takes no further part')
    await this.#receiver.close()
    await this.#taker?.close()
  }

  async #resetLog(info: SnapshotInfo): Promise<void> {
    const { log, services } = this.#options
    const { contentBytes: _bytes, contentChecksum: _checksum, ...head } = info
    await log.reset({ ...head, voidBelow: 0 })
    this.#trail.restart(info.index, datedAt(info))
    for (const index of this.#delivered.keys()) if (index <= info.index) this.#delivered.delete(index)
    services.snapshots.traffic.installed += 1
    this.#report('info', `installed a snapshot at index ${info.index}`)
  }

  #takerOf(machine: MachineSnapshots): SnapshotTaker {
    const { services, subject } = this.#options
    return new SnapshotTaker({
      ...{ snapshots: machine, limits: services.snapshots.limits, clock: services.clock },
      headAt: index => this.headAt(index),
      mayTake: () => !subject.restoring,
      failed: error => this.#report('warn', `a snapshot failed: ${String(error)}`),
      taken: (info, written) => this.#taken(info, written),
    })
  }

  /** Where the log stood at an applied index; undefined where this replica cannot know. */
  async headAt(index: LogIndex): Promise<SnapshotHead | undefined> {
    const inForce = this.#trail.at(index)
    return inForce && (await baseAt(this.#options.log, index, inForce))
  }

  #taken(info: SnapshotInfo, written: boolean): void {
    const { snapshots } = this.#options.services
    if (written) snapshots.traffic.taken += 1
    this.#offer(info)
    // The state that the next start begins with may be another one than the snapshot: it has to be as far.
    this.trim(info.index - snapshots.limits.trailingEntriesMax).catch((error: unknown) => {
      this.#report('warn', `the log was not trimmed: ${String(error)}`)
    })
  }

  /** Tells the core of the newest snapshot that the log goes on from. @returns whether there is one */
  #offerNewest(): boolean {
    const { machine, log } = this.#options
    const newest = machine?.kind === 'applied' ? machine.store.list()[0] : undefined
    if (newest === undefined || newest.index < log.base.index) return false
    this.#offer(newest)
    return true
  }

  #offer(head: SnapshotHead): void {
    this.#options.subject.input({ type: 'snapshotAvailable', snapshot: metaOf(head) })
  }

  async #open({
    to,
    term,
    snapshot,
  }: InstallSnapshot<EntryPayload>): Promise<{ offer: SnapshotOffer; reader: SnapshotReader }> {
    const { log, subject } = this.#options
    // A trim that was under way knew nothing of the pin: the log would not go on from what was asked for.
    await this.#trimmer.settled()
    if (log.base.index > snapshot.index) throw new Error('the log was being trimmed when it was asked for')
    if (!subject.leads || subject.term !== term) throw new Error('the leadership ended')
    const reader = await this.#reader()
    const { info } = reader
    const from = log.recovered.replicaId
    return { offer: { group: log.group, from, to, term, snapshotId: snapshotId(info), info }, reader }
  }

  /** Opens a snapshot that this log goes on from. */
  async #reader(): Promise<SnapshotReader> {
    const { machine, log } = this.#options
    const born = log.base.index === BIRTH_INDEX
    if (machine === undefined || (machine.kind === 'base' && born)) return birthReader(log)
    if (machine.kind === 'base' && machine.store.list()[0]?.index !== log.base.index) await this.#writeBase(machine)
    const found = await this.#openSnapshot(machine)
    if (found !== undefined) return found
    if (born) return birthReader(log)
    // Those of before the trim are damaged or gone.
    await this.#taker?.take()
    const taken = await this.#openSnapshot(machine)
    if (taken !== undefined) return taken
    throw new Error(`group ${log.group} has no snapshot that its log goes on from`)
  }

  async #openSnapshot({ store }: MachineSnapshots): Promise<SnapshotReader | undefined> {
    const reader = await store.openNewest()
    if (reader !== null && reader.info.index >= this.#options.log.base.index) return reader
    await reader?.close()
    return undefined
  }

  async #writeBase({ view, store }: MachineSnapshots): Promise<void> {
    const { log, subject } = this.#options
    if (subject.restoring) throw new Error('the state is being replaced')
    const { base } = log
    const state = view()
    try {
      if (state.applied.index < base.index) throw new Error('the state is behind the log')
      await writeSnapshot(store, base, state.content())
    } finally {
      state.release()
    }
  }

  #deliver(offer: SnapshotOffer): void {
    const { from, to, term, info } = offer
    this.#delivered.set(info.index, info)
    this.#options.subject.input({
      type: 'message',
      message: { type: 'snapshot', from, to, term, snapshot: metaOf(info) },
    })
  }

  async #restore(info: SnapshotInfo): Promise<AppliedPosition> {
    const { machine } = this.#options
    const position = { index: info.index, term: info.term }
    if (isBirth(info)) return machine?.kind === 'base' ? await machine.restore(info, nothing()) : position
    const reader = await machine?.store.openNewest()
    if (machine === undefined || reader === undefined || reader === null || reader.info.index < info.index) {
      throw new Error(`the snapshot at index ${info.index} was received and cannot be read`)
    }
    try {
      return await machine.restore(reader.info, contentOf(reader))
    } finally {
      await reader.close()
    }
  }

  /** It is tried again with every heartbeat. */
  #sendFailed(to: ReplicaId, reason: string): void {
    const message = `a snapshot for replica ${to} was not sent: ${reason}`
    this.#once.report({ level: 'warn', group: this.#options.log.group, message })
  }

  #report(level: 'info' | 'warn', message: string): void {
    const { services, log } = this.#options
    services.report({ level, group: log.group, message })
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // The state of a group at its birth.
}

/** A snapshot of the log's base where that is the birth of the group: everything else is in the log. */
function birthReader({ group, base }: GroupLog): SnapshotReader {
  if (base.index !== BIRTH_INDEX) throw new Error(`group ${group} has no snapshot that its log goes on from`)
  return {
    info: { ...base, contentBytes: 0, contentChecksum: 0 },
    read: () => Promise.resolve(new Uint8Array(0)),
    close: () => Promise.resolve(),
  }
}

function datedAt(head: SnapshotHead): DatedConfiguration {
  return { index: head.configurationIndex, configuration: decodeGroupConfiguration(head.configuration) }
}

function metaOf({ index, term, configuration, configurationIndex }: SnapshotHead): SnapshotMeta<EntryPayload> {
  return { index, term, configuration: decodeGroupConfiguration(configuration), configurationIndex, payload: null }
}
