/**
 * The part of a replica that turns the crank: feeds the core what the inbox holds, and carries out what the core says.
 *
 * Invariant: what leaves in a message or goes into a write is sealed, and what a response promises is durable, because
 * responses travel inside the write that they depend on.
 */
import type { GroupLog, LogPosition } from '@millrace/log-store'
import {
  type ApplyTask,
  type Input,
  type InstallSnapshot,
  type LogIndex,
  type Message,
  type Output,
  type RaftConfig,
  RaftGroup,
  type ReadState,
  type ReplicaId,
  type SnapshotMeta,
  type SoftState,
  type StepResult,
  type Term,
  type TraceEvent,
} from '@millrace/raft-core'
import { type Frame, FrameKind, frameBytes, framePayload } from '@millrace/record'
import { decodeGroupConfiguration } from './configuration-codec.ts'
import { type EntryPayload, entriesOfFrames } from './entry-frame.ts'
import type { GroupConfiguration } from './group-handle.ts'
import type { GroupInbox } from './group-inbox.ts'
import { type GroupOpening, trimmedTo } from './group-opening.ts'
import { GroupStorage, type Responses } from './group-storage.ts'
import type { HostServices } from './host-services.ts'
import type { GroupCredit } from './inbound-credit.ts'
import type { LogTail } from './log-tail.ts'
import { Quietness } from './quietness.ts'
import type { ReplicaPlaces } from './replica-places.ts'
import { ReportOnce } from './report-once.ts'
import type { GroupMessage } from './transport.ts'

/** Outputs taken in a row; each can lead to another, through responses to itself. */
const OUTPUTS_IN_A_ROW_MAX = 32
/** What an empty entry counts for. */
const OWN_ENTRY_BYTES = frameBytes(0)

/**
 * Durable entries that the core of each group keeps. What it needs beyond that comes from the log's cache, which has one
 * budget for all groups.
 */
const CORE_CACHE_BYTES_MAX = 256 * 1024

/** Of the shortest election timeout: the rest is for clocks that run at different rates, and for a tick. */
const LEASE_SHARE = 0.8

/** Trims are rare, and nothing waits for the core to hear of one. */
const TRIM_CHECK_TURNS = 8

/** What the core says beside messages and writes. */
export interface StepperEffects {
  leadershipChanged(soft: SoftState | undefined, term: Term): void
  /** A follower needs a snapshot. Its end is told by `snapshotStatus`. */
  sendSnapshot(message: InstallSnapshot<EntryPayload>): void
  /** A follower needs one, and the core knows none. */
  snapshotWanted(): void
  /** Where the log will stand once that snapshot is installed. */
  positionOf(snapshot: SnapshotMeta<EntryPayload>): LogPosition
  /** Replaces state and log by a snapshot that was received. */
  install(snapshot: SnapshotMeta<EntryPayload>): Promise<void>
  committed(task: ApplyTask<EntryPayload>): void
  readAnswered(read: ReadState): void
  /** An entry that is needed cannot be read; a leader cannot go on for that peer, or not at all. */
  missed(): void
  /** Nobody waits for something that only ticks would end. */
  mayRest(): boolean
  /** It takes no ticks from now on, or takes them again. */
  rests(resting: boolean): void
}

export interface GroupStepperOptions {
  readonly services: HostServices
  readonly log: GroupLog
  readonly opening: GroupOpening
  readonly inbox: GroupInbox
  readonly places: ReplicaPlaces
  readonly credit: GroupCredit
  readonly effects: StepperEffects
  /** Asks for a part in the next turn. */
  readonly wake: () => void
}

export class GroupStepper {
  readonly #options: GroupStepperOptions
  readonly #replica: number
  readonly #core: RaftGroup<EntryPayload>
  readonly #tail: LogTail
  readonly #storage: GroupStorage
  readonly #once: ReportOnce
  readonly #quietness: Quietness
  #turnsWithTicks = 0
  /** Base of the log as the core knows it. */
  #baseIndex: LogIndex

