/** What the exchange of states with other replicas sees of its own replica, and does to it. */
import type { GroupLog, Hole, SnapshotInfo, SnapshotReader, SnapshotSink, SnapshotStore } from '@millrace/log-store'
import { MemorySnapshotStore } from '@millrace/log-store/memory'
import type { HoleRange, LogIndex } from '@millrace/raft-core'
import { FrameKind, frameBytes } from '@millrace/record'
import { decodeGroupConfiguration } from './configuration-codec.ts'
import { DamageSurrender } from './damage-surrender.ts'
import { plainBody } from './entry-frame.ts'
import type { GroupApplier } from './group-applier.ts'
import type { GroupConfiguration } from './group-handle.ts'
import type { GroupInbox } from './group-inbox.ts'
import type { GroupSnapshots } from './group-snapshots.ts'
import type { GroupStepper } from './group-stepper.ts'
import type { HostServices } from './host-services.ts'
import type { Leadership } from './leadership.ts'
import type { MachineSnapshots } from './machine-snapshots.ts'
import type { ReadRequests } from './read-requests.ts'
import type { ReplicaPlaces } from './replica-places.ts'
import { contentOf } from './snapshot-content.ts'
import { SnapshotReceiver } from './snapshot-receiver.ts'
import { StateFetch } from './state-fetch.ts'
import { StateServer } from './state-server.ts'

/** How long an operator waits for what is given up to be committed. */
const SURRENDER_MS = 20_000

/** The replica itself. */
export interface StateSubject {
  readonly replica: number
  readonly halted: string | undefined
  readonly places: ReplicaPlaces
  readonly leadership: Leadership
  readonly applier: GroupApplier
  readonly reads: ReadRequests
  readonly snapshots: GroupSnapshots
  readonly configuration: GroupConfiguration
  readonly configurationIndex: LogIndex
}

export interface StateParts {
  readonly services: HostServices
  readonly log: GroupLog
  readonly inbox: GroupInbox
  readonly stepper: GroupStepper
  /** The state machine can go on without entries. */
  readonly canPassLost: boolean
  readonly configured: (configuration: GroupConfiguration, index: LogIndex) => void
  readonly wake: () => void
}

/** Both ends of the exchange of one replica. */
export class ReplicaState {
  readonly fetch: StateFetch
  readonly server: StateServer
  /** Entries that nobody has, given up by an operator. */
  readonly surrender: DamageSurrender
  readonly #subject: StateSubject
  readonly #parts: StateParts
  readonly #machine: MachineSnapshots | undefined
  /** What is received, until the state is made of it. */
  readonly #held = new HeldSnapshots()
  #unhelped: readonly HoleRange[] = []

  constructor(subject: StateSubject, parts: StateParts, machine: MachineSnapshots | undefined) {
    const { services, log } = parts
    const { applier, places, snapshots } = subject
    const { report } = services
    this.#subject = subject
    this.#parts = parts
    this.#machine = machine
    this.fetch = new StateFetch({
      ...{ log, clock: services.clock, budget: services.repairs, report, ask: services.fetchState },
      least: () => this.#least(),
      isMissing: () => applier.missing && !applier.replacing,
      applied: () => applier.applied,
      peers: () => places.known.filter(({ replica }) => replica !== subject.replica),
      isConnected: services.isConnected,
      receiver: this.#receiver(),
      restore: info => this.#restore(info),
    })
    this.surrender = new DamageSurrender({
      ...{ log, clock: services.clock, patienceMs: SURRENDER_MS },
      hole: () => this.#holeAhead(),
      commit: () => parts.stepper.status().commit,
      applied: () => applier.applied,
      leads: () => subject.leadership.role === 'leader',
      hidesConfiguration: () => parts.stepper.status().hidesConfiguration,
      peers: () => places.known.filter(({ replica }) => replica !== subject.replica),
      askFrames: async ({ replica, node }, { before, last }) => {
        const envelope = { group: log.group, from: subject.replica, to: replica }
        const { index, term, chain } = last
        const range = { first: before.index + 1, last: { index, term, chain }, bytesMax: 1 }
        return (await services.fetchFrames(node, { ...envelope, ...range })).status
      },
      askState: ({ replica, node }, least) =>
        services.fetchState(node, { group: log.group, from: subject.replica, to: replica, least }),
      propose: payload => this.#propose(payload),
      pass: (hole, givenUpAt) => this.#pass(hole, givenUpAt),
    })
    this.server = new StateServer({
      ...{ log, machine, sends: services.snapshots, report },
      term: () => subject.leadership.term,
      applied: () => applier.applied,
      restoring: () => applier.restoring || subject.halted !== undefined,
      admits: (replica, node) => places.admits(replica, node),
      headAt: index => snapshots.headAt(index),
      take: () => snapshots.take(),
      sent: () => {
        services.repairs.traffic.statesServed += 1
      },
    })
  }

  /** Of a replica that is open: its state may be missing from the start. */
  start(): void {
    this.fetch.look()
  }

  /** Nobody who could be asked has the entries of these holes. */
  holesUnhelped(holes: readonly HoleRange[]): void {
    this.#unhelped = holes
    this.fetch.look()
    this.surrender.lookAhead().catch((error: unknown) => {
      const message = `the log was not searched for what is given up: ${String(error)}`
      this.#parts.services.report({ level: 'warn', group: this.#parts.log.group, message })
    })
  }

