/**
 * One replica of a group for tests of what lies above it: takes proposals, and commits, loses or forgets them when the
 * test says so. Frames are real, the log is the in-memory one.
 */
import type { BaseRecord, GroupLog, LogPosition } from '@millrace/log-store'
import { MemoryLogStore, type MemoryLogStoreOptions } from '@millrace/log-store/memory'
import type {
  ConfirmedLeader,
  GroupConfiguration,
  GroupHandle,
  GroupObserver,
  GroupStatus,
  ProposalWaiter,
  ProposeResult,
  StateMachine,
} from '@millrace/raft-node'
import type { Frame, FrameBody } from '@millrace/record'
import { nextOffsetAfter, sealFrame } from '@millrace/record'

interface Proposal {
  readonly frame: Frame
  readonly waiter: ProposalWaiter
}

const ONE_REPLICA: GroupConfiguration = {
  voters: [1],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
  places: [{ replica: 1, node: 1 }],
}

const BASE: BaseRecord = {
  index: 1,
  term: 1,
  chain: 7,
  timestamp: 1,
  nextOffset: 0,
  configuration: new Uint8Array(0),
  configurationIndex: 1,
  voidBelow: 0,
}

export class FakeGroup implements GroupHandle {
  readonly group: number
  readonly log: GroupLog
  machine: StateMachine
  leading = false
  leaderNode = 0
  term = 1
  halted: string | undefined
  refusal: (ProposeResult & { type: 'dropped' }) | undefined
  now = 1_000
  /** Every proposal is committed in a later turn. */
  autoCommit = false
  followers: GroupStatus['followers'] = []
  readonly transfers: number[] = []
  proposals: Proposal[] = []
  readonly committed: Frame[] = []
  readonly #observers = new Set<GroupObserver>()

  constructor(group: number, log: GroupLog, machine: StateMachine) {
    this.group = group
    this.log = log
    this.machine = machine
  }

  /** @param store options of the store that the log is in */
  static async create(
    group: number,
    machine: (log: GroupLog) => StateMachine,
    store: MemoryLogStoreOptions = {},
  ): Promise<FakeGroup> {
    const log = await new MemoryLogStore(store).create(group, { replicaId: 1, base: BASE })
    return new FakeGroup(group, log, machine(log))
  }

  /** Wins an election: the first entry of the term is committed. */
  lead(): this {
    this.term++
    this.leaderNode = 1
    this.#write({ ...EMPTY, kind: 1 })
    this.commitFrames(1)
    this.leading = true
    this.machine.leadership({ type: 'started', term: this.term, nextOffset: this.log.end.nextOffset })
    return this
  }

  /** Another node wins; what is not committed gets replaced, or its fate stays unknown. */
  stepDown(fate: 'replaced' | 'unknown' | 'open'): void {
    this.leading = false
    this.leaderNode = 2
    this.machine.leadership({ type: 'stopped' })
    if (fate === 'open') return
    const lost = this.proposals
    this.proposals = []
    if (fate === 'replaced') this.#replace()
    for (const { waiter } of lost) {
      waiter.failed(fate === 'replaced' ? 'not_stored' : 'unknown', 'another leader was elected')
    }
  }

  propose(body: FrameBody, waiter: ProposalWaiter): ProposeResult {
    if (this.refusal !== undefined) return this.refusal
    const frame = this.#write(body)
    this.proposals.push({ frame, waiter })
    if (this.autoCommit) setImmediate(() => this.autoCommit && this.commit())
    const { index, term, baseOffset } = frame.header
    return { type: 'accepted', index, term, baseOffset }
  }

  proposeChange(): ProposeResult {
    return { type: 'dropped', reason: 'invalidConfigChange', message: 'the members of a fake group are fixed' }
  }

  async verifyLeader(): Promise<ConfirmedLeader> {
    return { node: this.leaderNode, term: this.term }
  }

  async leaseRead<T>(read: () => T): Promise<T> {
    return read()
  }

  /** Commits and applies the oldest `count` proposals, all by default. */
  commit(count: number = this.proposals.length): void {
    const now = this.proposals.splice(0, count)
    const results = this.#apply(now.map(p => p.frame))
    for (const [i, { frame, waiter }] of now.entries()) waiter.applied(frame, results?.[i])
  }

  /** Seals and writes without a waiter, as frames from another leader. */
  append(body: Partial<FrameBody>): Frame {
    return this.#write({ ...EMPTY, ...body })
  }

  /** Applies the newest `count` frames written by `append`. */
  commitFrames(count: number): void {
    this.#apply(this.#written.slice(-count))
  }

  /** This replica hears who leads; 0: nobody. */
  hearLeader(node: number): void {
    this.leaderNode = node
    for (const observer of this.#observers) observer({ type: 'leader' })
  }

  halt(reason: string): void {
    this.halted = reason
    this.leading = false
    for (const observer of this.#observers) observer({ type: 'halted' })
  }

  status(): GroupStatus {
    return {
      group: this.group,
      replica: 1,
      role: this.leaderNode === 1 ? 'leader' : 'follower',
      term: this.term,
      leaderNode: this.leaderNode,
      commit: this.committed.at(-1)?.header.index ?? 1,
      applied: this.machine.applied.index,
      lastIndex: this.log.end.index,
      configuration: ONE_REPLICA,
      configurationIndex: 1,
      ...(this.halted === undefined ? {} : { halted: this.halted }),
      followers: this.followers,
    }
  }

  readIndex(): Promise<number> {
    return Promise.resolve(this.machine.applied.index)
  }

  waitApplied(): Promise<void> {
    return Promise.resolve()
  }

  transferLeadership(toNode: number): void {
    this.transfers.push(toNode)
  }

  takeSnapshot(): never {
    throw new Error('a fake group takes no snapshots')
  }

  async trimLog(index: number): Promise<number> {
    await this.machine.checkpoint()
    const [frame] = await this.log.read(index, index + 1, 1)
    if (frame === undefined) throw new Error(`there is no entry ${index}`)
    await this.log.trimPrefix({ ...BASE, ...frame.header, nextOffset: nextOffsetAfter(frame.header) })
    return this.log.base.index
  }

  giveUpDamage(): Promise<never> {
    return Promise.reject(new Error('nothing is damaged here'))
  }

  observe(observer: GroupObserver): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  readonly #written: Frame[] = []

  /** The first entry of another leader takes the place of everything that is not committed. */
  #replace(): void {
    const last = this.committed.at(-1)
    const { base } = this.log
    const end = last === undefined ? base : { ...last.header, nextOffset: nextOffsetAfter(last.header) }
    this.term++
    this.#write({ ...EMPTY, kind: 1 }, end)
    this.commitFrames(1)
  }

  #write(body: FrameBody, end: LogPosition = this.log.end): Frame {
    const frame = sealFrame(body, {
      group: this.group,
      index: end.index + 1,
      term: this.term,
      baseOffset: end.nextOffset,
      timestamp: ++this.now,
      previousChain: end.chain,
    })
    this.log.write({ frames: [frame], commit: end.index }, () => undefined)
    this.#written.push(frame)
    return frame
  }

  #apply(frames: readonly Frame[]): readonly unknown[] | undefined {
    this.committed.push(...frames)
    return this.machine.apply(frames)
  }
}

const EMPTY: FrameBody = {
  kind: 3,
  codec: 0,
  recordCount: 0,
  producerId: new Uint8Array(16),
  producerEpoch: 0,
  sequence: 0,
  payload: new Uint8Array(0),
}
