/** Nodes of one cluster in this process: real Raft over an in-memory network, log and state kept over restarts. */
import { MemoryLogStore, type MemoryLogStoreOptions, MemorySnapshotStores } from '@millrace/log-store/memory'
import type { NodeEvent, RaftNode, SnapshotOptions, Transport } from '@millrace/raft-node'
import { birthGroup, createNode, joinGroup } from '@millrace/raft-node'
import type { MemoryNetwork } from '@millrace/raft-node/memory'
import { createMemoryNetwork } from '@millrace/raft-node/memory'
import { MillraceError } from '@millrace/record'
import type { AppendBatch, Appended, Partition } from '../partition.ts'
import type { PartitionReplica } from '../partition-replica.ts'
import type { StateStore } from '../state-store.ts'
import type { TopicHost } from '../topic-host.ts'
import { openTopics } from '../topic-host.ts'

const CLUSTER_ID = 'test-cluster'

interface RunningNode {
  readonly node: RaftNode
  readonly topics: TopicHost
  readonly stateStore: StateStore
  readonly transport: Transport
}

export interface MemoryClusterOptions {
  /** Default 30,000. */
  readonly checkpointIntervalMs?: number
  /** Default 30,000. */
  readonly retentionIntervalMs?: number
  readonly logStore?: MemoryLogStoreOptions
  readonly sending?: SnapshotOptions
}

export class MemoryCluster {
  readonly network: MemoryNetwork = createMemoryNetwork()
  readonly events: (NodeEvent & { readonly node: number })[] = []
  /** Hears every event, from within a node. */
  onEvent: (event: NodeEvent & { readonly node: number }) => void = () => undefined
  readonly #ids: readonly number[]
  /** Ids of the folders of nodes that joined. */
  readonly #folders = new Map<number, string>()
  readonly #logStores = new Map<number, MemoryLogStore>()
  readonly #snapshots = new Map<number, MemorySnapshotStores>()
  readonly #running = new Map<number, RunningNode>()
  readonly #zombies: Promise<void>[] = []
  readonly #openState: (node: number) => StateStore
  readonly #options: MemoryClusterOptions

  private constructor(ids: readonly number[], openState: (node: number) => StateStore, options: MemoryClusterOptions) {
    this.#ids = ids
    this.#openState = openState
    this.#options = options
  }

  /** @param openState the node's state store as its disk has it at a start */
  static async found(
    nodes: number,
    openState: (node: number) => StateStore,
    options: MemoryClusterOptions = {},
  ): Promise<MemoryCluster> {
    const ids = Array.from({ length: nodes }, (_, i) => i + 1)
    const cluster = new MemoryCluster(ids, openState, options)
    for (const nodeId of ids) {
      const logStore = new MemoryLogStore(options.logStore)
      await birthGroup(logStore, { clusterId: CLUSTER_ID, group: 0, nodes: ids, nodeId })
      cluster.#logStores.set(nodeId, logStore)
      cluster.#snapshots.set(nodeId, new MemorySnapshotStores())
    }
    await Promise.all(ids.map(id => cluster.start(id)))
    return cluster
  }

