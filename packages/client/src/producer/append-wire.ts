/** Batches and answers to and from protobuf messages. */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import {
  type Appended,
  type AppendResult,
  type AppendStreamRequest,
  AppendStreamRequestSchema,
  type ExpectationSchema,
  type ProducerPositionSchema,
} from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import { detailFailure, errorFailure } from '../cluster/rpc-error.ts'
import type { Answer } from './answer.ts'
import type { BatchRequest, Expectation } from './append-link.ts'

/** The versions of the protocol that this client speaks, as it says on every stream. */
export const CLIENT_HELLO: {
  readonly protocolMin: number
  readonly protocolMax: number
  readonly client: string
} = { protocolMin: 1, protocolMax: 1, client: '@millrace/client' }

export function streamRequest(id: number, request: BatchRequest): AppendStreamRequest {
  const expect = wireExpectation(request.expect)
  return create(AppendStreamRequestSchema, {
    id: BigInt(id),
    topic: request.topic,
    partition: request.partition,
    producer: wireProducer(request),
    ...(expect === undefined ? {} : { expect }),
    payloadCrc: request.crc,
    count: request.count,
    codec: request.codec,
    recordSet: request.bytes,
  })
}

export function wireProducer(request: BatchRequest): MessageInitShape<typeof ProducerPositionSchema> {
  const { producerId, epoch, sequence, retry } = request
  return { id: producerId, epoch, sequence, retry }
}

export function wireExpectation(
  expect: Expectation | undefined,
): MessageInitShape<typeof ExpectationSchema> | undefined {
  if (expect === undefined) return undefined
  if ('partitionOffset' in expect) {
    return { condition: { case: 'partitionOffset', value: BigInt(expect.partitionOffset) } }
  }
  if (expect.keyOffset === 'none') return { condition: { case: 'keyAbsent', value: true } }
  return { condition: { case: 'keyOffset', value: BigInt(expect.keyOffset) } }
}

export function answerOf({ result }: AppendResult): Answer {
  if (result.case === 'appended') return storedAnswer(result.value)
  if (result.case === 'error') return detailFailure(result.value)
  return errorFailure(new MillraceError('INTERNAL', 'a broker answers a batch with nothing'))
}

export function storedAnswer(appended: Appended): Answer {
  return { ok: true, baseOffset: Number(appended.baseOffset), timestamp: Number(appended.timestamp) }
}
