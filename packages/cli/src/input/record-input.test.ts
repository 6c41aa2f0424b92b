import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { jsonRecord, plainRecord } from './record-input.ts'
import { NEWLINE, NUL, splitRecords } from './record-splitter.ts'

async function split(
  chunks: readonly string[],
  delimiter: typeof NEWLINE | typeof NUL = NEWLINE,
  recordBytesMax = 100,
) {
  const records: string[] = []
  const input = Readable.from(chunks.map(chunk => Buffer.from(chunk)))
  for await (const batch of splitRecords(input, { delimiter, recordBytesMax })) records.push(...batch.map(String))
  return records
}

describe('splitRecords', () => {
  it('gives one record per line, whatever the chunks', async () => {
    expect(await split(['a\nb', 'c', 'd\n', '\ne'])).toEqual(['a', 'bcd', '', 'e'])
    expect(await split(['a\n'])).toEqual(['a'])
    expect(await split([])).toEqual([])
  })

  it('splits at NUL bytes', async () => {
    expect(await split(['a\nb\0c\0'], NUL)).toEqual(['a\nb', 'c'])
  })

  it('refuses a record above the limit by its number, before it is complete', async () => {
    await expect(split(['a\n', 'x'.repeat(101)])).rejects.toThrow('record 2 of the input is larger than 100 bytes')
    await expect(split([`${'x'.repeat(101)}\n`])).rejects.toThrow('record 1')
    expect(await split(['x'.repeat(100)])).toHaveLength(1)
  })

  it('keeps bytes that are not UTF-8', async () => {
    const batches: Buffer[] = []
    const input = Readable.from([Buffer.from([0xff, 0xfe, 0x0a, 0x80])])
    for await (const batch of splitRecords(input, { delimiter: NEWLINE })) batches.push(...batch)
    expect(batches.map(record => [...record])).toEqual([[0xff, 0xfe], [0x80]])
  })
})

describe('jsonRecord', () => {
  const bytes = (text: string): Uint8Array => Buffer.from(text)

  it('takes the key from a field', () => {
    const parse = jsonRecord('.user.id')
    expect(parse(bytes('{"user":{"id":7}}'), 1)?.key).toBe('7')
    expect(parse(bytes('  '), 2)).toBeUndefined()
  })

  it('names the record and the field that are wrong', () => {
    expect(() => jsonRecord('.id')(bytes('{"a":1}'), 3)).toThrow('record 3 of the input: the key .id is missing')
    expect(() => jsonRecord('.id')(bytes('{"id":{}}'), 3)).toThrow('is no string')
    expect(() => jsonRecord(undefined)(bytes('{'), 4)).toThrow('record 4 of the input is not JSON')
    expect(() => jsonRecord('id')).toThrow('"id" is not a path')
  })

  it('leaves plain records alone', () => {
    expect(plainRecord(bytes('{'), 1)).toEqual({ value: bytes('{') })
  })
})
