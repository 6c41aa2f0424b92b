/**
 * The host of one replica: feeds the core and carries out what it asks for, in the ways that the seam allows. Writes go to
 * the real log store and release their responses when it says that they are durable; messages leave at once; entries are
 * applied later, in order; fetches are answered late, short or not at all. After every step the invariants look at it.
 */
import { type GroupLog, LogError } from '@millrace/log-store'
import {
  type FetchRequest,
  type GroupStatus,
  type Input,
  type Message,
  type Output,
  RaftGroup,
  type ReplicaId,
  type StepResult,
} from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import { ClientLedger } from './client-ledger.ts'
import { isVoter } from './invariants/configuration.ts'
import type { Observed } from './invariants/observed.ts'
import {
  checkAppendTask,
  checkApply,
  checkMessage,
  checkRead,
  checkRelease,
  checkState,
} from './invariants/output-invariants.ts'
import { checkDurable, checkStep } from './invariants/step-invariants.ts'
import { Violation } from './invariants/violation.ts'
import { noteDelivery, noteStep } from './message-trace.ts'
import { entryOf, imageOf, type Payload, type SimEntry, type SimSnapshot } from './payload.ts'
import { recover } from './recovery.ts'
import { ReplicaStorage } from './replica-storage.ts'
import { RoleWatch } from './role-watch.ts'
import type { SimGroup } from './sim-group.ts'
import type { SimNode } from './sim-node.ts'
import { NO_STATE, StateMachine } from './state-machine.ts'
import type { SimAppendTask, StorageRecord } from './storage-record.ts'
import type { World } from './world.ts'

/** Bytes of one read of a log that is opened. */
const READ_BYTES = 65_536

type SimOutput = Output<Payload>
type ApplyWork = NonNullable<SimOutput['apply']>

export class Replica implements Observed {
  readonly id: ReplicaId
  readonly group: SimGroup
  readonly node: SimNode
  readonly disk: StorageRecord
  readonly clients: ClientLedger
  incarnation = 0
  /** As of the newest step; of the time of its death for one that does not run. */
  status!: GroupStatus
  readonly #world: World
  #core: RaftGroup<Payload> | undefined
  #storage!: ReplicaStorage
  #machine: StateMachine = new StateMachine(NO_STATE)
  #roles: RoleWatch
  #applyFreeUs = 0

  constructor(world: World, group: SimGroup, node: SimNode, id: ReplicaId, disk: StorageRecord) {
    this.#world = world
    this.group = group
    this.node = node
    this.id = id
    this.disk = disk
    this.clients = new ClientLedger(world, this)
    this.#roles = new RoleWatch(world.coverage)
  }

  get name(): string {
    return `replica ${this.id} of group ${this.group.id}`
  }

  get isRunning(): boolean {
    return this.#core !== undefined
  }

  /** Proposals are handed over one by one. */
  get takesOneAtATime(): boolean {
    return false
  }

  /** The core, for the invariants. */
  get core(): Pick<RaftGroup, 'status' | 'term' | 'leaseValid'> {
    return this.#running
  }

  get #running(): RaftGroup<Payload> {
    if (this.#core === undefined) throw new Error(`${this.name} does not run`)
    return this.#core
  }

  get machine(): StateMachine {
    return this.#machine
  }

  /**
   * Reads everything in the log that a process has found, and compares it with what should be there.
   *
   * @returns whether it can run
   */
  async read(log: GroupLog): Promise<boolean> {
    const { recovered } = log
    const entries: SimEntry[] = []
    try {
      const end = recovered.last.index + 1
      for (let next = recovered.base.index + 1; next < end; next = recovered.base.index + 1 + entries.length) {
        entries.push(...(await this.readFrom(log, next, end)))
      }
    } catch (error) {
      if (!(error instanceof LogError)) throw error
      this.lose(error)
      return false
    }
    this.disk.found(recovered, entries)
    this.disk.opened(log)
    return true
  }

  /** @throws LogError where they cannot be read */
  protected async readFrom(log: GroupLog, from: number, to: number): Promise<readonly SimEntry[]> {
    return (await log.read(from, to, READ_BYTES)).map(entryOf)
  }

  /** Starts with the log that {@link read} has read. */
  start(log: GroupLog): void {
    if (this.isRunning || this.node.replicas.get(this.group.id) !== this || !this.node.isServing) return
    const { plan, random, coverage } = this.#world
    this.incarnation++
    if (this.incarnation > 1) coverage.hit('restarted')
    this.group.history.noteDisk(this.id, this.disk)
    const initial = recover(log.recovered, this.disk, random.recovery)
    this.#machine = new StateMachine(this.disk.checkpoint)
    this.#roles = new RoleWatch(coverage)
    this.#applyFreeUs = 0
    const config = {
      ...plan.config,
      id: this.id,
      priority: plan.priorities ? (this.id % 5) - 2 : 0,
      trace: this.#roles.hear,
    }
    this.#core = this.#guarded(() => new RaftGroup<Payload>(config, initial, n => random.elections.int(n)))
    this.status = this.#core.status()
    this.#storage = new ReplicaStorage(this.#world, this, log)
  }

