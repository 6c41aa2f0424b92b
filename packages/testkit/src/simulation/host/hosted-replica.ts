/**
 * A replica that the real host runs: `GroupReplica` of raft-node and everything under it. What clients and faults do to
 * it goes through its `GroupHandle`; the invariants see its core, its log, its messages and its state machine.
 */
import { type GroupLog, LogDamaged, type LogWrite } from '@millrace/log-store'
import type { Input, Message, RaftGroup, StepResult } from '@millrace/raft-core'
import type { AppliedPosition, GroupHandle, StateMachine as HostMachine, ProposeResult } from '@millrace/raft-node'
import type { FrameBody } from '@millrace/record'
import { checkAppendTask, checkApply, checkMessage, checkRead, checkState } from '../invariants/output-invariants.ts'
import { checkDurable, checkStep } from '../invariants/step-invariants.ts'
import { noteDelivery, noteStep } from '../message-trace.ts'
import { commandIn, entryOf, type Payload, type SimEntry } from '../payload.ts'
import { Replica } from '../replica.ts'
import { RoleWatch } from '../role-watch.ts'
import type { SimGroup } from '../sim-group.ts'
import type { SimNode } from '../sim-node.ts'
import { StateMachine } from '../state-machine.ts'
import type { StorageRecord, StorageRequest } from '../storage-record.ts'
import type { World } from '../world.ts'

type Core = Pick<RaftGroup, 'status' | 'term' | 'leaseValid'>

const REFUSED = { type: 'dropped', reason: 'notLeader', leader: 0, message: 'not asked for by a host' } as const

export class HostedReplica extends Replica {
  readonly #world: World
  #core: Core | undefined
  #handle: GroupHandle | undefined
  #state: StateMachine
  #roles: RoleWatch
  #isOpening = false

  constructor(world: World, group: SimGroup, node: SimNode, id: number, disk: StorageRecord) {
    super(world, group, node, id, disk)
    this.#world = world
    this.#state = new StateMachine(disk.checkpoint)
    this.#roles = new RoleWatch(world.coverage)
  }

  override get isRunning(): boolean {
    return this.#handle !== undefined
  }

