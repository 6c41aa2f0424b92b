import { readFileSync } from 'node:fs'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { RecordSetSchema, ValueBlockSchema } from '@millrace/proto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrameCodec } from './frame.ts'
import { LIMITS } from './limits.ts'
import { keyHash } from './partitioner.ts'
import type { RecordData, RecordInput } from './record-data.ts'
import { encodeRecordSet, RecordFlag, RecordSetBuilder } from './record-set-builder.ts'
import { recordSetIndex } from './record-set-index.ts'
import { RecordSetReader } from './record-set-reader.ts'
import { zigzag } from './wire.ts'

const bytes = fc.uint8Array({ maxLength: 40 })
const record: fc.Arbitrary<RecordInput> = fc.record({
  key: fc.option(fc.uint8Array({ maxLength: 200 })),
  value: fc.oneof(bytes, fc.constant(null), fc.string({ unit: 'grapheme', maxLength: 80 })),
  headers: fc.array(fc.record({ name: fc.string({ minLength: 1, maxLength: 10 }), value: bytes }), { maxLength: 3 }),
  contentType: fc.constantFrom('', 'text/plain', 'application/json', 'application/octet-stream'),
  createTime: fc.integer({ min: 1_700_000_000_000, max: 1_700_000_900_000 }),
})
const records = fc.array(record, { minLength: 1, maxLength: 30 })
const utf8 = new TextEncoder()

/** What a reader must give for what a builder took. */
function expected(input: RecordInput): RecordData {
  return {
    key: input.key ?? null,
    value: typeof input.value === 'string' ? utf8.encode(input.value) : input.value,
    headers: input.headers ?? [],
    contentType: input.contentType ?? '',
    createTime: input.createTime,
  }
}

/** Plain arrays, so that views and copies compare equal. */
function plain(data: RecordData): unknown {
  return {
    ...data,
    key: data.key && [...data.key],
    value: data.value && [...data.value],
    headers: data.headers.map(({ name, value }) => ({ name, value: [...value] })),
  }
}

/** The message that any protobuf library would make of the same records. */
function asMessage(inputs: readonly RecordInput[]): Uint8Array {
  const data = inputs.map(expected)
  const types = [...new Set(data.map(d => d.contentType).filter(type => type !== data[0]!.contentType))]
  const anyKey = data.some(d => d.key !== null)
  const values = data.map(d => d.value ?? new Uint8Array(0))
  const headers = data.flatMap(d => d.headers)
  const block = toBinary(
    ValueBlockSchema,
    create(ValueBlockSchema, {
      valueLengths: values.map(value => value.length),
      headerCounts: headers.length > 0 ? data.map(d => d.headers.length) : [],
      headers: headers.map(({ name, value }) => ({ name, value })),
      contentTypeIndexes: types.length > 0 ? data.map(d => types.indexOf(d.contentType) + 1) : [],
      contentTypes: types,
      values: Buffer.concat(values),
    }),
  )
  const flags = data.map(d => (d.key ? RecordFlag.hasKey : 0) | (d.value ? 0 : RecordFlag.tombstone))
  const deltas = data.map((d, i) => d.createTime - (data[i - 1] ?? d).createTime)
  return toBinary(
    RecordSetSchema,
    create(RecordSetSchema, {
      count: data.length,
      blockLength: block.length,
      contentType: data[0]!.contentType,
      createTime: BigInt(data[0]!.createTime),
      createTimeDeltas: deltas.some(delta => delta !== 0) ? deltas : [],
      flags: flags.some(flag => flag !== 0) ? flags : [],
      keyHashes: anyKey ? data.map(d => (d.key ? keyHash(d.key) : 0)) : [],
      keyLengths: anyKey ? data.map(d => d.key?.length ?? 0) : [],
      keys: Buffer.concat(data.map(d => d.key ?? new Uint8Array(0))),
      block,
    }),
  )
}

describe('against protobuf-es', () => {
  test('the encoder writes what it would write, byte for byte', () => {
    fc.assert(
      fc.property(records, inputs => {
        expect(Buffer.from(encodeRecordSet(inputs).bytes).equals(asMessage(inputs))).toBe(true)
      }),
    )
  })

  test('the reader reads what it wrote', () => {
    fc.assert(
      fc.property(records, inputs => {
        expect([...new RecordSetReader(asMessage(inputs))].map(plain)).toEqual(inputs.map(expected).map(plain))
      }),
    )
  })

  test('it reads a compressed set that we wrote', () => {
    const input = { value: 'x'.repeat(1000), createTime: 5 }
    const { bytes: set } = encodeRecordSet([input, input], { codec: 'zstd' })
    const message = fromBinary(RecordSetSchema, set)
    expect(message).toMatchObject({ count: 2, codec: FrameCodec.zstd, createTime: 5n })
    expect(message.block.length).toBeLessThan(message.blockLength)
  })
})

