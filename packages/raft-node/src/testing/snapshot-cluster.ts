/** Three nodes with a state machine that takes snapshots, over any transport and stores. */
import type { LogStore, SnapshotStore } from '@millrace/log-store'
import { MemoryLogStore, MemorySnapshotStore } from '@millrace/log-store/memory'
import { applyCommand } from '../apply-command.ts'
import { birthRecord } from '../birth-record.ts'
import { openFsm } from '../fsm.ts'
import { joinGroup } from '../group-founding.ts'
import type { GroupHandle } from '../group-handle.ts'
import { createMemoryNetwork, type MemoryNetwork } from '../memory-network.ts'
import type { NodeEvent, NodeTiming, RaftNode } from '../node.ts'
import { createNode } from '../raft-host.ts'
import type { SnapshotOptions } from '../snapshot-options.ts'
import type { StateMachine } from '../state-machine.ts'
import type { Transport } from '../transport.ts'
import { BlobFsm, setBlob } from './blob-fsm.ts'
import { configurationOf, replicaOn } from './test-cluster.ts'
import { until } from './until.ts'

export const SNAPSHOT_GROUP = 7
const NODES = [1, 2, 3]

/** Elections are on evidence where there is any; the timeout is long, for machines that do other things too. */
const TIMING: NodeTiming = { heartbeatMs: 50, electionTimeoutMinMs: 1_000, campaignRankDelayMs: 20 }

export interface SnapshotClusterOptions {
  readonly snapshots?: SnapshotOptions
  readonly transport?: (node: number) => Transport
  /** In place of the state machine that would be opened. */
  readonly machine?: (machine: StateMachine, id: number, fsm: BlobFsm, store: SnapshotStore) => StateMachine
  /** Nodes whose replica waits for a snapshot to bring it everything. */
  readonly joining?: readonly number[]
  readonly openStore?: (node: number) => Promise<LogStore>
  readonly openSnapshots?: (node: number) => Promise<SnapshotStore>
}

export interface SnapshotNode {
  readonly node: RaftNode
  readonly fsm: BlobFsm
  readonly store: LogStore
  readonly snapshotStore: SnapshotStore
  readonly handle: GroupHandle
  readonly events: NodeEvent[]
}

export class SnapshotCluster {
  readonly network: MemoryNetwork = createMemoryNetwork()
  readonly up: Map<number, SnapshotNode> = new Map()
  readonly #options: SnapshotClusterOptions
  readonly #logs = new Map<number, MemoryLogStore>()
  readonly #snapshots = new Map<number, MemorySnapshotStore>()

  constructor(options: SnapshotClusterOptions = {}) {
    this.#options = options
  }

  async startNode(id: number, prepare: (fsm: BlobFsm) => unknown = () => undefined): Promise<SnapshotNode> {
    const store = await this.#openStore(id)
    const snapshotStore = await this.#openSnapshots(id)
    const events: NodeEvent[] = []
    const node = await createNode({
      nodeId: id,
      logStore: store,
      transport: this.#options.transport?.(id) ?? this.network.transport(id),
      timing: TIMING,
      snapshots: this.#options.snapshots ?? {},
      log: event => events.push(event),
    })
    if (!store.groups().some(log => log.group === SNAPSHOT_GROUP)) {
      const replica = replicaOn(id)
      const birth = { clusterId: 'test', group: SNAPSHOT_GROUP, createIndex: 3, createTimestamp: 1_000 }
      const base = birthRecord({ ...birth, configuration: configurationOf(NODES) })
      if (this.#options.joining?.includes(id)) await joinGroup(store, { group: SNAPSHOT_GROUP, replica })
      else await store.create(SNAPSHOT_GROUP, { replicaId: replica, base })
    }
    const fsm = new BlobFsm()
    await prepare(fsm)
    const machine = await openFsm(fsm, snapshotStore)
    const handle = await node.open(SNAPSHOT_GROUP, this.#options.machine?.(machine, id, fsm, snapshotStore) ?? machine)
    const running = { node, fsm, store, snapshotStore, handle, events }
    this.up.set(id, running)
    return running
  }

  at(id: number): SnapshotNode {
    return this.up.get(id)!
  }

  async leader(): Promise<SnapshotNode & { readonly id: number }> {
    const leading = (): [number, SnapshotNode] | undefined => [...this.up].find(([, { handle }]) => handle.leading)
    await until('there is a leader', () => leading() !== undefined)
    const [id, node] = leading()!
    return { id, ...node }
  }

  /** Sets a key, through whoever leads. */
  async set(key: number, value: Uint8Array | number): Promise<void> {
    const bytes = typeof value === 'number' ? new Uint8Array(value).fill(key) : value
    for (;;) {
      const { handle } = await this.leader()
      try {
        await applyCommand(handle, setBlob(key, bytes))
        return
      } catch (error) {
        // Setting a key twice is the same as once: whatever the outcome was, it may be tried again.
        if (!/LEADER|STARTING/.test((error as { code?: string }).code ?? '')) throw error
        await new Promise(resolve => setTimeout(resolve, 5))
      }
    }
  }

  /** As a crash: memory stores keep what was acknowledged. */
  async kill(id: number): Promise<void> {
    const { node, store } = this.at(id)
    this.up.delete(id)
    const memory = this.#logs.get(id)
    if (memory !== undefined) this.#logs.set(id, memory.reopen())
    await node.closeGroup(SNAPSHOT_GROUP)
    await node.shutdown()
    if (memory === undefined) await store.close()
  }

  async stop(): Promise<void> {
    for (const { node, store } of [...this.up.values()]) {
      await node.shutdown()
      await store.close()
    }
    this.up.clear()
  }

  /** Waits until all nodes that are up have applied the same, and have the same state. */
  async converged(): Promise<void> {
    await until('all have applied everything', () => {
      const statuses = [...this.up.values()].map(({ handle }) => handle.status())
      const last = Math.max(...statuses.map(status => status.lastIndex))
      return statuses.every(status => status.applied === last && status.commit === last)
    })
    const hashes = new Set([...this.up.values()].map(({ fsm }) => fsm.hash))
    if (hashes.size !== 1) throw new Error('states differ')
  }

  async #openStore(id: number): Promise<LogStore> {
    if (this.#options.openStore !== undefined) return this.#options.openStore(id)
    const store = this.#logs.get(id)?.reopen() ?? new MemoryLogStore()
    this.#logs.set(id, store)
    return store
  }

  async #openSnapshots(id: number): Promise<SnapshotStore> {
    if (this.#options.openSnapshots !== undefined) return this.#options.openSnapshots(id)
    const store = this.#snapshots.get(id)?.reopen() ?? new MemorySnapshotStore()
    this.#snapshots.set(id, store)
    return store
  }
}
