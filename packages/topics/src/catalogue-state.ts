/**
 * What the catalogue says: topics with their groups and replicas, nodes, and which topics were deleted. Changed by
 * committed commands only; every replica gives the same result for the same command, refusals included.
 *
 * Never judges the form of a command (names, ranges): the leader did, by the rules of its version, and replicas that
 * judged by their own could end up with different states.
 *
 * Invariant: topic ids and group ids only rise; no id is ever given twice, not even after its topic was deleted.
 */
import { MillraceError } from '@millrace/record'
import type { CatalogueCommand, NodeInfo } from './catalogue-command.ts'
import type { MembersContents } from './catalogue-members.ts'
import { CatalogueMembers } from './catalogue-members.ts'
import { placeReplicas, replicaIds } from './replica-placement.ts'
import { sameConfig } from './topic-config.ts'
import { TOPIC_LIMITS } from './topic-limits.ts'
import type { PartitionBirth } from './topic-places.ts'
import { movedOff, placedAnew, withNewReplicasOn, withoutLost } from './topic-places.ts'
import type { PartitionInfo, TopicInfo } from './topics.ts'

/** A topic with the entry that made it: its groups are born from that. */
export interface CatalogueTopicEntry {
  readonly info: TopicInfo
  readonly createIndex: number
  /** Timestamp of the create entry, milliseconds. */
  readonly createTimestamp: number
  /** What partitions were born with whose replicas have changed since. */
  readonly births: ReadonlyMap<number, PartitionBirth>
}

/** The proof that a topic's groups, [firstGroup, firstGroup + partitions), may be removed. */
export interface DeletedTopicEntry {
  readonly id: number
  readonly name: string
  readonly firstGroup: number
  readonly partitions: number
  readonly deleteIndex: number
}

export interface CatalogueContents extends MembersContents {
  readonly nextGroup: number
  readonly nextTopicId: number
  readonly topics: readonly CatalogueTopicEntry[]
  readonly nodes: readonly NodeInfo[]
  readonly deleted: readonly DeletedTopicEntry[]
}

export type CatalogueResult =
  | { readonly type: 'topic'; readonly topic: TopicInfo; readonly created: boolean }
  | { readonly type: 'deleted' }
  | { readonly type: 'registered' }
  | { readonly type: 'forgotten' }
  | { readonly type: 'placed' }
  | { readonly type: 'admitted' }
  /** With the node's replica of the catalogue. */
  | { readonly type: 'claimed'; readonly catalogueReplica: number }
  | { readonly type: 'removed' }
  | { readonly type: 'refused'; readonly error: MillraceError }

/** Something that a command changed, for the next checkpoint. */
export type CatalogueKey =
  | { readonly type: 'counters' | 'catalogue' }
  | { readonly type: 'topic' | 'deleted'; readonly id: number }
  | { readonly type: 'node' | 'member'; readonly node: number }

type Create = CatalogueCommand & { type: 'createTopic' }

export class CatalogueState {
  readonly members: CatalogueMembers
  #nextGroup: number
  #nextTopicId: number
  #partitions = 0
  readonly #byName = new Map<string, CatalogueTopicEntry>()
  readonly #byId = new Map<number, CatalogueTopicEntry>()
  readonly #nodes = new Map<number, NodeInfo>()
  /** In order of deletion. */
  readonly #deleted = new Map<number, DeletedTopicEntry>()
  readonly #onChange: (key: CatalogueKey) => void

  constructor(contents: CatalogueContents | undefined, onChange: (key: CatalogueKey) => void) {
    // Group 0 is the catalogue itself.
    this.#nextGroup = contents?.nextGroup ?? 1
    this.#nextTopicId = contents?.nextTopicId ?? 1
    this.#onChange = onChange
    this.members = new CatalogueMembers(contents, onChange)
    for (const topic of contents?.topics ?? []) this.#add(topic)
    for (const node of contents?.nodes ?? []) this.#nodes.set(node.node, node)
    const deleted = [...(contents?.deleted ?? [])].sort((a, b) => a.deleteIndex - b.deleteIndex)
    for (const topic of deleted) this.#deleted.set(topic.id, topic)
  }