  /** Somebody has damaged its log. */
  protected get mayBeDamaged(): boolean {
    return this.disk.isDamaged || this.disk.hasRot
  }

  /** The log of this replica cannot be used any more: its id will never be seen again. */
  lose(reason: LogError): void {
    if (!this.mayBeDamaged) {
      throw new Violation('what was acknowledged survives', `${this.name} cannot run: ${reason.message}`)
    }
    this.#world.coverage.hit('replicaRefused')
    this.group.lost.add(this.id)
    this.group.destroy(this)
  }

  /** The process ends, in whatever way. */
  crash(): void {
    if (this.#core === undefined) return
    this.clients.forget()
    this.#core = undefined
    if (this.disk.checkpoint.index >= this.#machine.state.index) return
    // Without that fault the state's pages reach the disk whatever happens to the process.
    if (this.#world.plan.faults.has('checkpointLost')) this.#world.coverage.hit('checkpointLost')
    else this.disk.checkpoint = this.#machine.state
  }

  tick(): void {
    this.readUnderLease()
    this.step({ type: 'tick', nowMs: this.node.nowMs })
  }

  /** Takes one input, then looks whether everything still holds. The output waits for {@link carryOut}. */
  step(input: Input<Payload>): StepResult {
    const core = this.#running
    noteStep(this.#world, this, input)
    const result = this.#guarded(() => core.step(input))
    const before = this.status
    const { history } = this.group
    const committedBefore = history.committedTo
    this.status = core.status()
    checkStep(this, history, before, this.status)
    if (history.committedTo > committedBefore) this.#letOthersRead()
    if (this.status.role === 'leader' && before.role !== 'leader') this.#world.elected(this.node)
    if (this.#roles.takeCertain()) this.#storage.clearUncertain()
    return result
  }

  /** A message has arrived. */
  receive(message: Message<Payload>): void {
    if (this.#core === undefined || message.to !== this.id) return
    noteDelivery(this.#world, this, message)
    this.step({ type: 'message', message, nowMs: this.node.nowMs })
  }

  /** A read of the applied state alone, as a leader may answer it while its lease lasts. */
  readUnderLease(): void {
    if (this.#world.plan.config.readMode !== 'lease' || !this.core.leaseValid(this.node.nowMs)) return
    this.#world.coverage.hit('leaseRead')
    checkRead(this, this.group.history.committedTo, this.status.commit)
  }

  /** This one has committed: nobody else may still answer reads without asking. */
  #letOthersRead(): void {
    if (this.#world.plan.config.readMode !== 'lease') return
    for (const other of this.group.running()) if (other !== this) other.readUnderLease()
  }

  /** Carries out everything that the core asks for. */
  carryOut(): void {
    for (let rounds = 0; this.#core?.hasOutput() === true; rounds++) {
      if (rounds > 1000) throw new Violation('output ends', `replica ${this.id} has output without end`)
      const core = this.#running
      this.#handle(this.#guarded(() => core.takeOutput()))
    }
    if (this.#core !== undefined) checkDurable(this, this.status)
  }

  /** A snapshot of what this replica has applied, to be sent to others. */
  makeSnapshot(): SimSnapshot | undefined {
    const { status } = this
    const { view } = this.disk
    const { state } = this.#machine
    const index = this.#world.plan.snapshotsOfBase ? view.base.index : Math.min(status.applied, view.lastIndex)
    const base = view.baseAt(index)
    if (index === 0 || base === undefined || state.index < index) return undefined
    return this.#storage.snapshotAt(base, state)
  }

  /** Starts to drop the log up to `index`; everything up to there is applied, and the state flushed. */
  trim(index: number): void {
    const base = this.disk.view.baseAt(index)
    if (base === undefined || index <= this.disk.view.base.index || this.disk.installing) return
    this.disk.checkpoint = this.#machine.state
    this.#storage.trim(base)
  }

  /** A trim is durable. */
  trimmed(index: number, term: number): void {
    this.group.history.noteSnapshot(this.id, index)
    this.inTurn(() => this.step({ type: 'compacted', index, term }))
  }

  /** A write is durable. */
  written(task: SimAppendTask): void {
    const { history } = this.group
    if (task.mustSync) {
      if (this.disk.vote !== 0) history.voted(this.id, this.disk.term, this.disk.vote)
      if (task.snapshot !== undefined) history.noteSnapshot(this.id, task.snapshot.index)
      history.noteDurable(this.id, task.entries)
    }
    for (const response of task.responses) checkRelease(this, history, response)
    this.inTurn(() => this.#afterWrite(task))
  }

  #afterWrite({ snapshot, responses }: SimAppendTask): void {
    if (snapshot !== undefined) {
      this.#machine.restore(imageOf(snapshot).state)
      this.clients.skippedTo(snapshot.index)
      checkState(this, this.group.history, this.#machine.state)
    }
    for (const response of responses) {
      if (response.to === this.id) this.step({ type: 'message', message: response, nowMs: this.node.nowMs })
      else this.#send(response)
    }
  }

  #handle(output: SimOutput): void {
    const { history } = this.group
    if (output.append !== undefined) {
      this.#storage.seal(output.append)
      checkAppendTask(this, history, output.append, this.status)
    }
    for (const message of output.messages) {
      if (message.type === 'snapshot') this.#storage.fill(message.snapshot, this.#machine.state)
      checkMessage(this, history, message)
      this.#send(message)
    }
    if (output.append !== undefined) this.#storage.store(output.append)
    if (output.apply !== undefined) this.#applyLater(output.apply)
    for (const request of output.fetch) this.#fetchLater(request)
    for (const read of output.reads) {
      const floor = this.clients.readAnswered(read)
      if (floor !== undefined) checkRead(this, floor, read.index)
    }
    if (output.snapshotWanted === true) this.#later(this.#world.random.host.int(50_000), () => this.offerSnapshot())
  }

  offerSnapshot(): void {
    const snapshot = this.makeSnapshot()
    if (snapshot !== undefined) this.step({ type: 'snapshotAvailable', snapshot })
  }

  #send(message: Message<Payload>): void {
    const target = this.group.replicas.get(message.to)
    if (target === undefined) return
    if (message.type === 'snapshot') this.#sendSnapshot(message, target)
    else if (!this.#world.network.send(this.node.id, target.node.id, () => deliver(target, message))) {
      this.#later(1000, () => this.step({ type: 'unreachable', peer: message.to }))
    }
  }

  /** A snapshot takes its time, and arrives whole or not at all; the sender hears how it went. */
  #sendSnapshot(message: Message<Payload>, target: Replica): void {
    const { random, network, plan, coverage } = this.#world
    const lost = this.#world.faulty() && plan.faults.has('snapshotLost') && random.host.chance(0.3)
    if (lost) coverage.hit('snapshotLost')
    const { incarnation } = target
    this.#later(random.host.int(plan.tickUs * plan.electionTicks), () => {
      const ok = !lost && target.isRunning && target.incarnation === incarnation
      const arrives = ok && network.send(this.node.id, target.node.id, () => deliver(target, message))
      this.step({ type: 'snapshotStatus', peer: message.to, status: arrives ? 'finished' : 'failed' })
    })
  }

  #applyLater(task: ApplyWork): void {
    checkApply(this, this.group.history, task.entries)
    const { queue, random } = this.#world
    this.#applyFreeUs = Math.max(queue.nowUs, this.#applyFreeUs) + random.host.int(500)
    this.#later(this.#applyFreeUs - queue.nowUs, () => this.#apply(task))
  }

  #apply(task: ApplyWork): void {
    for (const entry of task.entries) {
      if (this.#machine.apply(entry)) checkState(this, this.group.history, this.#machine.state)
      this.clients.applied(entry)
      if (entry.kind === 'config' && this.#world.random.host.chance(0.2)) this.step({ type: 'configApplied', entry })
    }
    for (const message of task.responses) this.step({ type: 'message', message, nowMs: this.node.nowMs })
  }

  #fetchLater(request: FetchRequest): void {
    const { coverage, random, plan } = this.#world
    coverage.hit('fetched')
    const fails = this.#world.faulty() && plan.faults.has('readError') && random.host.chance(0.2)
    if (fails) coverage.hit('readError')
    const failed = (reason: 'io' | 'damaged' | 'compacted'): void =>
      this.inTurn(() => this.step({ type: 'fetchFailed', request, reason }))
    this.#later(random.host.int(20_000), () => {
      if (fails) failed(random.host.pick(['io', 'damaged']))
      else this.#storage.fetch(request, frames => this.inTurn(() => this.#fetched(request, frames)), failed)
    })
  }

  #fetched(request: FetchRequest, frames: readonly Frame[]): void {
    const { random } = this.#world
    const short = random.host.chance(0.2) ? 1 + random.host.int(frames.length) : frames.length
    this.step({ type: 'entriesFetched', request, entries: frames.slice(0, short).map(entryOf) })
  }

  /** Runs something in a turn of this very process, if it still lives by then. */
  #later(delayUs: number, run: () => void): void {
    const { incarnation } = this
    this.#world.queue.after(delayUs, () => {
      if (this.isRunning && this.incarnation === incarnation) this.inTurn(run)
    })
  }

  /** Runs something in the next turn, if this very process lives by then. */
  inTurn(run: () => void): void {
    const { incarnation } = this
    this.node.post(() => {
      if (this.isRunning && this.incarnation === incarnation) run()
    })
  }

  #guarded<T>(call: () => T): T {
    try {
      return call()
    } catch (cause) {
      if (cause instanceof Violation) throw cause
      throw new Violation('the core keeps its own invariants', String(cause), { cause })
    }
  }

  /** Whether it is a voter in its own eyes. */
  get votes(): boolean {
    return isVoter(this.status.configuration, this.id)
  }
}

function deliver(target: Replica, message: Message<Payload>): void {
  target.node.post(() => target.receive(message))
}
