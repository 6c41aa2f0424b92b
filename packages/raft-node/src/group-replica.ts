/**
 * One replica of one group in the turn loop: takes what arrived, steps the core, seals and stores entries, and posts
 * messages.
 *
 * Nothing here reacts at once: whatever arrives waits in the inbox for the next turn, except proposals, whose answer is
 * immediate and whose consequences wait too. Invariant: what leaves in a message or goes into a write is sealed, and
 * what a response promises is durable, because responses travel inside the write that they depend on.
 */
import type { GroupLog } from '@millrace/log-store'
import { type Message, NONE, type Output, RaftGroup, type StepResult } from '@millrace/raft-core'
import { type Frame, type FrameBody, FrameKind, frameBytes, framePayload, MillraceError } from '@millrace/record'
import { decodeGroupConfiguration } from './configuration-codec.ts'
import type { EntryPayload } from './entry-frame.ts'
import { Failover } from './failover.ts'
import { GroupApplier } from './group-applier.ts'
import type { GroupConfiguration, GroupObserver, ProposalWaiter, ProposeResult } from './group-handle.ts'
import { GroupInbox } from './group-inbox.ts'
import type { GroupOpening } from './group-opening.ts'
import { GroupStorage, type Responses } from './group-storage.ts'
import type { HostServices } from './host-services.ts'
import { Leadership } from './leadership.ts'
import type { LogTail } from './log-tail.ts'
import { ReadRequests } from './read-requests.ts'
import { ReplicaPlaces } from './replica-places.ts'
import { ReportOnce } from './report-once.ts'
import type { StateMachine } from './state-machine.ts'
import type { GroupMessage } from './transport.ts'

/** Outputs taken in a row; each can lead to another, through responses to itself. */
const OUTPUTS_IN_A_ROW_MAX = 32
/** What an empty entry counts for. */
const OWN_ENTRY_BYTES = frameBytes(0)

export interface GroupReplicaOptions {
  readonly services: HostServices
  readonly log: GroupLog
  readonly machine: StateMachine
  readonly opening: GroupOpening
  /** Asks for a part in the next turn. */
  readonly wake: (replica: GroupReplica) => void
}

export class GroupReplica {
  readonly group: number
  readonly replica: number
  readonly log: GroupLog
  readonly places: ReplicaPlaces = new ReplicaPlaces()
  readonly leadership: Leadership
  readonly reads: ReadRequests
  readonly failover: Failover
  readonly applier: GroupApplier
  /** For the turn loop: it has a part in the next turn. */
  awake = false
  /** Takes no more proposals: the node is stopping. */
  draining = false
  readonly #services: HostServices
  readonly #core: RaftGroup<EntryPayload>
  readonly #tail: LogTail
  readonly #storage: GroupStorage
  readonly #inbox: GroupInbox
  readonly #once: ReportOnce
  readonly #wake: () => void
  readonly #observers = new Set<GroupObserver>()
  #campaignDue = false
  #configuration: GroupConfiguration
  #halted: string | undefined

