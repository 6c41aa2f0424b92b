/** /v1/topics: list, create, describe, delete; and the trim of a partition. */
import { create } from '@bufbuild/protobuf'
import { type Topic, type TopicConfig, TopicConfigSchema } from '@millrace/proto'
import { LIMITS, MillraceError } from '@millrace/record'
import * as v from 'valibot'
import type { BrokerContext } from '../broker-context.ts'
import { createTopic, deleteTopic, describeTopic, listTopics } from '../cluster/topic-admin.ts'
import { trimPartition } from '../cluster/trim-partition.ts'
import { nearestName } from '../config/nearest-name.ts'
import { sendJson } from './http-error.ts'
import { closedSignal, type NodeRequest, type NodeResponse } from './node-http.ts'
import { numberParameter, parseQuery } from './query.ts'
import { readBody } from './request-body.ts'

export async function listRoute(context: BrokerContext, query: string, response: NodeResponse): Promise<void> {
  parseQuery(query, [])
  sendJson(response, 200, { topics: (await listTopics(context)).map(topicJson) })
}

export async function describeRoute(
  context: BrokerContext,
  name: string,
  query: string,
  response: NodeResponse,
): Promise<void> {
  parseQuery(query, [])
  sendJson(response, 200, topicJson(await describeTopic(context, name)))
}

/** 201 where the topic was made, 200 where `ifNotExists` found one. */
export async function createRoute(
  context: BrokerContext,
  query: string,
  request: NodeRequest,
  response: NodeResponse,
): Promise<void> {
  parseQuery(query, [])
  const body = await readBody(request, LIMITS.recordSetBytesMax, 'recordSetBytesMax')
  const call = { forwarded: false, signal: closedSignal(response) }
  const { topic, created } = await createTopic(context, createRequest(body), call)
  sendJson(response, created ? 201 : 200, { created, ...topicJson(topic) })
}

export async function deleteRoute(
  context: BrokerContext,
  name: string,
  query: string,
  response: NodeResponse,
): Promise<void> {
  parseQuery(query, [])
  await deleteTopic(context, name, { forwarded: false, signal: closedSignal(response) })
  sendJson(response, 200, { deleted: name })
}

/** Removes the records of a partition that are below an offset. */
export async function trimRoute(
  context: BrokerContext,
  topic: string,
  query: string,
  response: NodeResponse,
): Promise<void> {
  const parameters = parseQuery(query, ['partition', 'before'])
  const partition = numberParameter(parameters, 'partition')
  const beforeOffset = numberParameter(parameters, 'before')
  if (partition === undefined || beforeOffset === undefined) {
    const missing = partition === undefined ? 'partition' : 'before'
    throw new MillraceError('INVALID_ARGUMENT', `parameter ${missing}: is missing; say ?partition=0&before=OFFSET`)
  }
  const call = { forwarded: false, signal: closedSignal(response) }
  const logStartOffset = await trimPartition(context, { topic, partition, beforeOffset }, call)
  sendJson(response, 200, { topic, partition, logStartOffset })
}

function whole(min: number): v.GenericSchema<number> {
  const rule = `must be a whole number from ${min} on`
  return v.pipe(v.number(rule), v.safeInteger(rule), v.minValue(min, rule))
}

const createSchema = v.object({
  name: v.string('must be text'),
  partitions: v.optional(whole(1)),
  replication: v.optional(whole(1)),
  retentionMs: v.optional(whole(0)),
  retentionBytes: v.optional(whole(0)),
  ifNotExists: v.optional(v.boolean('must be true or false'), false),
})

const CREATE_NAMES: readonly string[] = Object.keys(createSchema.entries)

function createRequest(body: Uint8Array): {
  readonly name: string
  readonly ifNotExists: boolean
  readonly config: TopicConfig
} {
  const tree = parseJson(body)
  for (const name of Object.keys(tree ?? {})) {
    if (CREATE_NAMES.includes(name)) continue
    const nearest = nearestName(name, CREATE_NAMES)
    const hint = nearest === undefined ? `known are ${CREATE_NAMES.join(', ')}` : `did you mean ${nearest}?`
    throw new MillraceError('INVALID_ARGUMENT', `unknown member ${JSON.stringify(name)}: ${hint}`)
  }
  if (tree !== null && !('name' in tree)) throw new MillraceError('INVALID_ARGUMENT', 'name: is missing')
  const result = v.safeParse(createSchema, tree)
  if (!result.success) {
    const [issue] = result.issues
    const where = issue.path?.map(item => String(item.key)).join('.') ?? 'body'
    throw new MillraceError('INVALID_ARGUMENT', `${where}: ${issue.message}`)
  }
  const { name, ifNotExists, partitions, replication, retentionMs, retentionBytes } = result.output
  const config = create(TopicConfigSchema, { partitions: partitions ?? 0, replication: replication ?? 0 })
  if (retentionMs !== undefined) config.retentionMs = BigInt(retentionMs)
  if (retentionBytes !== undefined) config.retentionBytes = BigInt(retentionBytes)
  return { name, ifNotExists, config }
}

function parseJson(body: Uint8Array): object | null {
  try {
    const tree: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    if (typeof tree === 'object' && !Array.isArray(tree)) return tree
  } catch (error) {
    throw new MillraceError('INVALID_ARGUMENT', 'body: is not JSON; send {"name":"orders","partitions":3}', {
      cause: error,
    })
  }
  throw new MillraceError('INVALID_ARGUMENT', 'body: must be an object such as {"name":"orders","partitions":3}')
}

/** A topic as the routes show it. */
function topicJson(topic: Topic): object {
  return {
    name: topic.name,
    id: Number(topic.id),
    config: {
      partitions: topic.config?.partitions ?? 0,
      replication: topic.config?.replication ?? 0,
      retentionMs: Number(topic.config?.retentionMs ?? 0),
      retentionBytes: Number(topic.config?.retentionBytes ?? 0),
    },
    partitions: topic.partitions.map(partition => ({
      partition: partition.partition,
      nodes: partition.nodes,
      leaderNode: partition.leaderNode,
      term: Number(partition.term),
      logStartOffset: Number(partition.logStartOffset),
      highWatermark: Number(partition.highWatermark),
    })),
  }
}
