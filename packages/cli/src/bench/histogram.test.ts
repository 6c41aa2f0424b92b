import { expect, test } from 'vitest'
import { Histogram } from './histogram.ts'

/** Known by sorting all values: what the histogram must come close to. */
function exact(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1]!
}

test('percentiles are those of the sorted values, at most 1/256 above', () => {
  const values: number[] = []
  // Five orders of magnitude, without a random source.
  for (let i = 1; i <= 20_000; i++) values.push(0.01 * 1.0008 ** ((i * 7_919) % 20_000))
  const histogram = new Histogram()
  for (const value of values) histogram.record(value)
  expect(histogram.count).toBe(values.length)
  for (const share of [0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1]) {
    const truth = exact(values, share)
    const found = histogram.percentileMs(share)
    // Half a microsecond: values are rounded to whole ones.
    expect(found, `p${share * 100}`).toBeGreaterThanOrEqual(truth - 0.000_6)
    expect(found, `p${share * 100}`).toBeLessThanOrEqual(truth * (1 + 1 / 256) + 0.000_6)
  }
  expect(histogram.percentileMs(1)).toBe(Math.max(...values))
  expect(histogram.maxMs).toBe(Math.max(...values))
})

test('one slow value of a thousand is above the 99.9th percentile, two are not', () => {
  const histogram = new Histogram()
  for (let i = 0; i < 999; i++) histogram.record(1)
  histogram.record(500)
  expect(histogram.percentileMs(0.999)).toBeCloseTo(1, 2)
  expect(histogram.maxMs).toBe(500)
  histogram.record(500)
  expect(histogram.percentileMs(0.999)).toBe(500)
})

test('every boundary of buckets keeps values apart that are 1/128 apart', () => {
  for (let ms = 0.001; ms < 2 ** 20; ms *= 2) {
    for (const value of [ms, ms * 1.5, ms * 1.99]) {
      const histogram = new Histogram()
      histogram.record(value)
      histogram.record(value * 1.008 + 0.002)
      expect(histogram.percentileMs(0.5), `${value} ms`).toBeLessThan(value * 1.008 + 0.002)
      expect(histogram.percentileMs(0.5), `${value} ms`).toBeGreaterThanOrEqual(value - 0.000_6)
    }
  }
})

test('nothing has no percentile, and there is no latency below zero', () => {
  const histogram = new Histogram()
  expect(histogram.percentileMs(0.5)).toBeNaN()
  expect(histogram.maxMs).toBeNaN()
  expect(() => histogram.record(-1)).toThrow('a latency of -1 ms')
  expect(() => histogram.record(Number.NaN)).toThrow(RangeError)
})

test('counts up to edges are all values up to the last edge, each with the first edge that is not below it', () => {
  const histogram = new Histogram()
  for (const ms of [0.05, 0.1, 0.101, 1, 1.9, 2, 2.01, 90, 5_000]) histogram.record(ms)
  expect(histogram.countsUpTo([0.1, 1, 2, 5, 100])).toEqual([2, 2, 2, 1, 1])
  expect(histogram.countsUpTo([10_000])).toEqual([9])
})
