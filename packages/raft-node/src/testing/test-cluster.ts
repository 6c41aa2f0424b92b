/** Three nodes (or any number) in one process, over any store and transport, that can be killed and started again. */
import type { LogStore } from '@millrace/log-store'
import { MemoryLogStore, type MemoryLogStoreOptions } from '@millrace/log-store/memory'
import { type Frame, FrameCodec, FrameKind, NO_PRODUCER } from '@millrace/record'
import { birthRecord } from '../birth-record.ts'
import { joinGroup } from '../group-founding.ts'
import type { GroupConfiguration, GroupHandle, ProposeResult } from '../group-handle.ts'
import type { InboundLimits } from '../inbound-credit.ts'
import { createMemoryNetwork, type MemoryNetwork, type MemoryNetworkOptions } from '../memory-network.ts'
import type { Clock, NodeEvent, NodeTiming, RaftNode } from '../node.ts'
import { createNode } from '../raft-host.ts'
import type { Transport } from '../transport.ts'
import { ListCheckpoint, ListMachine } from './list-machine.ts'
import { until } from './until.ts'

export const FAST: NodeTiming = { heartbeatMs: 20, electionTimeoutMinMs: 150, campaignRankDelayMs: 20 }

export function configurationOf(nodes: readonly number[]): GroupConfiguration {
  // Replica ids differ from node ids, so that a mix-up shows.
  const places = nodes.map(node => ({ replica: replicaOn(node), node }))
  const voters = places.map(place => place.replica)
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false, places }
}

export function replicaOn(node: number): number {
  return node + 10
}

/** How a proposal ended. */
export type Ending =
  | { readonly type: 'applied'; readonly frame: Frame; readonly result: unknown }
  | { readonly type: 'not_stored' | 'unknown'; readonly reason: string }

export interface Proposal {
  result: ProposeResult
  /** Set once the waiter has been told. */
  ending: Ending | undefined
  /** Called then. */
  settled?: () => void
}

/** Proposes one record of that text. */
export function propose(handle: GroupHandle, text: string, recordCount = 1): Proposal {
  const body = {
    kind: FrameKind.records,
    codec: FrameCodec.none,
    recordCount,
    producerId: NO_PRODUCER,
    producerEpoch: 0,
    sequence: 0,
    payload: new TextEncoder().encode(text),
  }
  const proposal: Proposal = { result: { type: 'dropped', reason: 'notLeader', message: '' }, ending: undefined }
  const end = (ending: Ending): void => {
    if (proposal.ending !== undefined) throw new Error('told twice')
    proposal.ending = ending
    proposal.settled?.()
  }
  proposal.result = handle.propose(body, {
    applied: (frame, result) => end({ type: 'applied', frame, result }),
    failed: (outcome, reason) => end({ type: outcome, reason }),
  })
  return proposal
}

export interface TestNode {
  readonly id: number
  readonly node: RaftNode
  readonly store: LogStore
  readonly transport: Transport
  readonly machines: Map<number, ListMachine>
  readonly events: NodeEvent[]
  /** Where peers reach it, where that is told by configurations. */
  readonly address: string | undefined
}

export interface TestClusterOptions {
  readonly nodes?: readonly number[]
  readonly groups?: readonly number[]
  /** At birth. Default: every node has a voter. */
  readonly configuration?: GroupConfiguration
  readonly timing?: NodeTiming
  readonly inbound?: InboundLimits
  readonly clock?: (node: number) => Clock
  readonly network?: MemoryNetworkOptions
  readonly addressOf?: (node: number) => string
  readonly store?: MemoryLogStoreOptions
  readonly transport?: (node: number) => Promise<Transport>
  readonly openStore?: (node: number) => Promise<LogStore>
  /** Ends a store as a crash would, where `openStore` is given. */
  readonly crashStore?: (node: number, store: LogStore) => Promise<void>
}

export class TestCluster {
  readonly network: MemoryNetwork
  readonly nodeIds: readonly number[]
  readonly groups: readonly number[]
  readonly up: Map<number, TestNode> = new Map()
  readonly #options: TestClusterOptions
  readonly #stores = new Map<number, MemoryLogStore>()
  readonly #replicas = new Map<number, number>()
  readonly #checkpoints = new Map<string, ListCheckpoint>()

  constructor(options: TestClusterOptions = {}) {
    this.#options = options
    this.network = createMemoryNetwork(options.network)
    this.nodeIds = options.nodes ?? [1, 2, 3]
    this.groups = options.groups ?? [7]
  }

  static async start(options: TestClusterOptions = {}): Promise<TestCluster> {
    const cluster = new TestCluster(options)
    for (const id of cluster.nodeIds) await cluster.startNode(id)
    return cluster
  }

