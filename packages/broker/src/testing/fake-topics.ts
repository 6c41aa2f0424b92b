/** The catalogue and the partitions of one node, in memory, for tests of the edge. Several nodes may share a catalogue. */
import type { GroupHandle } from '@millrace/raft-node'
import { MillraceError } from '@millrace/record'
import type { ClusterMembers, CreateTopic, Partition, StartedGroup, TopicInfo, Topics } from '@millrace/topics'
import { FakePartition } from './fake-partition.ts'

/** What all fake nodes of a test know. */
export class FakeCatalogue {
  readonly topics: Map<string, TopicInfo> = new Map<string, TopicInfo>()
  /** `topic/partition` → node. Default: node 1. */
  readonly leaders: Map<string, number> = new Map<string, number>()
  readonly partitions: Map<string, FakePartition> = new Map<string, FakePartition>()
  readonly nodes: readonly number[]
  leaderNode = 1
  majority = true

  constructor(nodes: readonly number[]) {
    this.nodes = nodes
  }
}

export class FakeTopics implements Topics {
  readonly shared: FakeCatalogue
  /** Nobody comes or goes. */
  readonly members: ClusterMembers = {
    admit: () => Promise.reject(fixed()),
    claim: () => Promise.reject(fixed()),
    remove: () => Promise.reject(fixed()),
    nodes: () => this.shared.nodes.map(node => ({ node, admits: false, removed: false })),
    groups: () => [],
  }
  readonly #self: number

  constructor(shared: FakeCatalogue, self: number) {
    this.shared = shared
    this.#self = self
  }

  get catalogue(): Topics['catalogue'] {
    const { leaderNode } = this.shared
    return { leading: leaderNode === this.#self, leaderNode, term: 1 }
  }

  async create({ name, config, ifNotExists }: CreateTopic): Promise<{ topic: TopicInfo; created: boolean }> {
    const known = this.shared.topics.get(name)
    if (known !== undefined) {
      if (ifNotExists) return { topic: known, created: false }
      throw new MillraceError('TOPIC_EXISTS', `topic ${name} exists`)
    }
    const partitions = config?.partitions ?? 3
    const topic: TopicInfo = {
      name,
      id: this.shared.topics.size + 1,
      config: { partitions, replication: this.shared.nodes.length, retentionMs: 604_800_000, retentionBytes: 0 },
      partitions: Array.from({ length: partitions }, (_, partition) => ({
        partition,
        group: partition + 1,
        replicas: this.shared.nodes.map((node, i) => ({ replica: i + 1, node })),
      })),
    }
    this.shared.topics.set(name, topic)
    return { topic, created: true }
  }

  async delete(name: string): Promise<void> {
    this.describe(name)
    this.shared.topics.delete(name)
  }

  list(): readonly TopicInfo[] {
    return [...this.shared.topics.values()]
  }

  describe(name: string): TopicInfo {
    const topic = this.shared.topics.get(name)
    if (topic === undefined)
      throw new MillraceError('UNKNOWN_TOPIC', `unknown topic ${name}`, { details: { topic: name } })
    return topic
  }

  partition(name: string, partition: number): Partition {
    return this.fake(name, partition)
  }

  /** The same object on the node that leads, a view without leadership elsewhere. */
  fake(name: string, partition: number): FakePartition {
    if (this.describe(name).partitions[partition] === undefined) {
      throw new MillraceError('UNKNOWN_PARTITION', `topic ${name} has no partition ${partition}`)
    }
    const key = `${name}/${partition}@${this.#self}`
    let fake = this.shared.partitions.get(key)
    if (fake === undefined) {
      fake = new FakePartition(name, partition, this.#self, this.leaderOf(name, partition))
      this.shared.partitions.set(key, fake)
    }
    fake.leaderNode = this.leaderOf(name, partition)
    return fake
  }

  leaderOf(topic: string, partition: number): number {
    return this.shared.leaders.get(`${topic}/${partition}`) ?? 1
  }

  async waitCatalogue(): Promise<void> {}

  /** Handles confirm a leadership, unless a test says that there is no majority; they can do nothing else. */
  holdLeadership(_group: number): void {}

  retention(): ReturnType<Topics['retention']> {
    return { trims: 0, recordsTrimmed: 0, isClockInDoubt: false }
  }

  replicas(): readonly StartedGroup[] {
    return this.list().flatMap(({ name, partitions }) =>
      partitions.map(({ partition, group }) => {
        const { highWatermark } = this.fake(name, partition)
        const readIndex = () => (this.shared.majority ? Promise.resolve(1) : Promise.reject(new Error('no majority')))
        const status = () => ({
          group,
          replica: 1,
          role: 'leader',
          term: 1,
          leaderNode: 1,
          commit: 1,
          applied: 1,
          lastIndex: 1,
          followers: [],
        })
        const handle = { group, leading: true, leaderNode: 1, readIndex, waitApplied: () => Promise.resolve(), status }
        return { topic: name, partition, handle: handle as unknown as GroupHandle, highWatermark }
      }),
    )
  }

  backUp(group: number): Promise<never> {
    return Promise.reject(new MillraceError('UNSUPPORTED', `group ${group} is not real: it cannot be backed up`))
  }

  async shutdown(): Promise<void> {}
}

function fixed(): MillraceError {
  return new MillraceError('UNSUPPORTED', 'the members of a fake cluster are fixed')
}
