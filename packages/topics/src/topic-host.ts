/**
 * Topics on one node: runs the catalogue's replica, and the replicas of partitions that the catalogue places here.
 *
 * Never founds a catalogue: a folder without one is refused. Never changes a group for what only this node believes:
 * everything follows from committed entries of the catalogue.
 */
import type { LogStore, SnapshotStores } from '@millrace/log-store'
import { LogError } from '@millrace/log-store'
import type { Clock, GroupHandle, NodeEvent, RaftNode } from '@millrace/raft-node'
import { MillraceError } from '@millrace/record'
import type { GroupBackup } from './backup/group-backup.ts'
import { openGroupBackup } from './backup/group-backup.ts'
import type { NodeInfo } from './catalogue-command.ts'
import { CATALOGUE_GROUP, CatalogueMachine } from './catalogue-machine.ts'
import { proposeToCatalogue } from './catalogue-proposal.ts'
import type { CatalogueTopicEntry } from './catalogue-state.ts'
import type { ClusterMembers } from './cluster-members.ts'
import { clusterMembers } from './cluster-members.ts'
import type { GroupWish } from './group-wish.ts'
import type { BalanceTiming } from './leader-balancer.ts'
import { LeaderBalancer } from './leader-balancer.ts'
import { MemberReconciler } from './member-reconciler.ts'
import type { Partition } from './partition.ts'
import type { PartitionMachine } from './partition-machine.ts'
import { notLeading } from './proposal-errors.ts'
import type { ReplicaPlan } from './replica-opener.ts'
import type { FailedReplica } from './replica-set.ts'
import { ReplicaSet } from './replica-set.ts'
import type { RetentionActivity, RetentionTiming } from './retention.ts'
import { Retention } from './retention.ts'
import type { StartedGroup } from './started-group.ts'
import type { StateStore } from './state-store.ts'
import { loadState } from './stored-state.ts'
import { resolveConfig } from './topic-config.ts'
import type { CreateTopic, TopicConfig, TopicInfo, Topics } from './topics.ts'
import { groupWishes, isFolderOf, wantedReplicas } from './wanted-replicas.ts'

type HostClock = Pick<Clock, 'setTimer' | 'monotonicMs' | 'wallMs'>

export interface TopicsOptions {
  readonly node: RaftNode
  readonly logStore: LogStore
  readonly stateStore: StateStore
  /** Of the catalogue, whose log is trimmed behind them, and of partitions, for replicas that the log does not help. */
  readonly snapshots: SnapshotStores
  readonly nodeId: number
  readonly clusterId: string
  /** Id of the data folder, where the node has joined with it; '' is that of the founding. Default ''. */
  readonly folder?: string
  /** Nodes of the configuration; the catalogue's leader registers them. */
  readonly nodes: readonly NodeInfo[]
  /** Hears the nodes of the cluster as the catalogue has them, at the start and when that changes. */
  readonly onNodes?: (nodes: readonly NodeInfo[]) => void
  /** Default: that of the process. */
  readonly clock?: HostClock
  readonly timing?: BalanceTiming & RetentionTiming
  /** As {@link RetentionOptions.peerSkewsMs}. */
  readonly peerSkewsMs?: () => Promise<readonly number[]>
  readonly log: (event: NodeEvent) => void
}

/** Equal on all nodes for equal group and index. */
export interface StateHash {
  readonly group: number
  /** Applied index that the state belongs to. */
  readonly index: number
  readonly hash: number
}

/** Topics of a node, with what only its owner needs. */
export interface TopicHost extends Topics {
  readonly members: ClusterMembers
  /** Replicas that belong here and cannot run, each with its reason. */
  failed(): readonly FailedReplica[]
  /** Identifies the state of every group here, the catalogue's included. Costs a pass over all state: for tests. */
  stateHashes(): readonly StateHash[]
}

/**
 * Opens the catalogue and, from its state, the partitions of this node. Resolves when the catalogue runs; partitions
 * follow one by one.
 *
 * @throws LogError REPLICA_LOST where the log store holds no catalogue, or refuses it; StateStoreError
 */
