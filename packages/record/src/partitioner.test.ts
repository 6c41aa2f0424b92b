import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fmix32, keyHash, partitionOf } from './partitioner.ts'

interface Vector {
  readonly key: string
  readonly keyHex: string
  readonly hash: string
  readonly mixed: string
  readonly partitions: Record<string, number>
}

const { vectors } = JSON.parse(readFileSync(new URL('../vectors/partitioner.json', import.meta.url), 'utf8')) as {
  vectors: Vector[]
}
const hex = (value: number): string => value.toString(16).padStart(8, '0')

describe('the test vectors', () => {
  test.each(vectors)('key $key', ({ key, keyHex, hash, mixed, partitions }) => {
    const bytes = Buffer.from(keyHex, 'hex')
    expect(bytes.toString()).toBe(key)
    expect(hex(keyHash(bytes))).toBe(hash)
    expect(hex(fmix32(keyHash(bytes)))).toBe(mixed)
    for (const [count, partition] of Object.entries(partitions)) {
      expect(partitionOf(keyHash(bytes), Number(count))).toBe(partition)
    }
  })

  test('the table in record-format.md is made of them', () => {
    const doc = readFileSync(new URL('../../../docs/internals/record-format.md', import.meta.url), 'utf8')
    for (const { key, hash, mixed, partitions: p } of vectors) {
      expect(doc).toContain(`| ${JSON.stringify(key)} | ${hash} | ${mixed} | ${p[3]} | ${p[8]} | ${p[1000]} |`)
    }
  })
})

test('every hash has a partition in range', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 1, max: 1024 }), (hash, partitions) => {
      const partition = partitionOf(hash, partitions)
      expect(Number.isInteger(partition) && partition >= 0 && partition < partitions).toBe(true)
    }),
  )
})

test('serial keys spread evenly', () => {
  for (const partitions of [3, 7, 16]) {
    const counts = new Array<number>(partitions).fill(0)
    for (let i = 0; i < 30_000; i++) counts[partitionOf(keyHash(Buffer.from(`customer-${i}`)), partitions)]!++
    const mean = 30_000 / partitions
    for (const count of counts) expect(Math.abs(count - mean)).toBeLessThan(mean * 0.1)
  }
})

test('a number of partitions out of range is refused by name', () => {
  for (const partitions of [0, 1.5, 1025, Number.NaN]) {
    expect(() => partitionOf(1, partitions)).toThrow(/partitionsPerTopicMax/)
  }
})
