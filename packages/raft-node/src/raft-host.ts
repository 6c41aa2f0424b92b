/**
 * A node: the groups that it runs, and the wiring between log store, transport, timers and turns.
 *
 * Owns the replicas by group id. It never looks into a message beyond its group, and never decides anything about one:
 * whatever arrives goes into the inbox of its replica.
 */
import type { GroupLog } from '@millrace/log-store'
import { CheckpointSchedule, checkpoint } from './checkpoint-schedule.ts'
import { DiskHealth } from './disk-health.ts'
import type { FrameAnswer, FrameRequest } from './frame-calls.ts'
import { FrameServer } from './frame-server.ts'
import { type BootstrapOptions, GroupBootstrap } from './group-bootstrap.ts'
import type { GroupFounding } from './group-founding.ts'
import type { GroupHandle } from './group-handle.ts'
import { openGroup } from './group-opening.ts'
import { GroupReplica } from './group-replica.ts'
import { HandOver } from './hand-over.ts'
import { type HostServices, resolveTiming } from './host-services.ts'
import { InboundCredit } from './inbound-credit.ts'
import { LoopHealth } from './loop-health.ts'
import type { NodeOptions, RaftNode, RepairActivity, SnapshotActivity } from './node.ts'
import { Outbox } from './outbox.ts'
import { QuietPeers } from './quiet-peers.ts'
import { RaftGroupHandle } from './raft-group-handle.ts'
import { RepairBudget } from './repair-budget.ts'
import type { IncomingSnapshot, SnapshotAnswer, SnapshotOffer } from './snapshot-calls.ts'
import { resolveSnapshotOptions } from './snapshot-options.ts'
import { SnapshotSends } from './snapshot-sends.ts'
import type { StateAnswer, StateRequest } from './state-calls.ts'
import type { StateMachine } from './state-machine.ts'
import { systemClock, systemRandomInt } from './system-clock.ts'
import { Ticker } from './ticker.ts'
import type { GroupMessage, GroupPresence, QuietBeat, TransportHandler } from './transport.ts'
import { TurnLoop } from './turn-loop.ts'

/** Election timeouts shorter than this many heartbeats leave no room for quiet groups. */
const QUIET_ELECTION_TICKS_MIN = 8
/** Of an election timeout: silence of a node after which no group stays quiet because of it. */
const QUIET_SILENCE_SHARE = 0.4

/**
 * Starts a node: listens for peers and connects to them. Groups are opened one by one afterwards.
 *
 * @throws RangeError for timing that cannot work
 * @throws Error when the transport cannot listen
 */
export async function createNode(options: NodeOptions): Promise<RaftNode> {
  const node = new RaftHost(options)
  await node.start()
  return node
}

class RaftHost implements RaftNode, TransportHandler {
  readonly nodeId: number
  readonly #options: NodeOptions
  readonly #services: HostServices
  readonly #handles = new Map<number, RaftGroupHandle>()
  /** Those that are not quiet. */
  readonly #ticking = new Set<GroupReplica>()
  readonly #turns: TurnLoop
  readonly #ticker: Ticker
  readonly #checkpoints: CheckpointSchedule
  readonly #opening = new Set<number>()
  /** Every group that was ever opened in this process. */
  readonly #opened = new Set<number>()
  readonly #bootstrap: GroupBootstrap
  readonly #frames: FrameServer
  readonly #gone = new Set<number>()
  readonly #unreachableUntilMs = new Map<number, number>()
  #shutdown: Promise<void> | undefined