export async function openTopics(options: TopicsOptions): Promise<TopicHost> {
  const { logStore, node, stateStore, snapshots } = options
  const refused = logStore.refused().find(entry => entry.group === CATALOGUE_GROUP)
  if (refused !== undefined) throw refused.reason
  const log = logStore.groups().find(candidate => candidate.group === CATALOGUE_GROUP)
  if (log === undefined) {
    throw new LogError(
      'REPLICA_LOST',
      'this data folder holds no catalogue (group 0): found a new cluster with init or dev, or replace a node that lost its disk by a new one',
    )
  }
  const snapshotStore = await snapshots.open(CATALOGUE_GROUP)
  const stored = await loadState(options, snapshotStore, log)
  const machine = new CatalogueMachine({
    stateStore,
    stored,
    snapshotStore,
    base: log.base,
    onApplied: () => host?.changed(),
    onLeadership: leading => host?.catalogueLed(leading),
  })
  let host: Host | undefined
  const handle = await node.open(CATALOGUE_GROUP, machine)
  host = new Host(options, machine, handle)
  host.start()
  return host
}

const PROCESS_CLOCK: HostClock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}

class Host implements TopicHost {
  readonly #options: TopicsOptions
  readonly #machine: CatalogueMachine
  readonly #handle: GroupHandle
  readonly #replicas: ReplicaSet
  readonly #balancer: LeaderBalancer
  readonly members: ClusterMembers
  readonly #reconciler: MemberReconciler
  readonly #retention: Retention
  #wishes: ReadonlyMap<number, GroupWish> = new Map()
  #nodes: readonly NodeInfo[] = []
  #isForeign = false
  /** Committed when the catalogue was opened: states before it are the past, and nothing is opened for them. */
  readonly #openedAt: number
  #reconciling = false
  #closed = false