  constructor(options: GroupStepperOptions) {
    const { services, log, opening, inbox, places } = options
    const { electionTimeoutMinMs, heartbeatMs } = services.timing
    this.#options = options
    this.#replica = log.recovered.replicaId
    this.#once = new ReportOnce(event => services.report(event))
    this.#tail = opening.tail
    this.#baseIndex = opening.initial.base.index
    const config = {
      id: this.#replica,
      electionTicks: Math.max(2, Math.round(electionTimeoutMinMs / heartbeatMs)),
      heartbeatTicks: 1,
      stepDownOnRemoval: true,
      ownEntryBytes: OWN_ENTRY_BYTES,
      cacheBytesMax: CORE_CACHE_BYTES_MAX,
      trace: (event: TraceEvent) => {
        if (event.type === 'certain') this.#storage.certain()
        else if (event.type === 'entryMissed') options.effects.missed()
      },
      ...leaseOf(opening.configuration, electionTimeoutMinMs),
    }
    this.#core =
      services.createCore?.(log.group, config, opening.initial, services.randomInt) ??
      new RaftGroup(config, opening.initial, services.randomInt)
    const subject = {
      ...{ group: log.group, replica: this.#replica, ...options.effects, isConnected: services.isConnected },
      status: () => this.#core.status(),
      step: (input: Input<EntryPayload>) => this.#core.step(input),
      nodeOf: (replica: ReplicaId) => places.nodeOf(replica),
    }
    this.#quietness = new Quietness(subject, services.quiet)
    this.#storage = new GroupStorage({
      services,
      log,
      tail: opening.tail,
      places,
      ballot: opening.initial.hardState,
      commit: opening.initial.hardState.commit,
      credit: options.credit,
      positionOf: snapshot => options.effects.positionOf(snapshot),
      install: snapshot => {
        this.#baseIndex = snapshot.index
        return options.effects.install(snapshot)
      },
      released: responses => inbox.release(responses),
      damaged: () => options.effects.missed(),
      input: input => inbox.input(input),
    })
  }

  /** No write of this group is under way. */
  get idle(): boolean {
    return this.#storage.idle
  }

  /** The core has something to say. */
  get hasOutput(): boolean {
    return this.#core.hasOutput()
  }

  /** As the core last gave it out to be stored. */
  get commit(): LogIndex {
    return this.#storage.commit
  }

  /** Offset after the last record of the log, what is not durable included. */
  get nextOffset(): number {
    return this.#tail.nextOffset
  }

  holdsLease(nowMs: number): boolean {
    return this.#core.leaseValid(nowMs)
  }

  status(): ReturnType<RaftGroup['status']> {
    return this.#core.status()
  }

  get quietness(): Quietness {
    return this.#quietness
  }

  step(input: Input<EntryPayload>): StepResult {
    this.#quietness.disturb()
    return this.#core.step(input)
  }

  /** Steps everything that waits. @returns the ticks among it */
  stepInbox(nowMs: number): number {
    const { inbox } = this.#options
    for (const responses of inbox.takeReleased()) this.deliver(responses)
    const ticks = inbox.takeTicks()
    if (ticks > 0 && this.#quietness.rests) this.#quietness.disturb()
    for (let i = 0; i < ticks; i++) this.#core.step({ type: 'tick', nowMs })
    for (const input of inbox.takeInputs()) this.step(input)
    for (const message of inbox.takeMessages()) this.#stepMessage(message as Message<EntryPayload>)
    if (ticks > 0) this.#ticked()
    return ticks
  }

  #ticked(): void {
    this.#quietness.ticked()
    this.#turnsWithTicks += 1
    if (this.#turnsWithTicks % TRIM_CHECK_TURNS === 0) this.#noticeTrim()
  }

  /** Who trims the log does so in the store; the core hears of it here, once its log is durable that far. */
  #noticeTrim(): void {
    const { base } = this.#options.log
    if (base.index <= this.#baseIndex || base.index > this.#core.status().durableIndex) return
    this.#baseIndex = base.index
    this.#core.step(trimmedTo(base))
  }

  /** Carries out what the core says, until it has nothing more to say or the turn is long enough. */
  drain(): void {
    for (let i = 0; this.#core.hasOutput(); i++) {
      if (i === OUTPUTS_IN_A_ROW_MAX) {
        this.#options.wake()
        return
      }
      this.#carryOut(this.#core.takeOutput())
    }
  }

  /** Entries can be read that could not: what joins them is known, and the core hears what they say in the next turn. */
  filled(frames: readonly Frame[]): void {
    const { inbox, places } = this.#options
    this.#tail.fill(frames)
    const terms: { first: LogIndex; term: Term }[] = []
    const changes = frames.filter(({ header }) => header.kind === FrameKind.configuration)
    for (const { header } of frames) {
      if (terms.at(-1)?.term !== header.term) terms.push({ first: header.index, term: header.term })
    }
    for (const frame of changes) places.learn(decodeGroupConfiguration(framePayload(frame)))
    const [first, last] = [frames[0]!.header.index, frames.at(-1)!.header.index]
    inbox.input({ type: 'holeFilled', first, last, terms, configurations: entriesOfFrames(changes) })
  }

  /** Responses that may leave: to this replica itself by `step`, to others by the network. */
  deliver(responses: Responses): void {
    for (const message of responses) {
      if (message.to === this.#replica) this.#core.step({ type: 'message', message })
      else this.#post(message)
    }
  }

  #stepMessage(message: Message<EntryPayload>): void {
    this.#quietness.hears(message)
    if (message.type !== 'append' || message.entries.length === 0) {
      this.#core.step({ type: 'message', message })
      this.#quietness.heard(message)
      return
    }
    const fault = this.#tail.check(message.prevIndex, message.prevTerm, message.entries)
    if (fault !== undefined) {
      const { services, log } = this.#options
      const dropped = `dropped an append of replica ${message.from}: ${fault}`
      services.report({ level: 'error', group: log.group, message: dropped })
      return
    }
    this.#core.step({ type: 'message', message })
    // The next message may continue this one: the tail has to know what was accepted.
    this.drain()
  }

  #carryOut(output: Output<EntryPayload>): void {
    const { effects } = this.#options
    const ready = output.append === undefined ? [] : this.#storage.store(output.append)
    effects.leadershipChanged(output.soft, this.#storage.term)
    for (const message of output.messages) this.#post(message)
    if (output.apply !== undefined) effects.committed(output.apply)
    for (const request of output.fetch) this.#storage.fetch(request)
    for (const read of output.reads) effects.readAnswered(read)
    if (output.snapshotWanted === true) effects.snapshotWanted()
    this.deliver(ready)
  }

  #post(message: Message<EntryPayload>): void {
    const { services, places, log, inbox, effects } = this.#options
    const node = places.nodeOf(message.to)
    if (message.type === 'snapshot' && node !== 0) {
      effects.sendSnapshot(message)
    } else if (node === 0) {
      if (message.type === 'snapshot') inbox.input({ type: 'snapshotStatus', peer: message.to, status: 'failed' })
      this.#warnOnce(`replica ${message.to} has no known node: its messages are dropped`)
    } else {
      // Entries that leave were sealed when their append task was stored, earlier in this very turn or before.
      const quiet = this.#quietness.markFor(message)
      services.post(node, { group: log.group, message, ...(quiet !== undefined && { quiet }) } as GroupMessage)
    }
  }

  #warnOnce(message: string): void {
    this.#once.report({ level: 'warn', group: this.#options.log.group, message })
  }
}

function leaseOf({ leaseReads }: GroupConfiguration, electionTimeoutMinMs: number): Partial<RaftConfig> {
  return leaseReads === true ? { readMode: 'lease', leaseMs: LEASE_SHARE * electionTimeoutMinMs } : {}
}
