/**
 * The commands of the catalogue: what `command` frames of group 0 hold. A command, or a field of one, that this version
 * does not know must not be passed over: it would leave this replica with another state than the rest.
 */
import type { Message, MessageInitShape } from '@bufbuild/protobuf'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type {
  CatalogueGroup,
  CreateTopicCommand,
  PlacedGroup as PlacedGroupMessage,
  TopicConfig as TopicConfigMessage,
} from '@millrace/proto'
import { CatalogueCommandSchema, type CatalogueGroupSchema, TopicConfigSchema } from '@millrace/proto'
import type { GroupWish } from './group-wish.ts'
import { InvariantError } from './invariant-error.ts'
import type { TopicConfig } from './topics.ts'

export interface NodeInfo {
  readonly node: number
  readonly clientUrl: string
  readonly peerAddress: string
}

export type CatalogueCommand =
  | {
      readonly type: 'createTopic'
      readonly name: string
      readonly config: TopicConfig
      readonly ifNotExists: boolean
      /** Nodes that may hold replicas. */
      readonly nodes: readonly number[]
    }
  | { readonly type: 'deleteTopic'; readonly name: string }
  | ({ readonly type: 'registerNode' } & NodeInfo)
  /** They are gone for good, and with them the replicas that they held. */
  | { readonly type: 'forgetNodes'; readonly nodes: readonly number[] }
  /** The groups' replicas are there now, the preferred leader first. */
  | { readonly type: 'placeReplicas'; readonly groups: readonly PlacedGroup[] }
  /** One new data folder may claim to be the node: one of the cluster (`replace`), or a new one. */
  | {
      readonly type: 'admitNode'
      readonly node: number
      readonly replace: boolean
      /** Group 0 as its leader sees it. */
      readonly catalogue: GroupWish
    }
  | ({ readonly type: 'claimNode'; readonly folder: string } & NodeInfo)
  | { readonly type: 'removeNode'; readonly node: number; readonly catalogue: GroupWish }

export interface PlacedGroup {
  readonly group: number
  readonly replicas: readonly { readonly replica: number; readonly node: number }[]
}

export function encodeCommand(command: CatalogueCommand): Uint8Array {
  return toBinary(CatalogueCommandSchema, create(CatalogueCommandSchema, { command: messageOf(command) }))
}

type CommandMessage = NonNullable<MessageInitShape<typeof CatalogueCommandSchema>['command']>

function messageOf(command: CatalogueCommand): CommandMessage {
  switch (command.type) {
    case 'createTopic': {
      const { name, config, ifNotExists, nodes } = command
      return { case: 'createTopic', value: { name, config: configMessage(config), ifNotExists, nodes: [...nodes] } }
    }
    case 'deleteTopic':
      return { case: 'deleteTopic', value: { name: command.name } }
    case 'registerNode': {
      const { node, clientUrl, peerAddress } = command
      return { case: 'registerNode', value: { node, clientUrl, peerAddress } }
    }
    case 'forgetNodes':
      return { case: 'forgetNodes', value: { nodes: [...command.nodes] } }
    case 'placeReplicas': {
      const groups = command.groups.map(({ group, replicas }) => ({
        group: BigInt(group),
        replicas: replicas.map(({ replica, node }) => ({ replica, node })),
      }))
      return { case: 'placeReplicas', value: { groups } }
    }
    case 'admitNode': {
      const { node, replace, catalogue } = command
      return { case: 'admitNode', value: { node, replace, catalogue: groupFields(catalogue) } }
    }
    case 'claimNode': {
      const { node, folder, clientUrl, peerAddress } = command
      return { case: 'claimNode', value: { node, folder, clientUrl, peerAddress } }
    }
    case 'removeNode': {
      const { node, catalogue } = command
      return { case: 'removeNode', value: { node, catalogue: groupFields(catalogue) } }
    }
  }
}

/** @throws InvariantError for what only newer software can have written */
export function decodeCommand(bytes: Uint8Array): CatalogueCommand {
  const { command, $unknown } = fromBinary(CatalogueCommandSchema, bytes)
  if (command.case === undefined || $unknown !== undefined) throw newer('command')
  assertKnown(command.value)
  switch (command.case) {
    case 'createTopic':
      return createTopicOf(command.value)
    case 'deleteTopic':
      return { type: 'deleteTopic', name: command.value.name }
    case 'registerNode': {
      const { node, clientUrl, peerAddress } = command.value
      return { type: 'registerNode', node, clientUrl, peerAddress }
    }
    case 'forgetNodes':
      return { type: 'forgetNodes', nodes: command.value.nodes }
    case 'placeReplicas':
      return { type: 'placeReplicas', groups: command.value.groups.map(placedGroupOf) }
    case 'admitNode': {
      const { node, replace, catalogue } = command.value
      return { type: 'admitNode', node, replace, catalogue: groupOf(catalogue) }
    }
    case 'claimNode': {
      const { node, folder, clientUrl, peerAddress } = command.value
      return { type: 'claimNode', node, folder, clientUrl, peerAddress }
    }
    case 'removeNode': {
      const { node, catalogue } = command.value
      return { type: 'removeNode', node, catalogue: groupOf(catalogue) }
    }
    case 'alterTopic':
      throw newer('alterTopic')
  }
}

export function configMessage(config: TopicConfig): TopicConfigMessage {
  return create(TopicConfigSchema, {
    partitions: config.partitions,
    replication: config.replication,
    retentionMs: BigInt(config.retentionMs),
    retentionBytes: BigInt(config.retentionBytes),
  })
}

/** @throws InvariantError where a field is missing: configurations are stored whole */
export function configOf(message: TopicConfigMessage | undefined): TopicConfig {
  if (message?.retentionMs === undefined || message.retentionBytes === undefined) {
    throw new InvariantError('a topic configuration in the catalogue is not whole')
  }
  assertKnown(message)
  return {
    partitions: message.partitions,
    replication: message.replication,
    retentionMs: Number(message.retentionMs),
    retentionBytes: Number(message.retentionBytes),
  }
}

/** As fields of a message. */
export function groupFields({ replicas, nextReplica }: GroupWish): MessageInitShape<typeof CatalogueGroupSchema> {
  return { replicas: replicas.map(({ replica, node }) => ({ replica, node })), nextReplica }
}

/** @throws InvariantError where there is none */
export function groupOf(message: CatalogueGroup | undefined): GroupWish {
  if (message === undefined || message.replicas.length === 0) {
    throw new InvariantError('the replicas of group 0 are missing in the catalogue')
  }
  assertKnown(message)
  for (const replica of message.replicas) assertKnown(replica)
  const replicas = message.replicas.map(({ replica, node }) => ({ replica, node }))
  return { replicas, nextReplica: message.nextReplica }
}

function createTopicOf(message: CreateTopicCommand): CatalogueCommand {
  const { name, config, ifNotExists, nodes } = message
  return { type: 'createTopic', name, config: configOf(config), ifNotExists, nodes }
}

function placedGroupOf(message: PlacedGroupMessage): PlacedGroup {
  assertKnown(message)
  for (const replica of message.replicas) assertKnown(replica)
  const replicas = message.replicas.map(({ replica, node }) => ({ replica, node }))
  return { group: Number(message.group), replicas }
}

function assertKnown(message: Message): void {
  if (message.$unknown !== undefined) throw newer(message.$typeName)
}

function newer(what: string): InvariantError {
  return new InvariantError(`the catalogue's log holds a ${what} that needs newer software`)
}
