/**
 * One replica of one group: what the node, the layers above and its timers may ask of it.
 *
 * Nothing here reacts at once: whatever arrives waits in the inbox for the next turn, except proposals, whose answer is
 * immediate and whose consequences wait too. A failure of the core or of the state machine halts this replica for good
 * and no other.
 */
import type { GroupLog } from '@millrace/log-store'
import { type LogIndex, NONE, type ReplicaId, type SoftState, type StepResult, type Term } from '@millrace/raft-core'
import { type Frame, framePayload, MillraceError } from '@millrace/record'
import { busyAnswer } from './busy-answer.ts'
import { decodeGroupConfiguration } from './configuration-codec.ts'
import { Failover, type FailoverSubject } from './failover.ts'
import { GroupApplier } from './group-applier.ts'
import type { GroupConfiguration, GroupObserver } from './group-handle.ts'
import { GroupInbox } from './group-inbox.ts'
import type { GroupOpening } from './group-opening.ts'
import { GroupProposals } from './group-proposals.ts'
import { GroupSnapshots } from './group-snapshots.ts'
import { GroupStepper } from './group-stepper.ts'
import type { HoleRepair } from './hole-repair.ts'
import type { HostServices } from './host-services.ts'
import type { GroupCredit } from './inbound-credit.ts'
import { Leadership } from './leadership.ts'
import { losesVote } from './loses-vote.ts'
import { haltedError } from './proposal-refusals.ts'
import { ReadRequests } from './read-requests.ts'
import { RepairedLog } from './repaired-log.ts'
import { ReplicaPlaces } from './replica-places.ts'
import { repairOf } from './replica-repair.ts'
import { ReplicaState } from './replica-state.ts'
import { ReportOnce } from './report-once.ts'
import { snapshotSubject } from './snapshot-subject.ts'
import type { StateMachine } from './state-machine.ts'
import type { GroupMessage } from './transport.ts'

export interface GroupReplicaOptions {
  readonly services: HostServices
  readonly log: GroupLog
  readonly machine: StateMachine
  readonly opening: GroupOpening
  /** Asks for a part in the next turn. */
  readonly wake: (replica: GroupReplica) => void
  /** It is to get no ticks from now on, or to get them again. */
  readonly rests: (replica: GroupReplica, resting: boolean) => void
}

export class GroupReplica implements FailoverSubject {
  readonly group: number
  readonly replica: number
  /** Reads of it wait for repairs. */
  readonly log: GroupLog
  readonly storedLog: GroupLog
  readonly places: ReplicaPlaces
  readonly leadership: Leadership
  readonly proposals: GroupProposals
  readonly reads: ReadRequests
  readonly failover: Failover
  readonly applier: GroupApplier
  readonly snapshots: GroupSnapshots
  readonly repair: HoleRepair
  readonly state: ReplicaState
  /** For the turn loop: it has a part in the next turn. */
  awake = false
  readonly #services: HostServices
  readonly #stepper: GroupStepper
  readonly #inbox: GroupInbox
  readonly #once: ReportOnce
  readonly #wake: () => void
  readonly #observers = new Set<GroupObserver>()
  readonly #credit: GroupCredit
  #campaignDue = false
  #configuration: GroupConfiguration
  #configurationIndex: LogIndex
  #halted: string | undefined

