/**
 * One replicated state machine on one node: the library for programs that replicate one thing. It is a node with one
 * group; whoever has many uses `createNode` and `GroupHandle` instead.
 *
 * Invariant: it is `shutdown`, or has no replica yet, or its replica is open.
 */
import type { LogStore, SnapshotStore } from '@millrace/log-store'
import { MillraceError } from '@millrace/record'
import { type ApplyOptions, applyCommand } from './apply-command.ts'
import { type Fsm, openFsm } from './fsm.ts'
import type { BootstrapOptions } from './group-bootstrap.ts'
import { joinGroup } from './group-founding.ts'
import type { ConfirmedLeader, GroupConfiguration, GroupHandle, GroupStatus } from './group-handle.ts'
import { GroupMembers } from './group-members.ts'
import type { NodeOptions, RaftNode } from './node.ts'
import { createNode } from './raft-host.ts'
import { systemClock } from './system-clock.ts'

/** `idle`: this node has no replica yet; it is to be founded by `bootstrap`, or to join. */
export type RaftState = 'idle' | 'follower' | 'candidate' | 'leader' | 'shutdown'

export interface RaftOptions extends Omit<NodeOptions, 'nodeId'> {
  /** Of this node, from 1 on; unique in the cluster. */
  readonly id: number
  readonly clusterId: string
  readonly fsm: Fsm
  /** Log, term and vote. Not closed by `shutdown`. */
  readonly logStore: LogStore
  /** Of this state machine. */
  readonly snapshotStore: SnapshotStore
  /** Group number of the state machine. Default 1. */
  readonly group?: number
}

export interface RaftFounding extends BootstrapOptions {
  /** Ids of all founding nodes, this one among them. */
  readonly nodes: readonly number[]
  /** Where they are reached (`host:port`), for nodes that join later. */
  readonly addresses?: ReadonlyMap<number, string>
  /** Allows `leaseRead`, for ever. Default false. */
  readonly leaseReads?: boolean
}

/** What changed. Heard from the turn loop: must not throw, and reads the rest from the `Raft`. */
export type RaftObserver = (
  event:
    | { readonly type: 'state'; readonly state: RaftState; readonly leaderNode: number }
    | { readonly type: 'configuration'; readonly configuration: GroupConfiguration },
) => void

export interface RaftMetrics {
  readonly state: RaftState
  /** Absent while there is no replica. */
  readonly status?: GroupStatus
  readonly store: ReturnType<LogStore['stats']>
  readonly snapshots: ReturnType<RaftNode['snapshots']>
}

/**
 * Starts the node, and its replica where the store holds one.
 *
 * @throws as `createNode` and `openFsm`
 */
export async function createRaft(options: RaftOptions): Promise<Raft> {
  const node = await createNode({ ...options, nodeId: options.id })
  const raft = new Raft(options, node)
  try {
    await raft.openIfThere()
  } catch (error) {
    await node.shutdown()
    throw error
  }
  return raft
}

export class Raft {
  readonly id: number
  readonly group: number
  readonly #options: RaftOptions
  readonly #node: RaftNode
  readonly #observers = new Set<RaftObserver>()
  #handle: GroupHandle | undefined
  #members: GroupMembers | undefined
  #stopped = false

  /** Not to be called: {@link createRaft} opens the replica too. */
  constructor(options: RaftOptions, node: RaftNode) {
    this.id = options.id
    this.group = options.group ?? 1
    this.#options = options
    this.#node = node
  }

