import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type AppendStreamRequest,
  AppendStreamRequestSchema,
  ClientHelloSchema,
  ExpectationSchema,
  FrameBatchSchema,
  ProducerPositionSchema,
  ReadResponseSchema,
} from '../gen/millrace/v1alpha1/log_pb.ts'
import { appendStreamRequestParts, frameBatchParts } from './message-parts.ts'

const u32 = fc.nat(0xffffffff)
const u64 = fc.bigInt({ min: 0n, max: 2n ** 53n - 1n })

const requests: fc.Arbitrary<AppendStreamRequest> = fc
  .record({
    hello: fc.option(fc.constant({ protocolMin: 1, protocolMax: 2, client: 'test' }), { nil: undefined }),
    id: u64,
    topic: fc.string({ maxLength: 300 }),
    partition: u32,
    producer: fc.option(
      fc.record({ id: fc.uint8Array({ maxLength: 20 }), epoch: u32, sequence: u32, retry: fc.boolean() }),
      { nil: undefined },
    ),
    offset: fc.option(u64, { nil: undefined }),
    payloadCrc: u32,
    count: u32,
    codec: u32,
    recordSet: fc.uint8Array({ maxLength: 600 }),
  })
  .map(({ hello, producer, offset, ...rest }) =>
    Object.assign(create(AppendStreamRequestSchema, rest), {
      ...(hello && { hello: create(ClientHelloSchema, hello) }),
      ...(producer && { producer: create(ProducerPositionSchema, producer) }),
      ...(offset !== undefined && {
        expect: create(ExpectationSchema, { condition: { case: 'partitionOffset', value: offset } }),
      }),
    }),
  )

describe('message parts', () => {
  test('an AppendStreamRequest has the bytes that protobuf-es makes, with the record set by reference', () => {
    fc.assert(
      fc.property(requests, request => {
        const parts = appendStreamRequestParts(request)
        expect(Buffer.concat(parts)).toEqual(Buffer.from(toBinary(AppendStreamRequestSchema, request)))
        if (request.recordSet.length > 0) expect(parts.at(-1)).toBe(request.recordSet)
        expect(fromBinary(AppendStreamRequestSchema, Uint8Array.from(Buffer.concat(parts)))).toEqual(request)
      }),
    )
  })

  test('a ReadResponse of frames has the bytes that protobuf-es makes, with the frames by reference', () => {
    const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { minLength: 1, maxLength: 5 })
    const highWatermarks = fc.oneof(fc.constant(0), fc.maxSafeNat())
    fc.assert(
      fc.property(frames, highWatermarks, (list, highWatermark) => {
        const parts = frameBatchParts(list, highWatermark)
        const value = create(FrameBatchSchema, { frames: Buffer.concat(list), highWatermark: BigInt(highWatermark) })
        const message = create(ReadResponseSchema, { event: { case: 'frames', value } })
        expect(Buffer.concat(parts)).toEqual(Buffer.from(toBinary(ReadResponseSchema, message)))
        for (const frame of list) expect(parts).toContain(frame)
      }),
    )
  })
})