  override get core(): Core {
    if (this.#core === undefined) throw new Error(`${this.name} does not run`)
    return this.#core
  }

  override get machine(): StateMachine {
    return this.#state
  }

  override get takesOneAtATime(): boolean {
    return true
  }

  /** What its core's trace is heard by. */
  get roles(): RoleWatch {
    return this.#roles
  }

  override start(_: GroupLog): void {
    const { host } = this.node
    if (this.isRunning || this.#isOpening || host === undefined || !this.node.isServing) return
    this.#isOpening = true
    this.incarnation++
    if (this.incarnation > 1) this.#world.coverage.hit('restarted')
    this.group.history.noteDisk(this.id, this.disk)
    this.#state = new StateMachine(this.disk.checkpoint)
    this.#roles = new RoleWatch(this.#world.coverage)
    const { incarnation } = this
    host.open(this).then(
      handle => {
        if (incarnation !== this.incarnation || this.node.host !== host) return
        this.#isOpening = false
        this.#handle = handle
      },
      (error: unknown) => this.#world.fail(error),
    )
  }

  /** The host repairs what the store cannot read. */
  protected override async readFrom(log: GroupLog, from: number, to: number): Promise<readonly SimEntry[]> {
    try {
      return await super.readFrom(log, from, to)
    } catch (error) {
      const missing = error instanceof LogDamaged && this.mayBeDamaged ? this.disk.entriesIn(error.hole) : undefined
      if (missing === undefined) throw error
      this.#world.coverage.hit('holeFound')
      return missing
    }
  }

  override crash(): void {
    this.clients.forget()
    this.#core = undefined
    this.#handle = undefined
    this.#isOpening = false
  }

  override tick(): void {}

  override carryOut(): void {}

  override step(input: Input<Payload>): StepResult {
    const handle = this.#handle
    if (handle === undefined) return REFUSED
    switch (input.type) {
      case 'propose':
        return resultOf(this.#propose(handle, input.entries[0]?.payload as FrameBody))
      case 'readIndex':
        this.#read(handle, input.context)
        return { type: 'ok' }
      case 'transferLeader':
        return this.#transfer(handle, input.target)
      default:
        return REFUSED
    }
  }

  /** The host has made its core. */
  cored(core: Core): void {
    this.#core = core
    this.status = core.status()
  }

  beforeStep(input: Input<Payload>): void {
    if (this.#core !== undefined) noteStep(this.#world, this, input)
  }

  afterStep(): void {
    if (this.#core === undefined) return
    const before = this.status
    this.status = this.#core.status()
    this.#guarded(() => {
      checkStep(this, this.group.history, before, this.status)
      checkDurable(this, this.status)
    })
    if (this.status.role === 'leader' && before.role !== 'leader') this.#world.elected(this.node)
  }

  /** @returns what to call when the write is durable */
  asked({ frames, ballot, commit, clearsUncertain }: LogWrite): () => void {
    const entries: readonly SimEntry[] = frames.map(entryOf)
    const request: StorageRequest = {
      kind: 'write',
      entries,
      commit,
      ...(ballot && { ballot }),
      ...(clearsUncertain && { clearsUncertain }),
    }
    const { history } = this.group
    this.#guarded(() => {
      checkAppendTask(this, history, { entries, mustSync: true, responses: [] }, this.status)
      this.disk.ask(request)
    })
    return () =>
      this.#guarded(() => {
        this.disk.answered(request)
        if (this.disk.vote !== 0) history.voted(this.id, this.disk.term, this.disk.vote)
        history.noteDurable(this.id, entries)
      })
  }

  leaves(message: Message): void {
    if (this.#core !== undefined) {
      this.#guarded(() => checkMessage(this, this.group.history, message as Message<Payload>))
    }
  }

  arrives(message: Message): void {
    if (this.#core !== undefined) noteDelivery(this.#world, this, message as Message<Payload>)
  }

  /** The state machine that the host applies to. */
  hostMachine(): HostMachine {
    const state = this.#state
    const { index, term } = state.state
    return {
      applied: { index, term },
      apply: frames => {
        for (const frame of frames) this.#apply(state, entryOf(frame))
        return undefined
      },
      leadership: () => undefined,
      checkpoint: async (): Promise<AppliedPosition> => {
        this.disk.checkpoint = state.state
        return { index: state.state.index, term: state.state.term }
      },
      close: async () => undefined,
    }
  }

  #apply(state: StateMachine, entry: SimEntry): void {
    this.#guarded(() => {
      checkApply(this, this.group.history, [entry])
      if (state.apply(entry)) checkState(this, this.group.history, state.state)
      this.clients.applied(entry)
    })
  }

  #propose(handle: GroupHandle, body: FrameBody): ProposeResult {
    const { history } = this.group
    return handle.propose(body, {
      applied: () => undefined,
      failed: outcome => {
        if (outcome === 'not_stored') history.refused.add(commandIn(body.payload))
      },
    })
  }

  #read(handle: GroupHandle, context: number): void {
    const answered = (index: number, aborted: boolean): void => {
      const floor = this.clients.readAnswered({ index, context, ...(aborted && { aborted }) })
      if (floor !== undefined) this.#guarded(() => checkRead(this, floor, index))
    }
    handle.readIndex().then(
      index => answered(index, false),
      () => answered(0, true),
    )
  }

  #transfer(handle: GroupHandle, target: number): StepResult {
    const node = this.group.replicas.get(target)?.node.id
    if (node === undefined || this.status.role !== 'leader') return REFUSED
    handle.transferLeadership(node)
    return { type: 'ok' }
  }

  /** A violation is the simulation's: a host would only halt the replica. */
  #guarded(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#world.fail(error)
    }
  }
}

function resultOf(result: ProposeResult): StepResult {
  if (result.type === 'accepted') return { type: 'accepted', index: result.index, term: result.term }
  return { ...REFUSED, message: result.message }
}