  get state(): RaftState {
    if (this.#stopped) return 'shutdown'
    if (this.#handle === undefined) return 'idle'
    const { role } = this.#handle.status()
    return role === 'preCandidate' ? 'candidate' : role
  }

  /** Node of the leader; 0: none known. */
  get leaderNode(): number {
    return this.#handle?.leaderNode ?? 0
  }

  /**
   * Adds, promotes, demotes, removes and replaces replicas, on the leader; see {@link GroupMembers}.
   *
   * @throws MillraceError as the other methods
   */
  get members(): GroupMembers {
    const { clock = systemClock } = this.#options
    this.#members ??= new GroupMembers(this.#opened(), clock)
    return this.#members
  }

  /**
   * Founds the group with all other founding nodes, which do the same; see `RaftNode.bootstrap`. Once in the life of a
   * cluster: later starts find the replica in the store.
   */
  async bootstrap({ nodes, addresses, leaseReads = false, ...options }: RaftFounding): Promise<void> {
    const { clusterId } = this.#options
    const founding = { clusterId, group: this.group, nodes, leaseReads, ...(addresses && { addresses }) }
    await this.#node.bootstrap(founding, options)
    await this.openIfThere()
  }

  /** Waits to be added to the group by its leader, as that replica: once, on a node that comes later or lost its disk. */
  async join(replica: number): Promise<void> {
    await joinGroup(this.#options.logStore, { group: this.group, replica })
    await this.openIfThere()
  }

  /** Has a command committed and applied, on the leader; see {@link applyCommand} for what its errors say. */
  async apply(command: Uint8Array, options: ApplyOptions = {}): Promise<unknown> {
    return await applyCommand(this.#opened(), command, options)
  }

  /**
   * Reads linearizably, on any node: what was acknowledged before the call is seen.
   *
   * @throws as `GroupHandle.readIndex`
   */
  async read<T>(read: () => T): Promise<T> {
    const handle = this.#opened()
    await handle.waitApplied(await handle.readIndex())
    return read()
  }

  /** @see GroupHandle.leaseRead */
  async leaseRead<T>(read: () => T): Promise<T> {
    return await this.#opened().leaseRead(read)
  }

  /** @see GroupHandle.verifyLeader */
  async verifyLeader(): Promise<ConfirmedLeader> {
    return await this.#opened().verifyLeader()
  }

  /** @see GroupHandle.transferLeadership */
  transferLeadership(toNode: number): void {
    this.#opened().transferLeadership(toNode)
  }

  /** Takes a snapshot now; otherwise thresholds decide. */
  async snapshot(): Promise<void> {
    await this.#opened().takeSnapshot()
  }

  /** @returns what ends it */
  observe(observer: RaftObserver): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  metrics(): RaftMetrics {
    const status = this.#handle?.status()
    return {
      state: this.state,
      ...(status !== undefined && { status }),
      store: this.#options.logStore.stats(),
      snapshots: this.#node.snapshots(),
    }
  }

  /** Gives leadership away, finishes what is under way, and stops; not the stores. */
  async shutdown(): Promise<void> {
    await this.#node.shutdown()
    if (this.#stopped) return
    this.#stopped = true
    this.#tell({ type: 'state', state: 'shutdown', leaderNode: 0 })
    this.#observers.clear()
  }

  /** Called by {@link createRaft}. */
  async openIfThere(): Promise<void> {
    const { logStore, fsm, snapshotStore } = this.#options
    const refused = logStore.refused().find(one => one.group === this.group)
    if (refused !== undefined) throw refused.reason
    if (this.#handle !== undefined || !logStore.groups().some(log => log.group === this.group)) return
    const handle = await this.#node.open(this.group, await openFsm(fsm, snapshotStore))
    this.#handle = handle
    handle.observe(({ type }) => {
      if (type === 'configuration') this.#tell({ type, configuration: handle.status().configuration })
      else this.#tell({ type: 'state', state: this.state, leaderNode: handle.leaderNode })
    })
  }

  #opened(): GroupHandle {
    if (this.#stopped) throw new MillraceError('SHUTTING_DOWN', `node ${this.id} has stopped`)
    if (this.#handle !== undefined) return this.#handle
    throw new MillraceError('NO_LEADER', `node ${this.id} has no replica yet: bootstrap, or join`)
  }

  #tell(event: Parameters<RaftObserver>[0]): void {
    for (const observer of this.#observers) observer(event)
  }
}