describe('round trip', () => {
  test('through both codecs', () => {
    fc.assert(
      fc.property(records, fc.constantFrom('none' as const, 'zstd' as const), (inputs, codec) => {
        const reader = new RecordSetReader(encodeRecordSet(inputs, { codec }).bytes)
        expect([...reader].map(plain)).toEqual(inputs.map(expected).map(plain))
      }),
    )
  })

  test('a builder is used again, and its bound on the size holds', () => {
    const builder = new RecordSetBuilder()
    fc.assert(
      fc.property(records, inputs => {
        for (const input of inputs) expect(builder.add(input)).toBe(true)
        const bound = builder.byteLength
        const set = builder.build()
        expect(set.count).toBe(inputs.length)
        expect(set.bytes.length).toBeLessThanOrEqual(bound)
        expect(bound - set.bytes.length).toBeLessThan(200)
        expect([...new RecordSetReader(set.bytes)].map(plain)).toEqual(inputs.map(expected).map(plain))
      }),
    )
  })

  test('bytes are copied on the way in', () => {
    const value = new Uint8Array([1])
    const builder = new RecordSetBuilder()
    builder.add({ key: value, value, createTime: 0 })
    value[0] = 9
    expect([...new RecordSetReader(builder.build().bytes).value(0)!]).toEqual([1])
  })

  test('zstd is left out where it does not help', () => {
    expect(encodeRecordSet([{ value: 'x', createTime: 0 }], { codec: 'zstd' }).codec).toBe(FrameCodec.none)
  })
})

interface SetVector {
  readonly name: string
  readonly bytes: string
  readonly records: readonly {
    readonly key: string | null
    readonly value: string | null
    readonly contentType: string
    readonly createTime: number
    readonly headers: readonly { readonly name: string; readonly value: string }[]
  }[]
}

const vectorFile = readFileSync(new URL('../vectors/record-set.json', import.meta.url), 'utf8')
const { vectors } = JSON.parse(vectorFile) as { vectors: SetVector[] }
const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))

test.each(vectors)('test vector: $name', vector => {
  const inputs = vector.records.map(r => ({
    ...r,
    key: r.key === null ? null : unhex(r.key),
    value: r.value === null ? null : unhex(r.value),
    headers: r.headers.map(({ name, value }) => ({ name, value: unhex(value) })),
  }))
  expect(Buffer.from(encodeRecordSet(inputs).bytes).toString('hex')).toBe(vector.bytes)
  expect([...new RecordSetReader(unhex(vector.bytes))].map(plain)).toEqual(inputs.map(plain))
})

describe('limits are named', () => {
  const builder = new RecordSetBuilder()
  const big = new Uint8Array(LIMITS.recordBytesMax)

  test('the largest record fits, one byte more does not', () => {
    expect(builder.add({ value: big, createTime: 0 })).toBe(true)
    builder.clear()
    expect(() => builder.add({ key: new Uint8Array(1), value: big, createTime: 0 })).toThrow(/recordBytesMax/)
    expect(() => builder.add({ value: `${'x'.repeat(LIMITS.recordBytesMax)}ü`, createTime: 0 })).toThrow(
      expect.objectContaining({ code: 'RECORD_TOO_LARGE', details: expect.objectContaining({ max: 1_048_576 }) }),
    )
    expect(builder.count).toBe(0)
  })

  test.each([
    [{ key: new Uint8Array(LIMITS.keyBytesMax + 1) }, /keyBytesMax/],
    [{ headers: new Array(65).fill({ name: 'a', value: new Uint8Array(0) }) }, /headersPerRecordMax/],
    [{ headers: [{ name: 'ü'.repeat(129), value: new Uint8Array(0) }] }, /headerNameBytesMax/],
    [{ headers: [{ name: '', value: new Uint8Array(0) }] }, /name is empty/],
    [{ contentType: 'x'.repeat(129) }, /contentTypeBytesMax/],
    [{ contentType: 'text/plain; charset=ü' }, /ASCII/],
    [{ createTime: -1 }, /createTime/],
    [{ createTime: 1.5 }, /createTime/],
  ])('%# %s', (part, message) => {
    expect(() => builder.add({ value: null, createTime: 0, ...part })).toThrow(message)
    expect(builder.count).toBe(0)
  })

  test('a full set says so and keeps what it has', () => {
    const small = new RecordSetBuilder({ bytesMax: 1000 })
    let added = 0
    while (small.add({ key: utf8.encode(`k${added}`), value: 'x'.repeat(20), createTime: added })) added++
    expect(small.count).toBe(added)
    const set = small.build()
    expect(set.bytes.length).toBeLessThanOrEqual(1000)
    expect(set.bytes.length).toBeGreaterThan(700)
    expect(new RecordSetReader(set.bytes).count).toBe(added)
  })

  test('a jump in time that the column cannot hold starts a new set', () => {
    builder.clear()
    expect(builder.add({ value: '', createTime: 0 })).toBe(true)
    expect(builder.add({ value: '', createTime: 2 ** 32 })).toBe(false)
    expect(builder.build().count).toBe(1)
  })
})

