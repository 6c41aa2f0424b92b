/** The catalogue's state as checkpoint entries and back: one for the counters, one per topic, node, deleted topic. Pure. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { CataloguePartition, CatalogueTopic } from '@millrace/proto'
import {
  CatalogueGroupSchema,
  CatalogueMemberSchema,
  CatalogueStateSchema,
  CatalogueTopicSchema,
  DeletedTopicSchema,
  RegisterNodeCommandSchema,
} from '@millrace/proto'
import type { NodeInfo } from './catalogue-command.ts'
import { configMessage, configOf, groupFields, groupOf } from './catalogue-command.ts'
import type { CatalogueMember } from './catalogue-members.ts'
import type {
  CatalogueContents,
  CatalogueKey,
  CatalogueState,
  CatalogueTopicEntry,
  DeletedTopicEntry,
} from './catalogue-state.ts'
import type { GroupWish } from './group-wish.ts'
import { InvariantError } from './invariant-error.ts'
import type { StateEntry } from './state-store.ts'
import type { PartitionBirth } from './topic-places.ts'
import { wishOf } from './topic-places.ts'

const KINDS = { counters: 0x43, topic: 0x54, node: 0x4e, deleted: 0x44, member: 0x4d, catalogue: 0x47 } as const

/** Kind and number as a checkpoint key. */
export function entryKey(key: CatalogueKey): Uint8Array {
  const bytes = Buffer.alloc(9)
  bytes[0] = KINDS[key.type]
  bytes.writeBigUInt64BE(BigInt(numberOf(key)), 1)
  return bytes
}

function numberOf(key: CatalogueKey): number {
  if ('node' in key) return key.node
  return 'id' in key ? key.id : 0
}

/** What the state holds under `key` now; undefined where it holds nothing. */
export function encodeEntry(state: CatalogueState, key: CatalogueKey): StateEntry | undefined {
  const value = encodeValue(state, key)
  return value === undefined ? undefined : { key: entryKey(key), value }
}

export function encodeAll(state: CatalogueState): readonly StateEntry[] {
  const keys: CatalogueKey[] = [{ type: 'counters' }]
  for (const { info } of state.topics()) keys.push({ type: 'topic', id: info.id })
  for (const { node } of state.nodes()) keys.push({ type: 'node', node })
  for (const { id } of state.deleted()) keys.push({ type: 'deleted', id })
  for (const { node } of state.members.list()) keys.push({ type: 'member', node })
  if (state.members.catalogue !== undefined) keys.push({ type: 'catalogue' })
  return keys.map(key => encodeEntry(state, key)!)
}

/** @throws InvariantError where the entries, whose checksums hold, are not those of a catalogue */
export function decodeCatalogue(entries: readonly StateEntry[]): CatalogueContents {
  let counters: { nextGroup: number; nextTopicId: number } | undefined
  const topics: CatalogueTopicEntry[] = []
  const nodes: NodeInfo[] = []
  const deleted: DeletedTopicEntry[] = []
  const members: CatalogueMember[] = []
  let catalogue: GroupWish | undefined
  for (const { key, value } of entries) {
    if (key[0] === KINDS.topic) topics.push(decodeTopic(value))
    else if (key[0] === KINDS.node) nodes.push(decodeNode(value))
    else if (key[0] === KINDS.deleted) deleted.push(decodeDeleted(value))
    else if (key[0] === KINDS.member) members.push(decodeMember(value))
    else if (key[0] === KINDS.catalogue) catalogue = groupOf(fromBinary(CatalogueGroupSchema, value))
    else if (key[0] === KINDS.counters) counters = decodeCounters(value)
    else throw new InvariantError(`checkpoint of the catalogue with an entry of kind ${key[0]}`)
  }
  if (counters === undefined) throw new InvariantError('checkpoint of the catalogue without its counters')
  return { ...counters, topics, nodes, deleted, members, catalogue }
}

