/** One Read call: opens the partition, says `subscribed` at once, then sends frames or decoded records. */
import { create } from '@bufbuild/protobuf'
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
import { type Frame, framePayload, MillraceError, RecordSetReader } from '@millrace/record'
import type { BrokerContext } from '../broker-context.ts'
import { notLeader } from '../cluster/not-leader.ts'
import { checkPartition, findTopic, localPartition } from '../cluster/topic-lookup.ts'
import { type OpenRead, openPartitionRead, type ReadEvent } from '../read/partition-read.ts'
import { fromWirePosition } from '../read/start-position.ts'
import { checkHello, serverHello } from './hello.ts'

/** @param signal fires when the call is over or the node stops */
export async function* readStream(
  context: BrokerContext,
  request: ReadRequest,
  signal: AbortSignal,
): AsyncGenerator<ReadResponse> {
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
  if (partition === undefined) {
    const leaderNode = topics.leaderOf(topic.name, request.partition)
    throw notLeader(directory, { what: `${topic.name}/${request.partition}`, leaderNode, term: 0 })
  }
  const bufferMax = settings.limits.readBufferBytesMax
  return openPartitionRead(context, partition, {
    from: fromWirePosition(request.from),
    live: request.live,
    anyReplica: request.anyReplica,
    batchBytesMax: request.batchBytesMax === 0 ? bufferMax : Math.min(request.batchBytesMax, bufferMax),
    idleMs: settings.readIdleMs,
    signal,
  })
}

function subscribed(context: BrokerContext, read: OpenRead): ReadResponse {
  return create(ReadResponseSchema, {
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
}

async function* batches(context: BrokerContext, request: ReadRequest, read: OpenRead): AsyncGenerator<ReadResponse> {
  const { counters } = context
  let offset = read.startOffset
  let left = request.recordsMax === 0n ? Number.POSITIVE_INFINITY : Number(request.recordsMax)
  for await (const event of read.events) {
    const response = event.type === 'idle' ? idle(event.highWatermark) : message(request.format, event, offset, left)
    if (event.type === 'frames') {
      const records = event.nextOffset - offset
      offset = event.nextOffset
      left -= records
      counters.recordsRead += records
      counters.bytesRead += event.frames.reduce((sum, frame) => sum + frame.bytes.length, 0)
    }
    yield response
    if (left <= 0) return
  }
}

function idle(highWatermark: number): ReadResponse {
  return create(ReadResponseSchema, {
    event: { case: 'idle', value: create(IdleSchema, { highWatermark: BigInt(highWatermark) }) },
  })
}

type FramesEvent = Extract<ReadEvent, { type: 'frames' }>

function message(format: Format, event: FramesEvent, offset: number, left: number): ReadResponse {
  const highWatermark = BigInt(event.highWatermark)
  if (format === Format.RECORDS) {
    const records = decodeFrames(event.frames, offset, left)
    return create(ReadResponseSchema, {
      event: { case: 'records', value: create(RecordBatchSchema, { records, highWatermark }) },
    })
  }
  const frames = joinFrames(event.frames)
  return create(ReadResponseSchema, {
    event: { case: 'frames', value: create(FrameBatchSchema, { frames, highWatermark }) },
  })
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
