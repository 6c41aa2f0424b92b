import { create } from '@bufbuild/protobuf'
import { ExpectationSchema, ProducerPositionSchema } from '@millrace/proto'
import { encodeRecordSet } from '@millrace/record'
import { expect, test } from 'vitest'
import { checkBatch } from './partition-append.ts'

const payload = encodeRecordSet([{ value: 'a', key: null, createTime: 1 }], { codec: 'none' }).bytes
const id = new Uint8Array(16).fill(7)

test.each([true, false])('a producer position arrives whole, retry %s', retry => {
  const producer = create(ProducerPositionSchema, { id, epoch: 3, sequence: 9, retry })
  expect(checkBatch({ payload, producer }).producer).toEqual({ id, epoch: 3, sequence: 9, retry })
})

test('a producer id stays what it was when the memory of its request is written to: a frame may be made there', () => {
  // As the bytes of a message are that came over HTTP/2. The slice of a Buffer is a view.
  const memory = Buffer.alloc(16, 7)
  const { producer } = checkBatch({ payload, producer: create(ProducerPositionSchema, { id: memory, epoch: 1 }) })
  memory.fill(0)
  expect(producer?.id).toEqual(id)
})

test('a producer id has 16 bytes', () => {
  const producer = create(ProducerPositionSchema, { id: id.subarray(1) })
  expect(() => checkBatch({ payload, producer })).toThrow('producer.id: must have 16 bytes, not 15')
})

test.each([
  [{ case: 'partitionOffset', value: 5n } as const, { type: 'partitionOffset', offset: 5 }],
  [{ case: 'keyOffset', value: 5n } as const, { type: 'keyOffset', offset: 5 }],
  [{ case: 'keyAbsent', value: true } as const, { type: 'keyAbsent' }],
])('an expectation arrives: %o', (condition, expected) => {
  expect(checkBatch({ payload, expect: create(ExpectationSchema, { condition }) }).expect).toEqual(expected)
})
