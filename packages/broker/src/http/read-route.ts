/**
 * GET /v1/topics/{topic}/records: records as NDJSON, or as server-sent events where Accept asks for them. Reads from
 * the leaders of the partitions, here or one hop away, so that what was acknowledged before is there. Headers are sent
 * when every partition is open; an error after that is the last line of the body.
 */
import { framePayload, MillraceError, RecordSetReader } from '@millrace/record'
import type { BrokerContext } from '../broker-context.ts'
import { findTopic } from '../cluster/topic-lookup.ts'
import { openLeaderRead } from '../read/leader-read.ts'
import { mergeReads } from '../read/merged-read.ts'
import type { OpenRead, ReadEvent } from '../read/partition-read.ts'
import { formatPositions } from '../read/position-vector.ts'
import { toMillraceError } from '../services/connect-error.ts'
import { errorBody } from './http-error.ts'
import { closedSignal, header, type NodeRequest, type NodeResponse, writeAll } from './node-http.ts'
import { type ReadQuery, readQuery } from './read-request.ts'
import { renderRecord } from './record-rendering.ts'

/** What one read of all partitions together may hold: shared by them, so that many partitions do not mean much memory. */
const PARTITION_BUFFER_BYTES_MIN = 65_536

/** Text that is gathered before it is written. */
const CHUNK_CHARS = 65_536

export async function readRoute(
  context: BrokerContext,
  topicName: string,
  query: string,
  request: NodeRequest,
  response: NodeResponse,
): Promise<void> {
  const topic = await findTopic(context, topicName)
  const asEvents = (header(request, 'accept') ?? '').includes('text/event-stream')
  const asked = readQuery(topic, query, asEvents ? header(request, 'last-event-id') : undefined)
  const stop = new AbortController()
  const signal = AbortSignal.any([closedSignal(response), context.stopping, stop.signal])
  context.counters.readStreams += asked.partitions.length
  try {
    checkReads(context)
    const reads = await openAll(context, topic, asked, signal)
    response.writeHead(200, {
      'content-type': asEvents ? 'text/event-stream; charset=utf-8' : 'application/x-ndjson; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    })
    // HTTP/2 sends them with writeHead already.
    if ('flushHeaders' in response) response.flushHeaders()
    await send(context, topicName, asked, reads, asEvents, response)
  } finally {
    context.counters.readStreams -= asked.partitions.length
    stop.abort()
  }
}

async function openAll(
  context: BrokerContext,
  topic: Awaited<ReturnType<typeof findTopic>>,
  asked: ReadQuery,
  signal: AbortSignal,
): Promise<readonly OpenRead[]> {
  const { readBufferBytesMax } = context.settings.limits
  const share = Math.floor(readBufferBytesMax / asked.partitions.length)
  return Promise.all(
    asked.partitions.map(partition =>
      openLeaderRead(context, topic, partition, {
        from: asked.from(partition),
        live: asked.live,
        anyReplica: false,
        batchBytesMax: Math.max(PARTITION_BUFFER_BYTES_MIN, share),
        idleMs: context.settings.readIdleMs,
        signal,
      }),
    ),
  )
}

function checkReads({ counters, settings, nodeId }: BrokerContext): void {
  const max = settings.limits.readStreamsMax
  if (counters.readStreams <= max) return
  throw new MillraceError('THROTTLED', `node ${nodeId} has ${max} open reads, the limit (limits.readStreamsMax)`, {
    details: { limit: 'limits.readStreamsMax', max },
  })
}

async function send(
  context: BrokerContext,
  topic: string,
  asked: ReadQuery,
  reads: readonly OpenRead[],
  asEvents: boolean,
  response: NodeResponse,
): Promise<void> {
  const positions = new Map(reads.map(read => [read.partition, read.startOffset]))
  let left = asked.max
  try {
    for await (const { partition, event } of left > 0 ? mergeReads(reads) : []) {
      if (event.type === 'idle') {
        if (asEvents && !(await writeAll(response, ': idle\n\n'))) return
        continue
      }
      const chunks = renderFrames(topic, partition, event, positions, left, asEvents)
      let records = 0
      for (const chunk of chunks) {
        records += chunk.records
        if (!(await writeAll(response, chunk.text))) return
      }
      left -= records
      context.counters.recordsRead += records
      context.counters.bytesRead += event.frames.reduce((sum, frame) => sum + frame.bytes.length, 0)
      if (left <= 0) break
    }
    if (asked.live && context.stopping.aborted) throw stoppingError(context)
  } catch (error) {
    // While the node stops, its leaders go: not what a reader has to know.
    const shown = context.stopping.aborted ? stoppingError(context) : toMillraceError(error)
    const text = JSON.stringify(errorBody(shown))
    await writeAll(response, asEvents ? `event: error\ndata: ${text}\n\n` : `${text}\n`)
  }
  response.end()
}

function stoppingError({ nodeId }: BrokerContext): MillraceError {
  return new MillraceError('SHUTTING_DOWN', `node ${nodeId} is stopping; go on at another one`)
}

/** Renders a batch in pieces of about {@link CHUNK_CHARS}; moves `positions` on as it goes. */
function* renderFrames(
  topic: string,
  partition: number,
  event: Extract<ReadEvent, { type: 'frames' }>,
  positions: Map<number, number>,
  max: number,
  asEvents: boolean,
): Generator<{ readonly text: string; readonly records: number }> {
  let text = ''
  let records = 0
  let total = 0
  for (const frame of event.frames) {
    const { baseOffset, timestamp } = frame.header
    const set = new RecordSetReader(framePayload(frame))
    for (let i = Math.max(0, positions.get(partition)! - baseOffset); i < set.count && total < max; i++) {
      const offset = baseOffset + i
      const line = renderRecord({ topic, partition, offset, timestamp, record: set.record(i) })
      positions.set(partition, offset + 1)
      text += asEvents ? `id: ${formatPositions(positions)}\ndata: ${line}\n\n` : `${line}\n`
      records++
      total++
      if (text.length < CHUNK_CHARS) continue
      yield { text, records }
      text = ''
      records = 0
    }
  }
  if (records > 0) yield { text, records }
}