  constructor(options: GroupReplicaOptions) {
    const { services, log, machine, opening } = options
    this.#services = services
    this.storedLog = log
    this.group = log.group
    this.replica = log.recovered.replicaId
    this.#wake = () => options.wake(this)
    this.#configuration = opening.configuration
    this.#configurationIndex = opening.configurationIndex
    this.places = new ReplicaPlaces((node, address) => services.reach(node, address))
    for (const configuration of [opening.configuration, ...opening.unapplied]) this.places.learn(configuration)
    const credit = services.inbound.ofGroup()
    this.#credit = credit
    this.#inbox = new GroupInbox({
      ...{ replica: this.replica, places: this.places, credit, wake: this.#wake },
      busy: append => {
        services.post(this.places.nodeOf(append.from), busyAnswer(this.group, this.replica, append))
        // What is posted leaves at the end of a turn.
        this.#wake()
      },
    })
    this.#once = new ReportOnce(event => services.report(event))
    this.#stepper = new GroupStepper({
      ...{ services, log, opening, inbox: this.#inbox, places: this.places, credit, wake: this.#wake },
      effects: {
        leadershipChanged: (soft, term) => this.#leadershipChanged(soft, term),
        sendSnapshot: message => this.snapshots.send(message),
        snapshotWanted: () => this.snapshots.wanted(),
        positionOf: snapshot => this.snapshots.positionOf(snapshot),
        install: snapshot => this.snapshots.install(snapshot),
        committed: task => this.applier.add(task),
        readAnswered: read => this.reads.answered(read),
        missed: () => this.repair.missed(),
        mayRest: () => this.#mayRest(),
        rests: resting => options.rests(this, resting),
      },
    })
    this.leadership = new Leadership(opening.initial.hardState.term, event => machine.leadership(event))
    this.proposals = new GroupProposals({
      ...{ services, replica: this.replica, stepper: this.#stepper, leadership: this.leadership },
      ...{ places: this.places, wake: this.#wake },
      halted: () => this.#halted,
    })
    this.reads = new ReadRequests(services.randomInt)
    this.applier = new GroupApplier(machine, opening.initial.applied, opening.isStateMissing)
    const parts = {
      ...{ services, log, stepper: this.#stepper, inbox: this.#inbox, wake: this.#wake },
      configured: this.#configured.bind(this),
    }
    this.repair = repairOf(this, parts)
    this.log = new RepairedLog(log, this.repair)
    const subject = snapshotSubject(this, parts)
    this.snapshots = new GroupSnapshots({ services, log: this.log, opening, subject, machine: machine.snapshots })
    this.state = new ReplicaState(this, { ...parts, canPassLost: machine.passLost !== undefined }, machine.snapshots)
    this.failover = new Failover(services, this)
    this.repair.start()
    this.state.start()
  }

  get halted(): string | undefined {
    return this.#halted
  }

  get configuration(): GroupConfiguration {
    return this.#configuration
  }

  /** Index of the entry since which it is in force. */
  get configurationIndex(): LogIndex {
    return this.#configurationIndex
  }

  get leaderNode(): number {
    return this.leadership.leader === NONE ? 0 : this.places.nodeOf(this.leadership.leader)
  }

  /** Nothing of this group is on its way to the disk or to the state machine, and nobody waits for a proposal. */
  get idle(): boolean {
    const pending = !this.#stepper.idle || this.applier.hasWork || this.leadership.pendingProposals > 0
    return this.#halted !== undefined || !pending
  }

  get term(): Term {
    return this.leadership.term
  }

  /** No leader is known, and this is none. */
  get leaderless(): boolean {
    const { role, leader } = this.leadership
    return this.#halted === undefined && leader === NONE && role !== 'leader'
  }

  get voted(): boolean {
    return this.#stepper.status().vote !== NONE
  }

  nodeOf(replica: ReplicaId): number {
    return this.places.nodeOf(replica)
  }

  status(): ReturnType<GroupStepper['status']> {
    return this.#stepper.status()
  }

  observe(observer: GroupObserver): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  /** A message of a peer, for the next turn. */
  receive(fromNode: number, { message, busy, quiet }: GroupMessage): void {
    if (busy === true) {
      // As if it had been lost: the leader probes, once per heartbeat, until the follower takes it.
      if (this.places.admits(message.from, fromNode)) this.#inbox.input({ type: 'unreachable', peer: message.from })
      return
    }
    // Who does not know its group has no vote: it may have had one, and have forgotten it.
    const asksForVote = message.type === 'vote' || message.type === 'preVote'
    if (asksForVote && this.#configuration.voters.length === 0) return
    if (quiet !== undefined) this.#stepper.quietness.marked(message, quiet)
    const refusal = this.#inbox.receive(fromNode, message)
    if (refusal === undefined) return
    const dropped = `dropped a message of node ${fromNode}: ${refusal}`
    this.#once.report({ level: 'warn', group: this.group, message: dropped })
  }

  tick(): void {
    this.#inbox.tick()
  }

  /** The group is not to be quiet here any longer. */
  rouse(): void {
    const { quietness } = this.#stepper
    if (quietness.rests) this.#inbox.tick()
    else quietness.disturb()
  }

  /** A node that may have a replica of this group is there again. */
  nodeConnected(node: number): void {
    if (!this.#stepper.quietness.concerns(node) && this.places.replicasOn(node).length > 0) this.rouse()
    this.repair.nodeConnected(node)
    this.state.fetch.nodeConnected(node)
    this.failover.connectivity()
  }

  /** Messages to a node were lost, or its connection is gone. */
  unreachable(node: number): void {
    if (this.leadership.role !== 'leader' || !this.#stepper.quietness.concerns(node)) return
    for (const peer of this.places.replicasOn(node)) this.#inbox.input({ type: 'unreachable', peer })
  }

  /** The process that ran as `node` is gone. */
  nodeGone(node: number): void {
    if (this.#halted !== undefined || this.leaderNode !== node || node === this.#services.nodeId) return
    if (!this.failover.takesEvidence) return
    this.#inbox.input({ type: 'forgetLeader' })
    this.failover.leaderGone(node)
  }

  /** This leader's lease runs at this very moment. */
  holdsLease(): boolean {
    return this.#stepper.holdsLease(this.#services.clock.monotonicMs())
  }

  readIndex(): Promise<number> {
    if (this.#halted !== undefined) return Promise.reject(haltedError(this.group, this.#halted))
    this.#wake()
    return this.reads.readIndex()
  }

  /** Campaigns in the next turn, if no leader is known then. `forget`: the leader that is known is none. */
  campaign(forget: boolean): void {
    if (forget) this.#inbox.input({ type: 'forgetLeader' })
    this.#campaignDue = true
    this.#wake()
  }

  /** Takes this group's part in a turn: everything up to what is posted and stored. */
  turn(): void {
    if (this.#halted !== undefined) return
    this.#guard('consensus failed', () => {
      const { clock, timing } = this.#services
      const nowMs = clock.monotonicMs()
      const ticks = this.#stepper.stepInbox(nowMs)
      this.#campaignIfDue()
      const ask = (context: number): StepResult => this.#stepper.step({ type: 'readIndex', context })
      this.reads.flush(ask, nowMs + timing.electionTimeoutMinMs)
      this.#stepper.drain()
      if (ticks === 0) return
      this.leadership.expire(nowMs)
      this.reads.expire(nowMs)
      if (this.repair.isStuck()) this.#inbox.input({ type: 'stepDown' })
    })
  }

  /** Applies one batch of committed entries. @returns bytes of the batch */
  apply(): number {
    if (this.#halted !== undefined) return 0
    let bytes = 0
    this.#guard('the state machine failed', () => {
      const task = this.applier.next(
        (frames, results) => this.#applied(frames, results),
        frame => this.#configured(decodeGroupConfiguration(framePayload(frame)), frame.header.index),
      )
      if (task === undefined) return
      for (const entry of task.entries) bytes += entry.size
      // A state that came from elsewhere may hold the first entry of this leader's term.
      if (this.leadership.appliedTerm(task.entries.at(-1)?.term ?? 0, this.#stepper.nextOffset)) this.#leaderNews()
      this.#stepper.deliver(task.responses)
      if (this.#stepper.hasOutput || this.applier.hasWork) this.#wake()
    })
    return bytes
  }

  /** Stops taking part for good. Other groups of the node go on. */
  halt(reason: string): void {
    if (this.#halted !== undefined) return
    this.#services.report({ level: 'error', group: this.group, message: `replica halted: ${reason}` })
    this.#end(reason, false, haltedError(this.group, reason))
    this.#notify('halted')
  }

  /** Ends the replica in good order. */
  close(reason: string): void {
    if (this.#halted !== undefined) return
    this.#end(reason, true, new MillraceError('SHUTTING_DOWN', `group ${this.group}: ${reason}`))
    this.#notify('closed')
  }

  /** Nothing here would be ended or kept up by ticks alone; a lease is kept up by heartbeats. */
  #mayRest(): boolean {
    const waits = this.#campaignDue || !this.reads.idle || this.leadership.pendingProposals > 0
    return !waits && !this.repair.isNeeded && this.#configuration.leaseReads !== true
  }

  /** Resolves when nothing is received or sent any more, and no file of it open. */
  async filesClosed(): Promise<void> {
    await Promise.all([this.snapshots.close(), this.state.close()])
  }

  #end(reason: string, machineToo: boolean, error: MillraceError): void {
    this.#halted = reason
    void this.filesClosed()
    this.repair.close()
    this.failover.stop()
    this.#stepper.quietness.end()
    this.#inbox.close()
    this.#credit.close()
    this.leadership.close(reason, machineToo)
    this.reads.close(error)
  }

  /** Campaigns if this is still called for after all that arrived in this turn. */
  #campaignIfDue(): void {
    if (!this.#campaignDue) return
    this.#campaignDue = false
    this.#stepper.drain()
    if (this.leaderless) this.#stepper.step({ type: 'campaign' })
  }

  #leadershipChanged(soft: SoftState | undefined, term: Term): void {
    if (soft === undefined && term === this.leadership.term) return
    const { clock, timing } = this.#services
    const expireAtMs = clock.monotonicMs() + 2 * timing.electionTimeoutMinMs
    if (this.leadership.update(soft, term, expireAtMs)) this.#leaderNews()
  }

  #leaderNews(): void {
    const { role, term, leading } = this.leadership
    this.snapshots.leadershipChanged()
    this.repair.leadershipChanged()
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

  #applied(frames: readonly Frame[], results: readonly unknown[] | undefined): void {
    const last = frames[frames.length - 1]!.header
    if (this.leadership.appliedTerm(last.term, this.#stepper.nextOffset)) this.#leaderNews()
    if (this.leadership.pendingProposals > 0) {
      for (let i = 0; i < frames.length; i++) this.leadership.applied(frames[i]!, results?.[i])
    }
    this.reads.applied(last.index)
    this.snapshots.applied(frames)
  }

  #configured(configuration: GroupConfiguration, index: LogIndex): void {
    this.snapshots.configured({ index, configuration })
    // What is applied again after a start may be older than what the log says is in force.
    if (index < this.#configurationIndex) return
    const before = this.#configuration
    this.#configuration = configuration
    this.#configurationIndex = index
    this.#notify('configuration')
    const { leader } = this.leadership
    // It steps down when it knows: nobody has to wait until it is missed.
    if (losesVote(leader, before, configuration)) this.nodeGone(this.leaderNode)
  }

  #guard(what: string, run: () => void): void {
    try {
      run()
    } catch (error) {
      this.halt(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  #notify(type: Parameters<GroupObserver>[0]['type']): void {
    for (const observer of this.#observers) observer({ type })
  }
}