  get counters(): { readonly nextGroup: number; readonly nextTopicId: number } {
    return { nextGroup: this.#nextGroup, nextTopicId: this.#nextTopicId }
  }

  topic(name: string): CatalogueTopicEntry | undefined {
    return this.#byName.get(name)
  }

  topicById(id: number): CatalogueTopicEntry | undefined {
    return this.#byId.get(id)
  }

  node(node: number): NodeInfo | undefined {
    return this.#nodes.get(node)
  }

  deletedTopic(id: number): DeletedTopicEntry | undefined {
    return this.#deleted.get(id)
  }

  topics(): IterableIterator<CatalogueTopicEntry> {
    return this.#byId.values()
  }

  /** Rising by id. */
  nodes(): readonly NodeInfo[] {
    return [...this.#nodes.values()].sort((a, b) => a.node - b.node)
  }

  /** Whether the node is one of the cluster. */
  isMember(node: number): boolean {
    return this.#nodes.has(node) && this.members.get(node)?.removed !== true
  }

  /** Nodes that new replicas may be placed on, rising. */
  placeableNodes(): readonly number[] {
    return this.nodes().flatMap(({ node }) => (this.isMember(node) ? [node] : []))
  }

  deleted(): IterableIterator<DeletedTopicEntry> {
    return this.#deleted.values()
  }

  /** @param at the committed entry that holds the command */
  apply(command: CatalogueCommand, at: { readonly index: number; readonly timestamp: number }): CatalogueResult {
    switch (command.type) {
      case 'createTopic':
        return this.#create(command, at)
      case 'deleteTopic':
        return this.#delete(command.name, at.index)
      case 'registerNode':
        return this.#register(command)
      case 'forgetNodes':
        return this.#forgetNodes(new Set(command.nodes))
      case 'placeReplicas':
        return this.#placeReplicas(new Map(command.groups.map(({ group, replicas }) => [group, replicas])))
      case 'admitNode':
        return this.#admit(command)
      case 'claimNode':
        return this.#claim(command)
      case 'removeNode':
        return this.#remove(command)
    }
  }

  #create(command: Create, at: { readonly index: number; readonly timestamp: number }): CatalogueResult {
    const { name, config } = command
    const existing = this.#byName.get(name)
    if (existing !== undefined) return existingTopic(existing.info, command)
    const nodes = command.nodes.filter(node => this.isMember(node))
    const refusal = this.#refuseCreate(command, nodes.length)
    if (refusal !== undefined) return refusal
    const id = this.#nextTopicId++
    const places = placeReplicas(nodes, config.partitions, config.replication, id - 1)
    const partitions = places.map((replicaNodes, partition): PartitionInfo => {
      const group = this.#nextGroup++
      return { partition, group, replicas: replicaIds(replicaNodes, group) }
    })
    const topic: TopicInfo = { name, id, config, partitions }
    this.#add({ info: topic, createIndex: at.index, createTimestamp: at.timestamp, births: new Map() })
    this.#onChange({ type: 'counters' })
    this.#onChange({ type: 'topic', id })
    return { type: 'topic', topic, created: true }
  }

  #refuseCreate({ name, config }: Create, nodes: number): CatalogueResult | undefined {
    if (config.replication > nodes) {
      return refused(`topic ${name}: replication ${config.replication} is above the number of nodes, ${nodes}`)
    }
    if (this.#byId.size >= TOPIC_LIMITS.topicsMax) {
      return refused(`topic ${name}: the cluster has ${this.#byId.size} topics, the limit (topicsMax)`)
    }
    const partitions = this.#partitions + config.partitions
    if (partitions > TOPIC_LIMITS.partitionsMax) {
      const limit = `${TOPIC_LIMITS.partitionsMax} (partitionsMax)`
      return refused(`topic ${name}: the cluster would have ${partitions} partitions, above the limit of ${limit}`)
    }
    return undefined
  }

  #delete(name: string, deleteIndex: number): CatalogueResult {
    const topic = this.#byName.get(name)
    if (topic === undefined) {
      return { type: 'refused', error: new MillraceError('UNKNOWN_TOPIC', `there is no topic ${name}`) }
    }
    const { id, partitions } = topic.info
    this.#byName.delete(name)
    this.#byId.delete(id)
    this.#partitions -= partitions.length
    this.#onChange({ type: 'topic', id })
    const firstGroup = partitions[0]!.group
    this.#deleted.set(id, { id, name, firstGroup, partitions: partitions.length, deleteIndex })
    this.#onChange({ type: 'deleted', id })
    if (this.#deleted.size > TOPIC_LIMITS.deletedTopicsMax) this.#forgetOldestDeleted()
    return { type: 'deleted' }
  }