describe('hostile bytes', () => {
  const base = encodeRecordSet([
    { key: utf8.encode('k'), value: 'one', contentType: 'text/plain', createTime: 7 },
    { value: 'two', contentType: 'a/b', createTime: 9, headers: [{ name: 'h', value: utf8.encode('v') }] },
  ]).bytes

  test('every truncation and every flipped bit is read or refused, never misread out of bounds', () => {
    const verdict = (set: Uint8Array): void => {
      try {
        for (const data of new RecordSetReader(set)) expect(data.value === null || data.value.length < 100).toBe(true)
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^(CORRUPT_BATCH|UNSUPPORTED)$/) })
      }
    }
    for (let length = 0; length < base.length; length++) {
      expect(() => recordSetIndex(base.subarray(0, length))).toThrow(expect.objectContaining({ code: 'CORRUPT_BATCH' }))
    }
    for (let bit = 0; bit < base.length * 8; bit++) {
      const flipped = base.slice()
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      verdict(flipped)
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), verdict))
  })

  const message = (fields: object): Uint8Array =>
    toBinary(
      RecordSetSchema,
      create(RecordSetSchema, { count: 2, blockLength: 2, block: new Uint8Array(2), ...fields }),
    )

  test.each([
    ['count', message({ count: 0 })],
    ['count', message({ count: 0xffff_ffff })],
    ['codec', message({ codec: 7 as never })],
    ['block_length', message({ blockLength: 5 })],
    ['block_length', message({ blockLength: 0xffff_ffff, codec: FrameCodec.zstd })],
    ['flags', message({ flags: [0] })],
    ['flags', message({ flags: [0, 0, 0] })],
    ['key_hashes', message({ keyHashes: [1] })],
    ['key_lengths', message({ flags: [1, 0], keyHashes: [1, 0] })],
    ['keys', message({ flags: [1, 1], keyHashes: [1, 1], keyLengths: [1, 2], keys: new Uint8Array(2) })],
    ['keys', message({ keys: new Uint8Array(2) })],
    ['create_time_deltas', message({ createTimeDeltas: [-1, 0] })],
    ['create_time', message({ createTime: -1n })],
    ['content_type', message({ contentType: 'x'.repeat(200) })],
  ])('the error names %s', (field, set) => {
    expect(() => recordSetIndex(set)).toThrow(expect.objectContaining({ details: expect.objectContaining({ field }) }))
  })

  test('a zstd bomb is stopped at the announced length', () => {
    const { bytes: set } = encodeRecordSet([{ value: new Uint8Array(1_000_000), createTime: 0 }], { codec: 'zstd' })
    const lying = fromBinary(RecordSetSchema, set)
    lying.blockLength = 1000
    const reader = new RecordSetReader(toBinary(RecordSetSchema, lying))
    expect(() => reader.value(0)).toThrow(/record set: block/)
  })
})

test('keys and hashes are read without opening values', () => {
  const { bytes: set } = encodeRecordSet([{ key: utf8.encode('c-42'), value: 'x'.repeat(500), createTime: 3 }], {
    codec: 'zstd',
  })
  const message = fromBinary(RecordSetSchema, set)
  message.block.fill(0xff)
  const reader = new RecordSetReader(toBinary(RecordSetSchema, message))
  expect(reader.keyHash(0)).toBe(keyHash(utf8.encode('c-42')))
  expect(Buffer.from(reader.key(0)!).toString()).toBe('c-42')
  expect(reader.createTime(0)).toBe(3)
  expect(() => reader.value(0)).toThrow(expect.objectContaining({ code: 'CORRUPT_BATCH' }))
})

test('protobuf zigzag', () => {
  expect([0, -1, 1, 0x7fff_ffff, -0x8000_0000].map(zigzag)).toEqual([0, 1, 2, 0xffff_fffe, 0xffff_ffff])
})
