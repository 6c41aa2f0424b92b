/** One Read call: opens the partition, says `subscribed` at once, then sends frames or decoded records. */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  Format,
  FrameBatchSchema,
  IdleSchema,
  type ReadRecord,
  ReadRecordSchema,
  type ReadRequest,
  type ReadResponse,
  ReadResponseSchema,
  RecordBatchSchema,
  SubscribedSchema,
} from '@millrace/proto'
import { frameBatchParts, type MessageParts } from '@millrace/proto/http2'
import { type Frame, framePayload, MillraceError, RecordSetReader } from '@millrace/record'
import type { BrokerContext } from '../broker-context.ts'
import { notLeader } from '../cluster/not-leader.ts'
import { checkPartition, findTopic, isPlacedHere, localPartition } from '../cluster/topic-lookup.ts'
import { openLeaderRead } from '../read/leader-read.ts'
import { type OpenRead, openPartitionRead, type ReadEvent, type ReadOptions } from '../read/partition-read.ts'
import { fromWirePosition } from '../read/start-position.ts'
import { checkHello, serverHello } from './hello.ts'

/** One message of the stream. Frames are as they were stored, by reference, and never none. */
export type ReadMessage =
  | { readonly type: 'response'; readonly response: ReadResponse }
  | { readonly type: 'frames'; readonly frames: readonly Frame[]; readonly highWatermark: number }

/** @param signal fires when the call is over or the node stops */
export async function* readStream(
  context: BrokerContext,
  request: ReadRequest,
  signal: AbortSignal,
): AsyncGenerator<ReadMessage> {
  const { counters, settings } = context
  if (counters.readStreams >= settings.limits.readStreamsMax) throw tooManyReads(context)
  counters.readStreams++
  try {
    const read = await open(context, request, signal)
    yield subscribed(context, read)
    yield* batches(context, request, read)
    if (context.stopping.aborted) throw new MillraceError('SHUTTING_DOWN', `node ${context.nodeId} is stopping`)
  } finally {
    counters.readStreams--
  }
}

async function open(context: BrokerContext, request: ReadRequest, signal: AbortSignal): Promise<OpenRead> {
  checkHello(request.hello)
  const { topics, directory, settings } = context
  const topic = await findTopic(context, request.topic)
  checkPartition(topic, request.partition)
  const partition = await localPartition(context, topic, request.partition)
  const bufferMax = settings.limits.readBufferBytesMax
  const options: ReadOptions = {
    from: fromWirePosition(request.from),
    live: request.live,
    anyReplica: request.anyReplica,
    batchBytesMax: request.batchBytesMax === 0 ? bufferMax : Math.min(request.batchBytesMax, bufferMax),
    idleMs: settings.readIdleMs,
    signal,
  }
  if (request.anyReplica) {
    if (partition !== undefined && isPlacedHere(context, partition))
      return openPartitionRead(context, partition, options)
    // Who takes any node's answer did not choose this one for what it holds: it is passed on.
    return openLeaderRead(context, topic, request.partition, { ...options, anyReplica: false })
  }
  if (partition !== undefined) return openPartitionRead(context, partition, options)
  const leaderNode = topics.leaderOf(topic.name, request.partition)
  throw notLeader(directory, { what: `${topic.name}/${request.partition}`, leaderNode, term: 0 })
}

/** As a message of protobuf-es: frames are joined, which copies them unless there is one. */
export function readResponse(message: ReadMessage): ReadResponse {
  if (message.type === 'response') return message.response
  const frames = joinFrames(message.frames)
  const highWatermark = BigInt(message.highWatermark)
  return create(ReadResponseSchema, {
    event: { case: 'frames', value: create(FrameBatchSchema, { frames, highWatermark }) },
  })
}

/** Encoded, with the frames by reference. */
export function readMessageParts(message: ReadMessage): MessageParts {
  if (message.type === 'response') return [toBinary(ReadResponseSchema, message.response)]
  return frameBatchParts(
    message.frames.map(frame => frame.bytes),
    message.highWatermark,
  )
}

function subscribed(context: BrokerContext, read: OpenRead): ReadMessage {
  const response = create(ReadResponseSchema, {
    event: {
      case: 'subscribed',
      value: create(SubscribedSchema, {
        hello: serverHello(context),
        startOffset: BigInt(read.startOffset),
        logStartOffset: BigInt(read.logStartOffset),
        highWatermark: BigInt(read.highWatermark),
      }),
    },
  })
  return { type: 'response', response }
}

async function* batches(context: BrokerContext, request: ReadRequest, read: OpenRead): AsyncGenerator<ReadMessage> {
  const { counters } = context
  let offset = read.startOffset
  let left = request.recordsMax === 0n ? Number.POSITIVE_INFINITY : Number(request.recordsMax)
  for await (const event of read.events) {
    const next = event.type === 'idle' ? idle(event.highWatermark) : message(request.format, event, offset, left)
    if (event.type === 'frames') {
      const records = event.nextOffset - offset
      offset = event.nextOffset
      left -= records
      counters.recordsRead += records
      counters.bytesRead += event.frames.reduce((sum, frame) => sum + frame.bytes.length, 0)
    }
    yield next
    if (left <= 0) return
  }
}

function idle(highWatermark: number): ReadMessage {
  const response = create(ReadResponseSchema, {
    event: { case: 'idle', value: create(IdleSchema, { highWatermark: BigInt(highWatermark) }) },
  })
  return { type: 'response', response }
}

type FramesEvent = Extract<ReadEvent, { type: 'frames' }>

function message(format: Format, event: FramesEvent, offset: number, left: number): ReadMessage {
  const { frames, highWatermark } = event
  if (format !== Format.RECORDS) return { type: 'frames', frames, highWatermark }
  const value = create(RecordBatchSchema, {
    records: decodeFrames(frames, offset, left),
    highWatermark: BigInt(highWatermark),
  })
  return { type: 'response', response: create(ReadResponseSchema, { event: { case: 'records', value } }) }
}

/** One copy, unless there is one frame. */
function joinFrames(frames: readonly Frame[]): Uint8Array {
  return frames.length === 1 ? frames[0]!.bytes : Buffer.concat(frames.map(frame => frame.bytes))
}

function decodeFrames(frames: readonly Frame[], from: number, recordsMax: number): ReadRecord[] {
  const records: ReadRecord[] = []
  for (const frame of frames) {
    const { baseOffset, timestamp } = frame.header
    const set = new RecordSetReader(framePayload(frame))
    for (let i = Math.max(0, from - baseOffset); i < set.count && records.length < recordsMax; i++) {
      const { key, value, contentType, createTime, headers } = set.record(i)
      const record = create(ReadRecordSchema, {
        offset: BigInt(baseOffset + i),
        timestamp: BigInt(timestamp),
        createTime: BigInt(createTime),
        contentType,
        headers: Object.fromEntries(headers.map(header => [header.name, header.value])),
      })
      if (key !== null) record.key = key
      if (value !== null) record.value = value
      records.push(record)
    }
  }
  return records
}

function tooManyReads({ nodeId, settings }: BrokerContext): MillraceError {
  const max = settings.limits.readStreamsMax
  return new MillraceError('THROTTLED', `node ${nodeId} has ${max} open reads, the limit (limits.readStreamsMax)`, {
    details: { limit: 'limits.readStreamsMax', max },
  })
}
