/** One Raft group of a simulation: its history, its replicas of all times, and what its clients were told. */
import type { Configuration, ReplicaId } from '@millrace/raft-core'
import { isMember } from './invariants/configuration.ts'
import { GroupHistory } from './invariants/group-history.ts'
import type { LogBase } from './log-image.ts'
import { Replica } from './replica.ts'
import type { SimNode } from './sim-node.ts'
import { NO_STATE, stateAtBirth } from './state-machine.ts'
import { StorageRecord } from './storage-record.ts'
import type { World } from './world.ts'

/** What clients were told, in numbers. */
export interface Outcomes {
  accepted: number
  acknowledged: number
  refused: number
  unknown: number
}

const NOBODY: Configuration = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
/** Every log of a group begins after this entry, so that an empty replica never matches it. */
const BIRTH = { index: 1, term: 1 }

export class SimGroup {
  readonly id: number
  readonly history: GroupHistory
  /** Replicas that exist on a disk, by id. */
  readonly replicas: Map<ReplicaId, Replica> = new Map()
  readonly outcomes: Outcomes = { accepted: 0, acknowledged: 0, refused: 0, unknown: 0 }
  /** Replicas whose disk is gone although the group may still count on them. */
  readonly lost: Set<ReplicaId> = new Set()
  readonly #birth: Configuration
  readonly #world: World
  #lastReplicaId = 0

  /** Creates the group with a voter on each of `nodes`, not started yet. */
  constructor(world: World, id: number, nodes: readonly SimNode[]) {
    this.#world = world
    this.id = id
    this.history = new GroupHistory(BIRTH)
    const state = stateAtBirth(BIRTH.index, BIRTH.term)
    this.history.hashes.set(state.index, state.hash)
    const places = nodes.map((node, i) => ({ replica: i + 1, node: node.id }))
    const leaseReads = world.plan.config.readMode === 'lease'
    this.#birth = {
      ...NOBODY,
      voters: places.map(({ replica }) => replica),
      ...(world.hosting && { places, ...(leaseReads && { leaseReads }) }),
    }
    const start = { chain: id, timestamp: 0, nextOffset: 0 }
    const base = { ...BIRTH, ...start, configuration: this.#birth, configurationIndex: BIRTH.index }
    for (const node of nodes) this.#create(node, base, state)
  }

  /** A replica that knows nothing yet: it is given a configuration by a snapshot. Its node starts it. */
  createEmpty(node: SimNode): Replica {
    const start = { index: 0, term: 0, chain: 0, timestamp: 0, nextOffset: 0 }
    const base = { ...start, configuration: NOBODY, configurationIndex: 0 }
    return this.#create(node, base, NO_STATE)
  }

  /** The replica is gone for good, with its log. */
  destroy(replica: Replica): void {
    replica.crash()
    replica.node.replicas.delete(this.id)
    this.replicas.delete(replica.id)
    replica.node.reconcile()
  }

  /** The operator replaces replicas whose disk is gone. The real host is not asked to yet: a majority has to do. */
  get replacesLost(): boolean {
    return this.#world.hosting === undefined
  }

  /** Replicas whose process runs, in order of id. */
  running(): Replica[] {
    return [...this.replicas.values()].filter(replica => replica.isRunning)
  }

  /** The running leader of the highest term. */
  leader(): Replica | undefined {
    const leaders = this.running().filter(replica => replica.status.role === 'leader')
    return leaders.sort((a, b) => b.status.term - a.status.term)[0]
  }

  /** The newest configuration that any leader has committed. */
  committedConfiguration(): Configuration {
    const index = this.history.configurationIndexAt(this.history.committedTo)
    return this.history.committed(index)?.configuration ?? this.#birth
  }

  /** Every configuration that may still decide something: in force at a member, or ahead of it in its log. */
  configurationsInView(): Configuration[] {
    const newest = this.committedConfiguration()
    const members = [...this.replicas.values()].filter(replica => isMember(newest, replica.id))
    return [newest, ...members.flatMap(configurationsOf)]
  }

  #create(node: SimNode, base: LogBase, state: typeof NO_STATE): Replica {
    this.#lastReplicaId++
    const id = this.#lastReplicaId
    const disk = new StorageRecord(base, state)
    const replica =
      this.#world.hosting?.createReplica(this, node, id, disk) ?? new Replica(this.#world, this, node, id, disk)
    this.replicas.set(replica.id, replica)
    node.replicas.set(this.id, replica)
    return replica
  }
}

function configurationsOf(replica: Replica): Configuration[] {
  const { disk } = replica
  return [disk.durable, disk.view].flatMap(log => [
    log.configurationAt(disk.commit).configuration,
    ...log.entries.flatMap(entry =>
      entry.index > disk.commit && entry.config !== undefined ? [entry.config.result] : [],
    ),
  ])
}