  constructor(options: GroupReplicaOptions) {
    const { services, log, machine, opening } = options
    this.#services = services
    this.log = log
    this.group = log.group
    this.replica = log.recovered.replicaId
    this.#wake = () => options.wake(this)
    this.#configuration = opening.configuration
    for (const configuration of [opening.configuration, ...opening.unapplied]) this.places.learn(configuration)
    this.#inbox = new GroupInbox({ replica: this.replica, places: this.places, wake: this.#wake })
    this.#once = new ReportOnce(event => services.report(event))
    this.#tail = opening.tail
    this.#core = new RaftGroup(this.#coreConfig(), opening.initial, services.randomInt)
    const { hardState, applied } = opening.initial
    this.#storage = new GroupStorage({
      services,
      log,
      tail: opening.tail,
      places: this.places,
      ballot: hardState,
      commit: hardState.commit,
      released: responses => this.#inbox.release(responses),
      input: input => this.#inbox.input(input),
    })
    this.leadership = new Leadership(hardState.term, event => machine.leadership(event))
    this.reads = new ReadRequests(services.randomInt)
    this.applier = new GroupApplier(machine, applied)
    this.failover = new Failover(services, this.#failoverSubject())
  }

  #coreConfig(): ConstructorParameters<typeof RaftGroup>[0] {
    const { electionTimeoutMinMs, heartbeatMs } = this.#services.timing
    return {
      id: this.replica,
      electionTicks: Math.max(2, Math.round(electionTimeoutMinMs / heartbeatMs)),
      heartbeatTicks: 1,
      stepDownOnRemoval: true,
      ownEntryBytes: OWN_ENTRY_BYTES,
    }
  }

  get halted(): string | undefined {
    return this.#halted
  }

  get configuration(): GroupConfiguration {
    return this.#configuration
  }

  get leaderNode(): number {
    return this.leadership.leader === NONE ? 0 : this.places.nodeOf(this.leadership.leader)
  }

  /** Nothing of this group is on its way to the disk or to the state machine, and nobody waits for a proposal. */
  get idle(): boolean {
    const pending = !this.#storage.idle || this.applier.hasWork || this.leadership.pendingProposals > 0
    return this.#halted !== undefined || !pending
  }

  status(): ReturnType<RaftGroup['status']> {
    return this.#core.status()
  }

  observe(observer: GroupObserver): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  /** A message of a peer, for the next turn. */
  receive(fromNode: number, message: Message<Frame>): void {
    const refusal = this.#inbox.receive(fromNode, message)
    if (refusal !== undefined) this.#reportOnce('warn', `dropped a message of node ${fromNode}: ${refusal}`)
  }

  tick(): void {
    this.#inbox.tick()
  }

  /** Messages to a node were lost, or its connection is gone. */
  unreachable(node: number): void {
    if (this.leadership.role !== 'leader') return
    for (const peer of this.places.replicasOn(node)) this.#inbox.input({ type: 'unreachable', peer })
  }

  /** The process that ran as `node` is gone. */
  nodeGone(node: number): void {
    if (this.#halted !== undefined || this.leaderNode !== node || node === this.#services.nodeId) return
    if (!this.failover.takesEvidence) return
    this.#inbox.input({ type: 'forgetLeader' })
    this.failover.leaderGone(node)
  }

  propose(body: FrameBody, waiter: ProposalWaiter): ProposeResult {
    if (this.#halted !== undefined) return dropped('halted', this.#halted)
    if (this.draining) return dropped('transferring', 'the node is stopping')
    if (!this.leadership.leading && this.leadership.role === 'leader') {
      return dropped('starting', 'the leader has not applied the first entry of its term yet')
    }
    if (body.kind === FrameKind.records && !this.#services.store.acceptsAppends) {
      return dropped('diskFull', 'the disk reserve is reached')
    }
    const proposed = { size: frameBytes(body.payload.length), payload: body }
    const result = this.#core.step({ type: 'propose', entries: [proposed] })
    if (result.type === 'ok') return dropped('notLeader', 'the proposal was passed on')
    if (result.type === 'dropped') return result
    this.#wake()
    const { index, term } = result
    return {
      type: 'accepted',
      index,
      term,
      baseOffset: this.leadership.accepted(index, term, body.recordCount, waiter),
    }
  }

  transferTo(replica: number): StepResult {
    if (this.leadership.role !== 'leader') {
      return { type: 'dropped', reason: 'notLeader', leader: this.leadership.leader, message: 'not the leader' }
    }
    const result = this.#core.step({ type: 'transferLeader', target: replica })
    this.#wake()
    return result
  }

  readIndex(): Promise<number> {
    if (this.#halted !== undefined) return Promise.reject(this.#closedError(this.#halted))
    this.#wake()
    return this.reads.readIndex()
  }

  /** Takes this group's part in a turn: everything up to what is posted and stored. */
  turn(): void {
    if (this.#halted !== undefined) return
    this.#guard('consensus failed', () => {
      this.#stepAll()
      this.#drain()
    })
  }

  /** Applies one batch of committed entries. @returns bytes of the batch */
  apply(): number {
    if (this.#halted !== undefined) return 0
    let bytes = 0
    this.#guard('the state machine failed', () => {
      const task = this.applier.next((frames, results) => this.#applied(frames, results))
      if (task === undefined) return
      for (const entry of task.entries) bytes += entry.size
      this.#deliver(task.responses)
      if (this.#core.hasOutput() || this.applier.hasWork) this.#wake()
    })
    return bytes
  }

  /** Stops taking part for good. Other groups of the node go on. */
  halt(reason: string): void {
    if (this.#halted !== undefined) return
    this.#services.report({ level: 'error', group: this.group, message: `replica halted: ${reason}` })
    this.#end(reason, false)
    this.#notify('halted')
  }

  /** Ends the replica in good order. */
  close(reason: string): void {
    if (this.#halted === undefined) this.#end(reason, true)
  }

  #end(reason: string, machineToo: boolean): void {
    this.#halted = reason
    this.failover.stop()
    this.#inbox.close()
    this.leadership.close(reason, machineToo)
    this.reads.close(this.#closedError(reason))
  }

  #stepAll(): void {
    for (const responses of this.#inbox.takeReleased()) this.#deliver(responses)
    this.#stepTicks()
    for (const input of this.#inbox.takeInputs()) this.#core.step(input)
    this.#stepReceived()
    this.#stepCampaign()
    const { clock, timing } = this.#services
    this.reads.flush(
      context => this.#core.step({ type: 'readIndex', context }),
      clock.monotonicMs() + timing.electionTimeoutMinMs,
    )
  }

  /** Campaigns if this is still called for after all that arrived in this turn. */
  #stepCampaign(): void {
    if (!this.#campaignDue) return
    this.#campaignDue = false
    this.#drain()
    const { leader, role } = this.leadership
    if (leader === NONE && role !== 'leader') this.#core.step({ type: 'campaign' })
  }

  #stepTicks(): void {
    const ticks = this.#inbox.takeTicks()
    if (ticks === 0) return
    const nowMs = this.#services.clock.monotonicMs()
    for (let i = 0; i < ticks; i++) this.#core.step({ type: 'tick', nowMs })
    this.leadership.expire(nowMs)
    this.reads.expire(nowMs)
  }

  #stepReceived(): void {
    for (const message of this.#inbox.takeMessages()) {
      if (message.type !== 'append' || message.entries.length === 0) {
        this.#core.step({ type: 'message', message })
        continue
      }
      const fault = this.#tail.check(message.prevIndex, message.prevTerm, message.entries)
      if (fault === undefined) {
        this.#core.step({ type: 'message', message })
        // The next message may continue this one: the tail has to know what was accepted.
        this.#drain()
      } else {
        this.#report('error', `dropped an append of replica ${message.from}: ${fault}`)
      }
    }
  }

  #drain(): void {
    for (let i = 0; this.#core.hasOutput(); i++) {
      if (i === OUTPUTS_IN_A_ROW_MAX) {
        this.#wake()
        return
      }
      this.#carryOut(this.#core.takeOutput())
    }
  }

  #carryOut(output: Output<EntryPayload>): void {
    const ready = output.append === undefined ? [] : this.#storage.store(output.append)
    this.#leadershipChanged(output)
    for (const message of output.messages) this.#post(message)
    if (output.apply !== undefined) this.applier.add(output.apply)
    for (const request of output.fetch) this.#storage.fetch(request)
    for (const read of output.reads) this.reads.answered(read)
    if (output.snapshotWanted === true)
      this.#reportOnce('warn', 'a follower needs a snapshot, which this version cannot send')
    this.#deliver(ready)
  }

  #leadershipChanged({ soft }: Output<EntryPayload>): void {
    const { clock, timing } = this.#services
    const expireAtMs = clock.monotonicMs() + 2 * timing.electionTimeoutMinMs
    if (this.leadership.update(soft, this.#storage.term, expireAtMs)) this.#leaderNews()
  }

  #leaderNews(): void {
    const { role, term, leading } = this.leadership
    if (this.leadership.leader === NONE) this.failover.connectivity()
    else this.failover.leaderKnown()
    this.#services.report({
      level: 'info',
      group: this.group,
      message: `${role} in term ${term}`,
      details: { leaderNode: this.leaderNode, leading },
    })
    this.#notify('leader')
    // What a dead leader had sent may be read after its death was seen.
    if (this.#services.isGone(this.leaderNode)) this.nodeGone(this.leaderNode)
  }

  /** Responses that may leave: to this replica itself by `step`, to others by the network. */
  #deliver(responses: Responses): void {
    for (const message of responses) {
      if (message.to === this.replica) this.#core.step({ type: 'message', message })
      else this.#post(message)
    }
  }

  #post(message: Message<EntryPayload>): void {
    const node = this.places.nodeOf(message.to)
    if (message.type === 'snapshot') {
      this.#reportOnce(
        'warn',
        `replica ${message.to} on node ${node} is behind this log's base: it needs a snapshot, which this version cannot send`,
      )
      this.#inbox.input({ type: 'snapshotStatus', peer: message.to, status: 'failed' })
      return
    }
    if (node === 0) {
      this.#reportOnce('warn', `replica ${message.to} has no known node: its messages are dropped`)
      return
    }
    // Entries that leave were sealed when their append task was stored, earlier in this very turn or before.
    this.#services.post(node, { group: this.group, message } as GroupMessage)
  }

  #applied(frames: readonly Frame[], results: readonly unknown[] | undefined): void {
    const last = frames[frames.length - 1]!.header
    for (const frame of frames) if (frame.header.kind === FrameKind.configuration) this.#configured(frame)
    if (this.leadership.appliedTerm(last.term, this.#tail.nextOffset)) this.#leaderNews()
    if (this.leadership.pendingProposals > 0) {
      for (let i = 0; i < frames.length; i++) this.leadership.applied(frames[i]!, results?.[i])
    }
    this.reads.applied(last.index)
  }

  #configured(frame: Frame): void {
    this.#configuration = decodeGroupConfiguration(framePayload(frame))
    this.#notify('configuration')
  }

  #failoverSubject(): ConstructorParameters<typeof Failover>[1] {
    const self = this
    return {
      group: this.group,
      replica: this.replica,
      get term() {
        return self.leadership.term
      },
      get leaderless() {
        const { role, leader } = self.leadership
        return self.#halted === undefined && leader === NONE && role !== 'leader'
      },
      get voting() {
        return self.leadership.role === 'candidate'
      },
      get configuration() {
        return self.#configuration
      },
      get leaderNode() {
        return self.leaderNode
      },
      nodeOf: replica => this.places.nodeOf(replica),
      campaign: forget => {
        if (forget) this.#inbox.input({ type: 'forgetLeader' })
        this.#campaignDue = true
        this.#wake()
      },
    }
  }

  #guard(what: string, run: () => void): void {
    try {
      run()
    } catch (error) {
      this.halt(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  #closedError(reason: string): MillraceError {
    return new MillraceError('PARTITION_HALTED', `group ${this.group} takes no part: ${reason}`)
  }

  #notify(type: 'leader' | 'halted' | 'configuration'): void {
    for (const observer of this.#observers) observer({ type })
  }

  #report(level: 'info' | 'warn' | 'error', message: string): void {
    this.#services.report({ level, group: this.group, message })
  }

  #reportOnce(level: 'warn' | 'error', message: string): void {
    this.#once.report({ level, group: this.group, message })
  }
}

function dropped(reason: Extract<ProposeResult, { type: 'dropped' }>['reason'], message: string): ProposeResult {
  return { type: 'dropped', reason, message }
}