  /** @param replica of a founding node that comes back with nothing, under a new id; those that come later join */
  async startNode(id: number, replica: number = this.#replicas.get(id) ?? replicaOn(id)): Promise<TestNode> {
    this.#replicas.set(id, replica)
    const store = await this.#openStore(id)
    const events: NodeEvent[] = []
    const transport = (await this.#options.transport?.(id)) ?? this.network.transport(id)
    const node = await createNode({
      nodeId: id,
      logStore: store,
      transport,
      timing: this.#options.timing ?? FAST,
      inbound: this.#options.inbound ?? {},
      ...(this.#options.clock && { clock: this.#options.clock(id) }),
      log: event => events.push(event),
    })
    const machines = new Map<number, ListMachine>()
    const address = this.#options.addressOf?.(id)
    const running = { id, node, store, transport, machines, events, address }
    this.up.set(id, running)
    for (const group of this.groups) {
      if (!store.groups().some(log => log.group === group)) {
        const founds = this.nodeIds.includes(id) && replica === replicaOn(id)
        if (founds) await store.create(group, this.#birth(id, group))
        else await joinGroup(store, { group, replica })
      }
      const machine = new ListMachine(this.checkpoint(id, group))
      machines.set(group, machine)
      await node.open(group, machine)
    }
    return running
  }

  checkpoint(node: number, group: number): ListCheckpoint {
    const key = `${node}/${group}`
    const known = this.#checkpoints.get(key) ?? new ListCheckpoint()
    this.#checkpoints.set(key, known)
    return known
  }

  #birth(node: number, group: number): Parameters<LogStore['create']>[1] {
    const configuration = this.#options.configuration ?? configurationOf(this.nodeIds)
    const base = birthRecord({ clusterId: 'test', group, createIndex: 3, createTimestamp: 1_000, configuration })
    return { replicaId: replicaOn(node), base }
  }

  async #openStore(id: number): Promise<LogStore> {
    if (this.#options.openStore !== undefined) return this.#options.openStore(id)
    const store = this.#stores.get(id)?.reopen() ?? new MemoryLogStore(this.#options.store)
    this.#stores.set(id, store)
    return store
  }

  /** Ends a node for good: its disk is lost. Memory stores only. */
  async lose(id: number): Promise<void> {
    await this.kill(id)
    this.#stores.delete(id)
    for (const group of this.groups) this.#checkpoints.delete(`${id}/${group}`)
  }

  /** As a crash: nothing is finished, written or told. Memory stores keep what was acknowledged. */
  async kill(id: number): Promise<void> {
    const { node, transport, store } = this.up.get(id)!
    this.up.delete(id)
    await transport.close()
    await this.#options.crashStore?.(id, store)
    const memory = this.#stores.get(id)
    if (memory !== undefined) this.#stores.set(id, memory.reopen())
    for (const { group } of node.groups()) await node.closeGroup(group)
    await node.shutdown()
  }

  async stop(): Promise<void> {
    for (const { node, store } of [...this.up.values()]) {
      await node.shutdown()
      await store.close()
    }
    this.up.clear()
  }

  handle(node: number, group: number = this.groups[0]!): GroupHandle {
    return this.up.get(node)!.node.group(group)!
  }

  machine(node: number, group: number = this.groups[0]!): ListMachine {
    return this.up.get(node)!.machines.get(group)!
  }

  /** The node that leads `group` and takes proposals, among those that are up. */
  leaderOf(group: number = this.groups[0]!): number {
    for (const id of this.up.keys()) if (this.handle(id, group)?.leading) return id
    return 0
  }

  async leader(group: number = this.groups[0]!): Promise<number> {
    await until(`group ${group} has a leader`, () => this.leaderOf(group) !== 0)
    return this.leaderOf(group)
  }

  /** Proposes through whoever leads until it is applied. */
  async append(text: string, group: number = this.groups[0]!): Promise<Frame> {
    for (let attempt = 0; attempt < 100; attempt++) {
      const proposal = propose(this.handle(await this.leader(group), group), text)
      if (proposal.result.type === 'dropped') {
        await new Promise(resolve => setTimeout(resolve, 5))
        continue
      }
      await until(`${text} ends`, () => proposal.ending !== undefined)
      if (proposal.ending?.type === 'applied') return proposal.ending.frame
      if (proposal.ending?.type === 'unknown') throw new Error(proposal.ending.reason)
    }
    throw new Error(`${text} was never accepted`)
  }

  /** Waits until every node that is up has applied the same entries, `count` of them. */
  async converged(count: number, group: number = this.groups[0]!): Promise<readonly string[]> {
    const machines = [...this.up.keys()].map(id => this.machine(id, group))
    await until(`${count} entries everywhere`, () => machines.every(machine => machine.entries.length === count))
    const [first, ...others] = machines
    for (const other of others) {
      if (other.entries.join() !== first!.entries.join()) throw new Error('replicas differ')
    }
    return first!.entries
  }
}
