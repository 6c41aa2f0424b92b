/** Reads one partition from the node that leads it, over Connect, in the shape of a local read. */
import { create } from '@bufbuild/protobuf'
import { ReadRequestSchema, type ReadResponse, StartPositionSchema } from '@millrace/proto'
import { decodeFrame, type Frame, MillraceError, nextOffsetAfter } from '@millrace/record'
import type { PeerClients } from '../cluster/node-directory.ts'
import { toMillraceError } from '../services/connect-error.ts'
import type { OpenRead, ReadEvent, ReadOptions } from './partition-read.ts'
import type { StartPosition } from './start-position.ts'

/** @throws MillraceError as the other node answers; UNREACHABLE, CONNECTION_LOST */
export async function openRemoteRead(
  clients: PeerClients,
  topic: string,
  partition: number,
  options: ReadOptions,
): Promise<OpenRead> {
  const { from, live, batchBytesMax, signal } = options
  const request = create(ReadRequestSchema, { topic, partition, from: wirePosition(from), live, batchBytesMax })
  const responses = clients.log.read(request, { signal })[Symbol.asyncIterator]()
  const first = await nextResponse(responses)
  if (first?.event.case !== 'subscribed') {
    throw new MillraceError('INTERNAL', 'a read of another node did not begin with subscribed')
  }
  const { startOffset, logStartOffset, highWatermark } = first.event.value
  return {
    partition,
    startOffset: Number(startOffset),
    logStartOffset: Number(logStartOffset),
    highWatermark: Number(highWatermark),
    events: events(responses, Number(startOffset), signal),
  }
}

async function* events(
  responses: AsyncIterator<ReadResponse>,
  start: number,
  signal: AbortSignal,
): AsyncGenerator<ReadEvent> {
  let nextOffset = start
  for (;;) {
    let response: ReadResponse | undefined
    try {
      response = await nextResponse(responses)
    } catch (error) {
      if (signal.aborted) return
      throw error
    }
    if (response === undefined) return
    const { event } = response
    if (event.case === 'idle') yield { type: 'idle', highWatermark: Number(event.value.highWatermark) }
    if (event.case !== 'frames') continue
    const frames = decodeFrames(event.value.frames)
    const last = frames.at(-1)
    if (last !== undefined) nextOffset = nextOffsetAfter(last.header)
    yield { type: 'frames', frames, nextOffset, highWatermark: Number(event.value.highWatermark) }
  }
}

async function nextResponse(responses: AsyncIterator<ReadResponse>): Promise<ReadResponse | undefined> {
  try {
    const result = await responses.next()
    return result.done ? undefined : result.value
  } catch (error) {
    throw toMillraceError(error)
  }
}

/** Every frame is verified: bytes with a bad checksum go no further. */
function decodeFrames(bytes: Uint8Array): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length; ) {
    const frame = decodeFrame(bytes, at)
    if (typeof frame === 'string') {
      throw new MillraceError('INTERNAL', `a frame from another node is not valid: ${frame}`)
    }
    frames.push(frame)
    at += frame.bytes.length
  }
  return frames
}

function wirePosition(from: StartPosition) {
  switch (from.type) {
    case 'earliest':
      return create(StartPositionSchema, { position: { case: 'earliest', value: true } })
    case 'latest':
      return create(StartPositionSchema, { position: { case: 'latest', value: true } })
    case 'offset':
      return create(StartPositionSchema, { position: { case: 'offset', value: BigInt(from.offset) } })
    case 'time':
      return create(StartPositionSchema, { position: { case: 'time', value: BigInt(from.timeMs) } })
  }
}