function encodeValue(state: CatalogueState, key: CatalogueKey): Uint8Array | undefined {
  switch (key.type) {
    case 'counters': {
      const { nextGroup, nextTopicId } = state.counters
      const counters = { nextGroup: BigInt(nextGroup), nextTopicId: BigInt(nextTopicId) }
      return toBinary(CatalogueStateSchema, create(CatalogueStateSchema, counters))
    }
    case 'topic': {
      const topic = state.topicById(key.id)
      return topic && encodeTopic(topic)
    }
    case 'node': {
      const node = state.node(key.node)
      return node && toBinary(RegisterNodeCommandSchema, create(RegisterNodeCommandSchema, node))
    }
    case 'deleted': {
      const topic = state.deletedTopic(key.id)
      return topic && encodeDeleted(topic)
    }
    case 'member': {
      const member = state.members.get(key.node)
      return member && toBinary(CatalogueMemberSchema, create(CatalogueMemberSchema, member))
    }
    case 'catalogue': {
      const wish = state.members.catalogue
      return wish && toBinary(CatalogueGroupSchema, create(CatalogueGroupSchema, groupFields(wish)))
    }
  }
}

function encodeTopic(topic: CatalogueTopicEntry): Uint8Array {
  const { info, createIndex, createTimestamp, births } = topic
  const message = create(CatalogueTopicSchema, {
    id: BigInt(info.id),
    name: info.name,
    config: configMessage(info.config),
    partitions: info.partitions.map(partition => ({
      partition: partition.partition,
      group: BigInt(partition.group),
      replicas: partition.replicas.map(({ replica, node }) => ({ replica, node })),
      nextReplica: wishOf(topic, partition).nextReplica,
      founding: births.get(partition.partition)?.founding.map(({ replica, node }) => ({ replica, node })) ?? [],
    })),
    createIndex: BigInt(createIndex),
    createTime: BigInt(createTimestamp),
  })
  return toBinary(CatalogueTopicSchema, message)
}

function decodeTopic(value: Uint8Array): CatalogueTopicEntry {
  const message: CatalogueTopic = fromBinary(CatalogueTopicSchema, value)
  return {
    info: {
      name: message.name,
      id: Number(message.id),
      config: configOf(message.config),
      partitions: message.partitions.map(({ partition, group, replicas }) => ({
        partition,
        group: Number(group),
        replicas: replicas.map(({ replica, node }) => ({ replica, node })),
      })),
    },
    createIndex: Number(message.createIndex),
    createTimestamp: Number(message.createTime),
    births: new Map(message.partitions.flatMap(decodeBirth)),
  }
}

function decodeBirth({ partition, founding, nextReplica }: CataloguePartition): readonly [number, PartitionBirth][] {
  if (founding.length === 0) return []
  return [[partition, { founding: founding.map(({ replica, node }) => ({ replica, node })), nextReplica }]]
}

function decodeMember(value: Uint8Array): CatalogueMember {
  const { node, folder, admits, removed } = fromBinary(CatalogueMemberSchema, value)
  return { node, folder, admits, removed }
}

function encodeDeleted(topic: DeletedTopicEntry): Uint8Array {
  const message = create(DeletedTopicSchema, {
    id: BigInt(topic.id),
    name: topic.name,
    firstGroup: BigInt(topic.firstGroup),
    partitions: topic.partitions,
    deleteIndex: BigInt(topic.deleteIndex),
  })
  return toBinary(DeletedTopicSchema, message)
}

function decodeDeleted(value: Uint8Array): DeletedTopicEntry {
  const { id, name, firstGroup, partitions, deleteIndex } = fromBinary(DeletedTopicSchema, value)
  return { id: Number(id), name, firstGroup: Number(firstGroup), partitions, deleteIndex: Number(deleteIndex) }
}

function decodeNode(value: Uint8Array): NodeInfo {
  const { node, clientUrl, peerAddress } = fromBinary(RegisterNodeCommandSchema, value)
  return { node, clientUrl, peerAddress }
}

function decodeCounters(value: Uint8Array): { nextGroup: number; nextTopicId: number } {
  const { nextGroup, nextTopicId } = fromBinary(CatalogueStateSchema, value)
  return { nextGroup: Number(nextGroup), nextTopicId: Number(nextTopicId) }
}
