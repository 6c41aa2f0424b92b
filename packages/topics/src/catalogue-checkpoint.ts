/** The catalogue's state as checkpoint entries and back: one for the counters, one per topic, node, deleted topic. Pure. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { CatalogueTopic } from '@millrace/proto'
import {
  CatalogueStateSchema,
  CatalogueTopicSchema,
  DeletedTopicSchema,
  RegisterNodeCommandSchema,
} from '@millrace/proto'
import type { NodeInfo } from './catalogue-command.ts'
import { configMessage, configOf } from './catalogue-command.ts'
import type {
  CatalogueContents,
  CatalogueKey,
  CatalogueState,
  CatalogueTopicEntry,
  DeletedTopicEntry,
} from './catalogue-state.ts'
import { InvariantError } from './invariant-error.ts'
import type { StateEntry } from './state-store.ts'

const KINDS = { counters: 0x43, topic: 0x54, node: 0x4e, deleted: 0x44 } as const

/** Kind and number as a checkpoint key. */
export function entryKey(key: CatalogueKey): Uint8Array {
  const bytes = Buffer.alloc(9)
  bytes[0] = KINDS[key.type]
  bytes.writeBigUInt64BE(BigInt(key.type === 'counters' ? 0 : key.type === 'node' ? key.node : key.id), 1)
  return bytes
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
  return keys.map(key => encodeEntry(state, key)!)
}

/** @throws InvariantError where the entries, whose checksums hold, are not those of a catalogue */
export function decodeCatalogue(entries: readonly StateEntry[]): CatalogueContents {
  let counters: { nextGroup: number; nextTopicId: number } | undefined
  const topics: CatalogueTopicEntry[] = []
  const nodes: NodeInfo[] = []
  const deleted: DeletedTopicEntry[] = []
  for (const { key, value } of entries) {
    if (key[0] === KINDS.topic) topics.push(decodeTopic(value))
    else if (key[0] === KINDS.node) nodes.push(decodeNode(value))
    else if (key[0] === KINDS.deleted) deleted.push(decodeDeleted(value))
    else if (key[0] === KINDS.counters) counters = decodeCounters(value)
    else throw new InvariantError(`checkpoint of the catalogue with an entry of kind ${key[0]}`)
  }
  if (counters === undefined) throw new InvariantError('checkpoint of the catalogue without its counters')
  return { ...counters, topics, nodes, deleted }
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
  }
}

function encodeTopic({ info, createIndex, createTimestamp }: CatalogueTopicEntry): Uint8Array {
  const message = create(CatalogueTopicSchema, {
    id: BigInt(info.id),
    name: info.name,
    config: configMessage(info.config),
    partitions: info.partitions.map(({ partition, group, replicas }) => ({
      partition,
      group: BigInt(group),
      replicas: replicas.map(({ replica, node }) => ({ replica, node })),
      nextReplica: Math.max(...replicas.map(({ replica }) => replica)) + 1,
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
  }
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