  /** The hole that apply has come to, all of it committed. */
  #holeAhead(): Hole | undefined {
    const { applier, halted } = this.#subject
    const { log, stepper, canPassLost } = this.#parts
    if (halted !== undefined || !canPassLost || applier.restoring) return undefined
    const { commit } = stepper.status()
    return log.holes.find(({ before, last }) => before.index === applier.applied && last.index <= commit)
  }

  #propose(payload: Uint8Array): LogIndex | string {
    const { stepper, wake } = this.#parts
    const entry = { size: frameBytes(payload.length), payload: plainBody(FrameKind.lostRange, payload) }
    const result = stepper.step({ type: 'propose', entries: [entry] })
    wake()
    if (result.type === 'accepted') return result.index
    return result.type === 'dropped' ? result.message : 'the proposal was passed on'
  }

  #pass({ before, last }: Hole, givenUpAt: LogIndex): void {
    const { applier, leadership, reads, configuration, configurationIndex } = this.#subject
    const { services, log, inbox, wake } = this.#parts
    const { index, term, nextOffset } = last
    applier.pass({ index, term, nextOffset }, givenUpAt)
    inbox.input({ type: 'stateRestored', state: { index, term, configuration, configurationIndex } })
    leadership.overtaken()
    reads.applied(applier.applied)
    const message = `entries ${before.index + 1} to ${index} are passed over: entry ${givenUpAt} gives them up`
    services.report({ level: 'error', group: log.group, message })
    wake()
  }

  async close(): Promise<void> {
    this.server.close()
    await this.fetch.close()
  }

  /** Up to where another state has to be, to be of use here; undefined: none is. */
  #least(): LogIndex | undefined {
    const { applier, leadership, halted } = this.#subject
    const { log } = this.#parts
    if (halted !== undefined || this.#machine === undefined || applier.replacing) return undefined
    if (applier.missing) return log.base.index
    const { applied } = applier
    const hole = log.holes.find(({ before, last }) => before.index <= applied && applied < last.index)
    if (hole === undefined || leadership.leading) return undefined
    const isUnhelped = this.#unhelped.some(({ first, last }) => first <= hole.last.index && hole.before.index < last)
    return isUnhelped ? hole.last.index : undefined
  }

  get #store(): SnapshotStore {
    // Of the other kind, those on the disk are of the log's base, and followers are sent the newest of them.
    return this.#machine?.kind === 'applied' ? this.#machine.store : this.#held
  }

  #receiver(): SnapshotReceiver {
    const { replica, places } = this.#subject
    const { clock, snapshots, repairs } = this.#parts.services
    return new SnapshotReceiver({
      ...{ clock, replica, store: this.#store },
      // Who leads, and what is committed here, does not matter: the log stays as it is.
      term: () => 0,
      commit: () => 0,
      admits: (from, node) => places.admits(from, node),
      deliver: ({ from, info }) => this.fetch.arrived(places.nodeOf(from), info),
      received: bytes => {
        snapshots.traffic.bytesReceived += bytes
        repairs.traffic.stateBytesFetched += bytes
      },
    })
  }

  async #restore(wanted: SnapshotInfo): Promise<void> {
    const { applier } = this.#subject
    const appliedBefore = applier.applied
    const machine = this.#machine!
    let restored: SnapshotInfo = wanted
    try {
      await applier.replace(
        async () => {
          const reader = await this.#open(wanted)
          try {
            restored = reader.info
            const position = await machine.restore(restored, contentOf(reader))
            if (position.index === restored.index && position.term === restored.term) return position
            throw new Error(`a state of entry ${restored.index} has become one of entry ${position.index}`)
          } finally {
            await reader.close()
          }
        },
        async () => undefined,
      )
    } finally {
      this.#held.drop()
    }
    this.#restored(restored, appliedBefore)
  }

  async #open(wanted: SnapshotInfo): Promise<SnapshotReader> {
    const reader = await this.#store.openNewest()
    if (reader !== null && reader.info.index >= wanted.index) return reader
    await reader?.close()
    throw new Error(`the state at index ${wanted.index} was received and cannot be read`)
  }

  #restored(info: SnapshotInfo, appliedBefore: LogIndex): void {
    const { leadership, reads, applier, halted, places, snapshots } = this.#subject
    const { services, inbox, configured, wake } = this.#parts
    if (halted !== undefined) return
    const { index, term, configurationIndex } = info
    const configuration = decodeGroupConfiguration(info.configuration)
    services.repairs.traffic.statesFetched += 1
    this.#unhelped = []
    inbox.input({ type: 'stateRestored', state: { index, term, configuration, configurationIndex } })
    snapshots.restored({ index: configurationIndex, configuration }, appliedBefore)
    places.learn(configuration)
    configured(configuration, configurationIndex)
    leadership.overtaken()
    reads.applied(applier.applied)
    wake()
  }
}

/** One snapshot in memory, for as long as it is needed. */
class HeldSnapshots implements SnapshotStore {
  #store = new MemorySnapshotStore(1)

  list(): readonly SnapshotInfo[] {
    return this.#store.list()
  }

  create(head: Parameters<SnapshotStore['create']>[0]): Promise<SnapshotSink> {
    return this.#store.create(head)
  }

  openNewest(): Promise<SnapshotReader | null> {
    return this.#store.openNewest()
  }

  drop(): void {
    this.#store = new MemorySnapshotStore(1)
  }
}
