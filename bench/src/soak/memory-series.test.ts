import { expect, test } from 'vitest'
import { MemorySeries } from './memory-series.ts'

test('the slope is that of the last samples alone, through their ups and downs', () => {
  const series = new MemorySeries()
  // Doubles in a minute, and from then on grows by 600 bytes a minute, 50 up and 50 down around that.
  for (let second = 0; second < 60; second++) series.add(second * 1_000, 10_000 + second * 200)
  for (let second = 60; second < 300; second++)
    series.add(second * 1_000, 22_000 + (second - 60) * 10 + (second % 2 === 0 ? 50 : -50))
  expect(series.bytesPerMinuteSince(60_000)).toBeGreaterThan(595)
  expect(series.bytesPerMinuteSince(60_000)).toBeLessThan(605)
  expect(series.bytesPerMinuteSince(0)).toBeGreaterThan(1_000)
})

test('mean and peak since a moment', () => {
  const series = new MemorySeries()
  for (const [atMs, bytes] of [
    [0, 900],
    [1_000, 100],
    [2_000, 300],
  ] as const)
    series.add(atMs, bytes)
  expect(series.since(1_000)).toEqual({ meanBytes: 200, peakBytes: 300 })
  expect(series.since(3_000)).toEqual({ meanBytes: Number.NaN, peakBytes: Number.NaN })
  expect(series.bytesPerMinuteSince(2_000)).toBeNaN()
})