  constructor(options: NodeOptions) {
    this.nodeId = options.nodeId
    this.#options = options
    const clock = options.clock ?? systemClock
    const outbox = new Outbox()
    const report = options.log ?? (() => undefined)
    const randomInt = options.randomInt ?? systemRandomInt
    const timing = resolveTiming(options.timing)
    const isConnected = (node: number): boolean => node === this.nodeId || options.transport.isConnected(node)
    const electionTicks = Math.round(timing.electionTimeoutMinMs / timing.heartbeatMs)
    const quiet =
      electionTicks < QUIET_ELECTION_TICKS_MIN
        ? undefined
        : new QuietPeers({
            ...{ randomInt, isConnected, silentTicks: Math.floor(electionTicks * QUIET_SILENCE_SHARE) },
            send: (node, beat) => options.transport.sendBeat(node, beat),
            rouse: group => this.#handles.get(group)?.replica.rouse(),
          })
    const services: HostServices = {
      nodeId: options.nodeId,
      clock,
      randomInt,
      timing,
      store: options.logStore,
      createCore: options.createCore,
      inbound: new InboundCredit(options.inbound),
      quiet,
      isConnected,
      reach: (node, address) => this.#reach(node, address),
      isGone: node => this.#gone.has(node),
      snapshots: new SnapshotSends({
        ...{ clock, limits: resolveSnapshotOptions(options.snapshots) },
        call: (node, offer, events) => options.transport.offerSnapshot(node, offer, events),
      }),
      repairs: new RepairBudget(clock),
      fetchFrames: (node, request) => options.transport.fetchFrames(node, request),
      fetchState: (node, request) => options.transport.fetchState(node, request),
      post: (node, message) => outbox.post(node, message),
      report,
    }
    this.#services = services
    this.#frames = new FrameServer(services.repairs.traffic)
    this.#bootstrap = new GroupBootstrap({
      ...{ nodeId: options.nodeId, store: options.logStore, transport: options.transport, clock },
      isLive: group => this.#opened.has(group) || options.isFounded?.(group) === true,
    })
    this.#turns = new TurnLoop(clock, outbox, options.transport)
    const replicas = (): Iterable<GroupReplica> => this.#replicas()
    const health = new DiskHealth(services, replicas)
    const loopHealth = new LoopHealth(services, replicas)
    this.#ticker = new Ticker({
      clock,
      tickMs: services.timing.heartbeatMs,
      replicas: this.#ticking,
      quietTick: () => quiet?.tick(),
      mayTick: () => {
        loopHealth.check()
        return health.check()
      },
    })
    const intervalMs = services.timing.checkpointIntervalMs
    this.#checkpoints = new CheckpointSchedule({ clock, intervalMs, replicas, report })
  }

  async start(): Promise<void> {
    await this.#options.transport.start(this)
    this.#ticker.start()
    this.#checkpoints.start()
  }

  bootstrap(founding: Omit<GroupFounding, 'nodeId'>, options: BootstrapOptions = {}): Promise<GroupLog> {
    return this.#bootstrap.found(founding, options)
  }

  describeGroup(group: number): GroupPresence {
    return this.#bootstrap.presence(group)
  }

  async open(group: number, machine: StateMachine): Promise<GroupHandle> {
    if (this.#shutdown !== undefined) throw new Error('the node is shutting down')
    if (this.#handles.has(group) || this.#opening.has(group)) throw new Error(`group ${group} is open already`)
    const log = this.#services.store.groups().find(candidate => candidate.group === group)
    if (log === undefined) throw new Error(`the log store has no group ${group}`)
    this.#opening.add(group)
    this.#opened.add(group)
    try {
      const opening = await openGroup(log, machine.applied, machine.snapshots !== undefined)
      const wake = (replica: GroupReplica): void => this.#turns.wake(replica)
      const rests = (replica: GroupReplica, resting: boolean): void => this.#rests(replica, resting)
      const replica = new GroupReplica({ services: this.#services, log, machine, opening, wake, rests })
      this.#ticking.add(replica)
      const handle = new RaftGroupHandle(replica)
      this.#handles.set(group, handle)
      this.#turns.wake(replica)
      replica.failover.connectivity()
      return handle
    } finally {
      this.#opening.delete(group)
    }
  }

  group(group: number): GroupHandle | undefined {
    return this.#handles.get(group)
  }

  groups(): readonly GroupHandle[] {
    return [...this.#handles.values()]
  }

  async closeGroup(group: number): Promise<void> {
    const handle = this.#handles.get(group)
    if (handle === undefined) return
    this.#handles.delete(group)
    handle.replica.close('the group was closed')
    this.#ticking.delete(handle.replica)
    await handle.replica.filesClosed()
    await handle.replica.applier.close()
  }

  isConnected(node: number): boolean {
    return this.#services.isConnected(node)
  }

  receive(fromNode: number, messages: readonly GroupMessage[]): void {
    for (const message of messages) this.#handles.get(message.group)?.replica.receive(fromNode, message)
  }

  beat(fromNode: number, beat: QuietBeat): void {
    this.#services.quiet?.receive(fromNode, beat)
  }

  unreachable(node: number): void {
    // Every send to a node that is down ends here: once per heartbeat says as much.
    const nowMs = this.#services.clock.monotonicMs()
    if (nowMs < (this.#unreachableUntilMs.get(node) ?? 0)) return
    this.#unreachableUntilMs.set(node, nowMs + this.#services.timing.heartbeatMs)
    for (const replica of this.#replicas()) replica.unreachable(node)
  }

  gone(node: number): void {
    this.#gone.add(node)
    this.#services.report({ level: 'warn', message: `node ${node} is gone`, details: { node } })
    for (const replica of this.#replicas()) replica.nodeGone(node)
  }

  connected(node: number): void {
    this.#gone.delete(node)
    this.#services.report({ level: 'info', message: `connected to node ${node}`, details: { node } })
    this.#bootstrap.connected()
    for (const replica of this.#replicas()) replica.nodeConnected(node)
  }

  snapshots(): SnapshotActivity {
    const { traffic, running, waiting, transfers } = this.#services.snapshots
    return { ...traffic, sending: running, waiting, transfers }
  }

  repairs(): RepairActivity {
    const { traffic, running } = this.#services.repairs
    return { ...traffic, running }
  }

  framesAsked(fromNode: number, request: FrameRequest): Promise<FrameAnswer> {
    return this.#frames.answer(fromNode, request, this.#handles.get(request.group)?.replica)
  }

  stateAsked(fromNode: number, request: StateRequest): StateAnswer {
    return this.#handles.get(request.group)?.replica.state.server.asked(fromNode, request) ?? 'absent'
  }

  snapshotOffered(fromNode: number, offer: SnapshotOffer, answer: (answer: SnapshotAnswer) => void): IncomingSnapshot {
    const replica = this.#handles.get(offer.group)?.replica
    if (replica !== undefined) {
      const receiver = offer.stateOnly === true ? replica.state.fetch : replica.snapshots
      return receiver.offered(fromNode, offer, answer)
    }
    answer({ term: 0, received: 0, done: false, refused: `group ${offer.group} does not run here` })
    return { chunk: () => undefined, ended: () => undefined }
  }

  #reach(node: number, address: string): void {
    if (node !== this.nodeId) this.#options.transport.addPeer?.(node, address)
  }

  shutdown(): Promise<void> {
    this.#shutdown ??= this.#stop()
    return this.#shutdown
  }

  async #stop(): Promise<void> {
    const { clock, timing } = this.#services
    const replicas = [...this.#replicas()]
    this.#bootstrap.stop()
    const handOver = new HandOver(clock, this.#services.isConnected)
    for (const replica of replicas) replica.proposals.draining = true
    await handOver.away(replicas, timing.electionTimeoutMinMs)
    await handOver.settled(replicas, timing.electionTimeoutMinMs)
    this.#ticker.stop()
    await this.#checkpoints.stop()
    this.#turns.stop()
    await this.#options.transport.close()
    for (const replica of replicas) {
      await checkpoint(replica, this.#services.report)
      replica.close('the node is stopping')
      await replica.filesClosed()
      await replica.applier.close()
    }
    this.#handles.clear()
  }

  #rests(replica: GroupReplica, resting: boolean): void {
    if (resting) this.#ticking.delete(replica)
    else this.#ticking.add(replica)
  }

  *#replicas(): Iterable<GroupReplica> {
    for (const handle of this.#handles.values()) yield handle.replica
  }
}
