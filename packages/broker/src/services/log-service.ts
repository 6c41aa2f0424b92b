/** The LogService of this node on Connect: turns messages into calls of append/ and read/, and back. */
import { create } from '@bufbuild/protobuf'
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect'
import {
  AppendedSchema,
  type AppendRequest,
  type AppendResponse,
  AppendResponseSchema,
  type AppendStreamRequest,
  type LogService,
  type PlainRecord,
  type ReadRequest,
  type ReadResponse,
} from '@millrace/proto'
import { MillraceError, type RecordInput } from '@millrace/record'
import type { TopicInfo } from '@millrace/topics'
import { type AppendCall, appendToLeader } from '../append/append-router.ts'
import { checkBatch } from '../append/partition-append.ts'
import { appendPlain, type PartitionAppended, type TurnPicker } from '../append/plain-append.ts'
import type { BrokerContext } from '../broker-context.ts'
import { FORWARDED_HEADER } from '../cluster/node-directory.ts'
import { findTopic } from '../cluster/topic-lookup.ts'
import { AppendStream, type IncomingAppend } from './append-stream.ts'
import { listOffsets } from './list-offsets.ts'
import { readResponse, readStream } from './read-stream.ts'

/** @param turns shared with the HTTP routes, so that keyless records of both spread alike */
export function logService(context: BrokerContext, turns: TurnPicker): ServiceImpl<typeof LogService> {
  return {
    append: (request, call) => append(context, turns, request, call),
    appendStream: (requests, call) =>
      new AppendStream(context, AbortSignal.any([call.signal, context.stopping])).run(shared(requests)),
    read: (request, call) => read(context, request, AbortSignal.any([call.signal, context.stopping])),
    listOffsets: (request, call) => listOffsets(context, request, isForwarded(call)),
  }
}

/** connect-es decodes requests as views on what arrived, which other messages may share. */
async function* shared(requests: AsyncIterable<AppendStreamRequest>): AsyncGenerator<IncomingAppend> {
  for await (const request of requests) yield { request, owned: false }
}

async function* read(context: BrokerContext, request: ReadRequest, signal: AbortSignal): AsyncGenerator<ReadResponse> {
  for await (const message of readStream(context, request, signal)) yield readResponse(message)
}

/** Whether another node passed this call on. */
export function isForwarded(call: HandlerContext): boolean {
  return call.requestHeader.has(FORWARDED_HEADER)
}

async function append(
  context: BrokerContext,
  turns: TurnPicker,
  request: AppendRequest,
  handler: HandlerContext,
): Promise<AppendResponse> {
  const { appendTimeoutMs } = context.settings
  const timeoutMs = request.timeoutMs === 0 ? appendTimeoutMs : Math.min(request.timeoutMs, appendTimeoutMs)
  const call: AppendCall = {
    forwarded: isForwarded(handler),
    deadline: performance.now() + timeoutMs,
    signal: handler.signal,
  }
  const topic = await findTopic(context, request.topic)
  const appended = await appendBody(context, turns, topic, request, call)
  return create(AppendResponseSchema, {
    appended: appended.map(({ partition, baseOffset, count, timestamp, duplicate }) =>
      create(AppendedSchema, {
        partition,
        baseOffset: BigInt(baseOffset),
        count,
        timestamp: BigInt(timestamp),
        duplicate,
      }),
    ),
  })
}

async function appendBody(
  context: BrokerContext,
  turns: TurnPicker,
  topic: TopicInfo,
  request: AppendRequest,
  call: AppendCall,
): Promise<readonly PartitionAppended[]> {
  const { body, partition, producer, expect } = request
  switch (body.case) {
    case 'records': {
      const records = body.value.records.map(plainRecord)
      return appendPlain(context, turns, topic, { records, partition, producer, expect }, call)
    }
    case 'recordSet': {
      if (partition === undefined) {
        throw new MillraceError('INVALID_ARGUMENT', 'partition: must be set with record_set, whose keys stay unopened')
      }
      const batch = checkBatch({ payload: body.value, producer, expect })
      return [{ partition, ...(await appendToLeader(context, topic, partition, batch, call)) }]
    }
    case undefined:
      throw new MillraceError('INVALID_ARGUMENT', 'body: set record_set or records')
  }
}

function plainRecord(record: PlainRecord): RecordInput {
  return {
    key: record.key ?? null,
    value: record.value ?? null,
    contentType: record.contentType,
    createTime: record.createTime === 0n ? Date.now() : Number(record.createTime),
    headers: Object.entries(record.headers).map(([name, value]) => ({ name, value })),
  }
}
