/** A cluster of {@link TestReplica}s and the network between them, driven step by step. */
import type { RaftConfig, RandomInt } from '../config.ts'
import type { Configuration } from '../configuration.ts'
import type { ReplicaId } from '../entry.ts'
import type { StepResult } from '../input.ts'
import { EMPTY_CONFIGURATION } from '../membership/changer.ts'
import type { Message } from '../message.ts'
import { TestReplica } from './test-replica.ts'

export interface ClusterOptions {
  readonly config?: Partial<RaftConfig>
  readonly learners?: readonly ReplicaId[]
  readonly randomInt?: RandomInt
  /** Replicas that exist without a configuration. */
  readonly blank?: readonly ReplicaId[]
}

/** Index of the base that every replica of a cluster is born from. */
export const BIRTH = { index: 1, term: 1 } as const

export class TestCluster {
  readonly replicas: Map<ReplicaId, TestReplica> = new Map()
  /** Messages that left and have not arrived, in order. */
  network: Message<string>[] = []
  /** Messages for which this answers true are lost. */
  lose: (message: Message<string>) => boolean = () => false
  /** Replicas whose storage does not finish anything. */
  readonly stalled: Set<ReplicaId> = new Set()
  readonly #config: Partial<RaftConfig>
  readonly #randomInt: RandomInt | undefined

  constructor(voters: readonly ReplicaId[], options: ClusterOptions = {}) {
    this.#config = options.config ?? {}
    this.#randomInt = options.randomInt
    const learners = options.learners ?? []
    const configuration = { ...EMPTY_CONFIGURATION, voters, learners }
    for (const id of [...voters, ...learners]) this.add(id, configuration)
    for (const id of options.blank ?? []) this.add(id)
  }

  add(id: ReplicaId, configuration?: Configuration, config: Partial<RaftConfig> = {}): TestReplica {
    const base = configuration === undefined ? { index: 0, term: 0 } : BIRTH
    const disk = {
      hard: { term: base.term, vote: 0, commit: base.index },
      base,
      entries: [],
      baseState: [],
      baseConfiguration: configuration ?? EMPTY_CONFIGURATION,
      baseConfigurationIndex: base.index,
    }
    // Replicas draw different timeouts, and always the same ones.
    const replica = new TestReplica(
      { ...this.#config, ...config, id },
      disk,
      this.#randomInt ?? (bound => (id * 3) % bound),
    )
    this.replicas.set(id, replica)
    return replica
  }

  at(id: ReplicaId): TestReplica {
    const replica = this.replicas.get(id)
    if (replica === undefined) throw new Error(`no replica ${id}`)
    return replica
  }

  /** The replica that leads in the highest term. */
  newestLeader(): TestReplica | undefined {
    const leaders = [...this.replicas.values()].filter(replica => replica.group.status().role === 'leader')
    return leaders.sort((a, b) => b.group.status().term - a.group.status().term)[0]
  }

  leader(): TestReplica {
    const leader = this.newestLeader()
    if (leader === undefined) throw new Error('nobody leads')
    return leader
  }

  /** Takes all outputs and finishes all storage that is not stalled, once. */
  work(): boolean {
    let worked = false
    for (const replica of this.replicas.values()) {
      worked ||= replica.group.hasOutput()
      this.network.push(...replica.drain())
      while (replica.fetches.length > 0) {
        replica.completeFetch()
        worked = true
      }
      if (this.stalled.has(replica.id)) continue
      while (replica.appendTasks.length > 0) {
        this.network.push(...replica.completeAppend())
        worked = true
      }
      while (replica.applyTasks.length > 0) {
        replica.completeApply()
        worked = true
      }
    }
    return worked
  }

  /** Delivers what is on its way now. */
  deliver(): boolean {
    const messages = this.network
    this.network = []
    for (const message of messages) {
      if (!this.lose(message)) this.replicas.get(message.to)?.receive(message)
    }
    return messages.length > 0
  }

  /** Until nothing happens any more. */
  settle(): void {
    for (let rounds = 0; rounds < 1_000; rounds++) {
      const worked = this.work()
      if (!this.deliver() && !worked) return
    }
    throw new Error('the cluster does not come to rest')
  }

  elect(id: ReplicaId): TestReplica {
    this.at(id).step({ type: 'campaign' })
    this.settle()
    return this.at(id)
  }

  /** Every replica sees `count` ticks, and everything that follows from each. */
  tick(count = 1): void {
    for (let i = 0; i < count; i++) {
      for (const replica of this.replicas.values()) replica.step({ type: 'tick' })
      this.settle()
    }
  }

  propose(id: ReplicaId, ...payloads: string[]): StepResult {
    const entries = payloads.map(payload => ({ size: payload.length, payload }))
    const result = this.at(id).step({ type: 'propose', entries })
    return result
  }

  /** Cuts `ids` off from all others, in both directions. */
  isolate(...ids: ReplicaId[]): void {
    this.lose = message => ids.includes(message.from) !== ids.includes(message.to)
  }

  heal(): void {
    this.lose = () => false
  }
}