  #register({ node, clientUrl, peerAddress }: NodeInfo): CatalogueResult {
    if (!this.#nodes.has(node) && this.#nodes.size >= TOPIC_LIMITS.nodesMax) {
      return refused(`node ${node}: the cluster has ${this.#nodes.size} nodes, the limit (nodesMax)`)
    }
    this.#nodes.set(node, { node, clientUrl, peerAddress })
    this.#onChange({ type: 'node', node })
    return { type: 'registered' }
  }

  #forgetNodes(nodes: ReadonlySet<number>): CatalogueResult {
    for (const node of nodes) if (this.#nodes.delete(node)) this.#onChange({ type: 'node', node })
    this.members.forget(nodes)
    this.#changeTopics(topic => withoutLost(topic, nodes))
    return { type: 'forgotten' }
  }

  /** The groups begin anew, in a cluster of other data folders: nothing that was promised to the old ones counts. */
  #placeReplicas(places: ReadonlyMap<number, PartitionInfo['replicas']>): CatalogueResult {
    for (const { node, removed } of this.members.list()) {
      if (removed && this.#nodes.delete(node)) this.#onChange({ type: 'node', node })
    }
    this.members.beginAnew()
    this.#changeTopics(topic => placedAnew(topic, places))
    return { type: 'placed' }
  }

  #admit({ node, replace, catalogue }: CatalogueCommand & { type: 'admitNode' }): CatalogueResult {
    const isMember = this.isMember(node)
    if (replace && !isMember) return refused(`node ${node} is none of the cluster: there is nothing to replace`)
    if (!replace && isMember) return refused(`node ${node} is one of the cluster already: replace it, or add another`)
    this.members.admit(node, catalogue)
    return { type: 'admitted' }
  }

  #claim({ node, folder, clientUrl, peerAddress }: CatalogueCommand & { type: 'claimNode' }): CatalogueResult {
    const member = this.members.get(node)
    if (member === undefined || member.removed || member.folder !== folder) {
      if (member?.admits !== true) return refused(notAdmitted(node, this.isMember(node)))
      const registered = this.#register({ node, clientUrl, peerAddress })
      if (registered.type === 'refused') return registered
      this.members.claim(node, folder)
      this.#changeTopics(topic => withNewReplicasOn(topic, node))
    }
    const replica = this.members.catalogue?.replicas.find(place => place.node === node)?.replica ?? 0
    return { type: 'claimed', catalogueReplica: replica }
  }

  #remove({ node, catalogue }: CatalogueCommand & { type: 'removeNode' }): CatalogueResult {
    if (!this.isMember(node)) return refused(`node ${node} is none of the cluster`)
    const load = this.#replicasPerNode()
    load.delete(node)
    for (const { info } of this.#byId.values()) {
      if (info.config.replication <= load.size || !info.partitions.some(({ replicas }) => holds(replicas, node)))
        continue
      const { name, config } = info
      return refused(
        `topic ${name} has ${config.replication} replicas, and without node ${node} there are ${load.size} nodes: add a node first`,
      )
    }
    if (load.size === 0) return refused(`node ${node} is the only one of the cluster`)
    this.members.remove(node, catalogue)
    this.#changeTopics(topic => movedOff(topic, node, load))
    return { type: 'removed' }
  }

  /** Replicas on each node that may be given more. */
  #replicasPerNode(): Map<number, number> {
    const load = new Map(this.placeableNodes().map(node => [node, 0]))
    for (const { info } of this.#byId.values()) {
      for (const { replicas } of info.partitions) {
        for (const { node } of replicas) if (load.has(node)) load.set(node, load.get(node)! + 1)
      }
    }
    return load
  }

  #changeTopics(change: (topic: CatalogueTopicEntry) => CatalogueTopicEntry): void {
    for (const topic of [...this.#byId.values()]) {
      const changed = change(topic)
      if (changed === topic) continue
      this.#byName.set(topic.info.name, changed)
      this.#byId.set(topic.info.id, changed)
      this.#onChange({ type: 'topic', id: topic.info.id })
    }
  }

  #add(topic: CatalogueTopicEntry): void {
    this.#byName.set(topic.info.name, topic)
    this.#byId.set(topic.info.id, topic)
    this.#partitions += topic.info.partitions.length
  }

  #forgetOldestDeleted(): void {
    for (const id of this.#deleted.keys()) {
      this.#deleted.delete(id)
      this.#onChange({ type: 'deleted', id })
      return
    }
  }
}

function existingTopic(topic: TopicInfo, { ifNotExists, config }: Create): CatalogueResult {
  if (ifNotExists || sameConfig(topic.config, config)) return { type: 'topic', topic, created: false }
  const { partitions, replication, retentionMs, retentionBytes } = topic.config
  const existing = `${partitions} partitions, replication ${replication}, retentionMs ${retentionMs}, retentionBytes ${retentionBytes}`
  return {
    type: 'refused',
    error: new MillraceError('TOPIC_EXISTS', `topic ${topic.name} exists with another configuration: ${existing}`),
  }
}

function holds(replicas: PartitionInfo['replicas'], node: number): boolean {
  return replicas.some(place => place.node === node)
}

function notAdmitted(node: number, isMember: boolean): string {
  if (!isMember) return `node ${node} is none of the cluster: millrace cluster add-node ${node} lets it in`
  return `node ${node} is one of the cluster with another data folder: if that is lost, millrace cluster replace-node ${node} lets a new one in`
}

function refused(message: string): CatalogueResult {
  return { type: 'refused', error: new MillraceError('INVALID_ARGUMENT', message) }
}