  /** @param folder id of the data folder, as it says itself */
  async start(nodeId: number, folder: string = this.#folders.get(nodeId) ?? ''): Promise<void> {
    const logStore = this.#logStores.get(nodeId)!
    const log = (event: NodeEvent): void => {
      // What a killed node says, while it winds down without its disk, nobody would have heard.
      if (logStore !== this.#logStores.get(nodeId)) return
      this.events.push({ ...event, node: nodeId })
      this.onEvent({ ...event, node: nodeId })
    }
    const transport = this.network.transport(nodeId)
    const { checkpointIntervalMs = 30_000, retentionIntervalMs = 30_000 } = this.#options
    const timing = { heartbeatMs: 50, electionTimeoutMinMs: 500, checkpointIntervalMs }
    const { sending = {} } = this.#options
    const node = await createNode({ nodeId, logStore, transport, timing, log, snapshots: sending })
    const stateStore = this.#openState(nodeId)
    const nodes = this.#ids.map(id => ({ node: id, clientUrl: `http://node-${id}`, peerAddress: `node-${id}:7080` }))
    const snapshots = this.#snapshots.get(nodeId)!
    const topics = await openTopics({
      node,
      logStore,
      stateStore,
      snapshots,
      nodeId,
      clusterId: CLUSTER_ID,
      folder,
      nodes,
      timing: { retentionIntervalMs },
      log,
    })
    this.#running.set(nodeId, { node, topics, stateStore, transport })
  }

  /**
   * Starts a node with nothing on its disk, once the catalogue has given it its replica.
   *
   * @param folder of the new disk
   */
  async join(nodeId: number, folder: string): Promise<void> {
    const address = { node: nodeId, clientUrl: `http://node-${nodeId}`, peerAddress: `node-${nodeId}:7080` }
    const replica = await this.surely(leader => leader.members.claim({ ...address, folder }))
    const logStore = new MemoryLogStore(this.#options.logStore)
    await joinGroup(logStore, { group: 0, replica: replica.catalogueReplica })
    this.#logStores.set(nodeId, logStore)
    this.#snapshots.set(nodeId, new MemorySnapshotStores())
    this.#folders.set(nodeId, folder)
    await this.start(nodeId)
  }

  /** What the catalogue's leader answers, as soon as one does. */
  async surely<T>(ask: (leader: TopicHost) => Promise<T>): Promise<T> {
    for (;;) {
      const leader = this.catalogueLeader()
      try {
        if (leader !== undefined) return await ask(leader)
      } catch (error) {
        if (!(error instanceof MillraceError && error.retryable)) throw error
      }
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  /** Ends a node in the middle of things: what its disk has is all that is left. */
  kill(nodeId: number): void {
    const { node, topics, transport } = this.#running.get(nodeId)!
    this.#running.delete(nodeId)
    this.#reopen(nodeId)
    // What is left of it in this process is cut off from disk and network, and winds down in the background.
    this.#zombies.push(
      transport
        .close()
        .then(() => topics.shutdown())
        .then(() => node.shutdown()),
    )
  }

  /** Stops a node in good order. */
  async stop(nodeId: number): Promise<void> {
    const { node, topics, stateStore } = this.#running.get(nodeId)!
    this.#running.delete(nodeId)
    await topics.shutdown()
    await node.shutdown()
    await stateStore.close()
    this.#reopen(nodeId)
  }

  /** What the next process of the node finds. */
  #reopen(nodeId: number): void {
    this.#logStores.set(nodeId, this.#logStores.get(nodeId)!.reopen())
    this.#snapshots.set(nodeId, this.#snapshots.get(nodeId)!.reopen())
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map(id => this.stop(id)))
    await Promise.all(this.#zombies)
  }

  get ids(): readonly number[] {
    return [...this.#running.keys()].sort((a, b) => a - b)
  }

  node(nodeId: number): RaftNode {
    return this.#running.get(nodeId)!.node
  }

  topics(nodeId: number): TopicHost {
    return this.#running.get(nodeId)!.topics
  }

  /** The node that leads the catalogue, if one does. */
  catalogueLeader(): TopicHost | undefined {
    return [...this.#running.values()].find(({ topics }) => topics.catalogue.leading)?.topics
  }

  replica(nodeId: number, topic: string, partition: number): PartitionReplica | undefined {
    try {
      return this.topics(nodeId).partition(topic, partition) as PartitionReplica | undefined
    } catch (error) {
      // This node's catalogue has not heard of the topic yet.
      if (error instanceof MillraceError && error.code === 'UNKNOWN_TOPIC') return undefined
      throw error
    }
  }

  leader(topic: string, partition: number): Partition | undefined {
    return this.ids.map(id => this.replica(id, topic, partition)).find(replica => replica?.leading)
  }

  /** Node that leads each partition, 0 where none does. */
  leaders(topic: string, partitions: number): readonly number[] {
    return Array.from({ length: partitions }, (_, p) => {
      return this.ids.find(id => this.replica(id, topic, p)?.leading) ?? 0
    })
  }

  /** One attempt at the leader. */
  append(topic: string, partition: number, batch: AppendBatch): Promise<Appended> {
    const leader = this.leader(topic, partition)
    if (leader === undefined) return Promise.reject(new MillraceError('NO_LEADER', 'none at the moment'))
    return new Promise((resolve, reject) => {
      leader.append(batch, answer => (answer instanceof MillraceError ? reject(answer) : resolve(answer)))
    })
  }

  /** Attempts until one is answered. */
  async appendSurely(topic: string, partition: number, batch: AppendBatch): Promise<Appended> {
    for (;;) {
      try {
        return await this.append(topic, partition, batch)
      } catch (error) {
        if (!(error instanceof MillraceError && error.retryable)) throw error
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }
  }
}