  constructor(options: TopicsOptions, machine: CatalogueMachine, handle: GroupHandle) {
    const { node, clock = PROCESS_CLOCK, timing } = options
    this.#options = options
    this.#machine = machine
    this.#handle = handle
    this.#openedAt = handle.status().commit
    this.#balancer = new LeaderBalancer(node, clock, () => this.#replicas.open(), timing)
    this.#replicas = new ReplicaSet(options, clock)
    this.members = clusterMembers(machine, handle)
    this.#reconciler = new MemberReconciler({
      clock,
      groups: () => this.#handles(),
      wishOf: group => this.#wishes.get(group),
      log: options.log,
    })
    this.#retention = new Retention({
      ...{ clock, timing, log: options.log, peerSkewsMs: options.peerSkewsMs },
      replicas: () => this.#replicas.open(),
      configOf: plan => this.#configOf(plan),
    })
  }

  start(): void {
    this.#balancer.start()
    this.#reconciler.start()
    this.#retention.start()
    this.changed()
    if (this.#handle.leading) this.catalogueLed(true)
  }

  /** The catalogue applied something; looked at once, after the node's turn. */
  changed(): void {
    if (this.#reconciling || this.#closed) return
    this.#reconciling = true
    queueMicrotask(() => {
      this.#reconciling = false
      if (!this.#closed && this.#machine.applied.index >= this.#openedAt) this.#follow()
    })
  }

  /** Brings what this node does in line with the catalogue as it is now. */
  #follow(): void {
    const { nodeId, folder = '', onNodes } = this.#options
    const { state } = this.#machine
    this.#wishes = groupWishes(state)
    this.#replicas.reconcile(wantedReplicas(state, nodeId, folder))
    const nodes = state.nodes()
    if (JSON.stringify(nodes) !== JSON.stringify(this.#nodes)) onNodes?.(nodes)
    this.#nodes = nodes
    this.#sayIfReplaced()
  }

  /** A node whose data folder is not the cluster's any more has no replicas to run. */
  #sayIfReplaced(): void {
    const { nodeId, folder = '', log } = this.#options
    const isForeign = this.#machine.applied.index > 0 && !isFolderOf(this.#machine.state, nodeId, folder)
    if (isForeign && !this.#isForeign && folder === '') {
      const message = `another data folder has taken the place of node ${nodeId}: no replica of this one is opened. Stop this node`
      log({ level: 'error', message })
    }
    this.#isForeign = isForeign
  }

  *#handles(): Iterable<GroupHandle> {
    yield this.#handle
    for (const { replica } of this.#replicas.open()) yield replica.handle
  }

  catalogueLed(leading: boolean): void {
    if (!leading) return
    queueMicrotask(() => {
      this.#registerNodes().catch((error: unknown) => {
        this.#options.log({ level: 'warn', group: 0, message: `nodes could not be registered: ${String(error)}` })
      })
    })
  }

  get catalogue(): { readonly leading: boolean; readonly leaderNode: number; readonly term: number } {
    return this.#handle
  }

  async create(request: CreateTopic): Promise<{ readonly topic: TopicInfo; readonly created: boolean }> {
    this.#mustLead()
    await this.#registerNodes()
    const nodes = this.#machine.state.placeableNodes()
    const config = resolveConfig(request, nodes.length)
    const { name, ifNotExists } = request
    const result = await proposeToCatalogue(this.#handle, { type: 'createTopic', name, config, ifNotExists, nodes })
    if (result.type !== 'topic')
      throw new MillraceError('INTERNAL', `creating ${name} was answered with ${result.type}`)
    return { topic: result.topic, created: result.created }
  }

  async delete(name: string): Promise<void> {
    this.#mustLead()
    await proposeToCatalogue(this.#handle, { type: 'deleteTopic', name })
  }

  list(): readonly TopicInfo[] {
    return Array.from(this.#machine.state.topics(), topic => topic.info)
  }

  describe(name: string): TopicInfo {
    return this.#topic(name).info
  }

  partition(topic: string, partition: number): Partition | undefined {
    const { partitions } = this.describe(topic)
    const info = partitions[partition]
    if (info !== undefined) return this.#replicas.get(info.group)
    throw new MillraceError(
      'UNKNOWN_PARTITION',
      `topic ${topic} has no partition ${partition}: valid are 0 to ${partitions.length - 1}`,
      { details: { partition, partitions: partitions.length } },
    )
  }

  leaderOf(topic: string, partition: number): number {
    return this.partition(topic, partition)?.leaderNode ?? 0
  }

  async waitCatalogue(): Promise<void> {
    const index = await this.#handle.readIndex()
    await this.#handle.waitApplied(index)
  }

  retention(): RetentionActivity {
    return this.#retention.activity
  }

  replicas(): readonly StartedGroup[] {
    const groups: StartedGroup[] = [{ topic: '', partition: 0, handle: this.#handle, highWatermark: 0 }]
    for (const { replica } of this.#replicas.open()) {
      const { topic, partition, handle, highWatermark } = replica
      groups.push({ topic, partition, handle, highWatermark })
    }
    return groups
  }

  backUp(group: number): Promise<GroupBackup> {
    if (group === CATALOGUE_GROUP) return openGroupBackup(this.#handle, this.#machine)
    const replica = this.#replicas.get(group)
    if (replica !== undefined) return openGroupBackup(replica.handle, replica.machine)
    const message = `group ${group} does not run on node ${this.#options.nodeId}`
    return Promise.reject(new MillraceError('UNKNOWN_PARTITION', message, { details: { group } }))
  }

  holdLeadership(group: number): void {
    const replica = this.#replicas.get(group)
    if (replica?.handle.leading) this.#balancer.hold(group, replica.term)
  }

  failed(): readonly FailedReplica[] {
    return [...this.#replicas.failed()]
  }

  stateHashes(): readonly StateHash[] {
    const machines: [number, CatalogueMachine | PartitionMachine][] = [[CATALOGUE_GROUP, this.#machine]]
    for (const { plan, replica } of this.#replicas.open()) machines.push([plan.group, replica.machine])
    return machines.map(([group, machine]) => ({ group, index: machine.applied.index, hash: machine.stateHash() }))
  }

  async shutdown(): Promise<void> {
    this.#closed = true
    this.#balancer.stop()
    this.#reconciler.stop()
    await this.#retention.stop()
    await this.#replicas.close(new MillraceError('SHUTTING_DOWN', 'the node is stopping'))
  }

  #topic(name: string): CatalogueTopicEntry {
    const topic = this.#machine.state.topic(name)
    if (topic !== undefined) return topic
    throw new MillraceError('UNKNOWN_TOPIC', `there is no topic ${name}`, { details: { topic: name } })
  }

  #configOf({ topic, partition, group }: ReplicaPlan): TopicConfig | undefined {
    const info = this.#machine.state.topic(topic)?.info
    return info?.partitions[partition]?.group === group ? info.config : undefined
  }

  #mustLead(): void {
    if (this.#closed) throw new MillraceError('SHUTTING_DOWN', 'the node is stopping')
    if (!this.#handle.leading) throw notLeading(this.#handle, 'the catalogue')
  }

  /** Brings the nodes that the catalogue knows in line with the configuration of this node. */
  async #registerNodes(): Promise<void> {
    const { state } = this.#machine
    const missing = this.#options.nodes.filter(info => {
      const known = state.node(info.node)
      return known?.clientUrl !== info.clientUrl || known.peerAddress !== info.peerAddress
    })
    await Promise.all(missing.map(info => proposeToCatalogue(this.#handle, { type: 'registerNode', ...info })))
  }
}
