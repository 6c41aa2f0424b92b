import { expect, test } from 'vitest'
import { lineText } from './bench-line.ts'
import { type AppendResult, appendJson, appendLines, formatMs, isBorneOut, readLines } from './bench-report.ts'
import { Histogram } from './histogram.ts'
import { Tally } from './load.ts'

const TOPIC = {
  name: 'bench-1',
  ranges: [{ partition: 0, logStart: 0, end: 0 }],
  replication: 3,
} as AppendResult['topic']

function resultOf(change: Partial<AppendResult> & { readonly tally?: Tally } = {}): AppendResult {
  const tally = new Tally()
  tally.acknowledged = 4_000
  tally.ms = 2_000
  for (const ms of [1, 1.5, 1.5, 40]) tally.latencies.record(ms)
  const plan = {
    recordBytes: 1_024,
    callRecords: 1_000,
    callsInFlight: 8,
    durationMs: 2_000,
    warmUpMs: 0,
    recordsMax: 1e9,
  }
  const stored = { acknowledged: 4_000, unknown: 0, stored: 4_000 }
  return { topic: TOPIC, plan, tally, clientCores: 0.5, stored, check: undefined, ...change }
}

test('rates, percentiles, and a line for each range from the first that has calls to the last', () => {
  const lines = appendLines(resultOf())
  expect(lines[0]).toBe('4,000 records of 1.0 KiB acknowledged in 2.00 s: 2,000 records/s, 2.0 MiB/s')
  expect(lines).toContain('  p50 1.50 ms   p99 40.0 ms   p99.9 40.0 ms   max 40.0 ms')
  const ranges = lines.filter(line => line.startsWith('  up to')).map(line => line.replaceAll(/[ #]+/g, ' ').trim())
  expect(ranges).toEqual([
    'up to 1 ms 25.00 % 1',
    'up to 2 ms 50.00 % 2',
    'up to 5 ms 0.00 % 0',
    'up to 10 ms 0.00 % 0',
    'up to 20 ms 0.00 % 0',
    'up to 50 ms 25.00 % 1',
  ])
  expect(lines.at(-1)).toContain('none is lost, none is there twice')
})

test('what went wrong is said', () => {
  const tally = new Tally()
  Object.assign(tally, { acknowledged: 10, notStored: 3, unknown: 4, unsent: 5, ms: 1_000 })
  const delivered = { latencies: new Histogram(), missing: 6 }
  const text = appendLines(resultOf({ tally, delivered, check: '2 lost' })).join('\n')
  expect(text).toContain('3 records not stored, 4 unknown')
  expect(text).toContain('5 records were due and found no place')
  expect(text).toContain('6 records did not reach the reader')
  expect(text).toContain('read back: 2 lost')
  expect(appendJson(resultOf({ tally, delivered, check: '2 lost' }))).toMatchObject({
    notStored: 3,
    unknown: 4,
    unsent: 5,
    undelivered: 6,
    check: '2 lost',
  })
})

test.each([
  [{ acknowledged: 10, unknown: 0, stored: 10 }, true, 'none is lost'],
  [{ acknowledged: 10, unknown: 2, stored: 12 }, true, 'none is lost'],
  [{ acknowledged: 10, unknown: 0, stored: 9 }, false, '1 are missing'],
  [{ acknowledged: 10, unknown: 2, stored: 13 }, false, '1 too many'],
])('offsets %j against what was acknowledged', (stored, isFine, text) => {
  expect(isBorneOut(stored)).toBe(isFine)
  expect(appendLines(resultOf({ stored })).at(-1)).toContain(text)
})

test('reads: rates of all passes together, and of the slowest and the fastest', () => {
  const pass = { records: 1_000, bytes: 100_000, firstMs: 3, whole: true }
  const passes = [
    { ...pass, ms: 100 },
    { ...pass, ms: 300 },
  ]
  const lines = readLines({ topic: TOPIC, passes, clientCores: 1, foreign: 7 })
  expect(lines[0]).toBe('2,000 records read in 0.40 s: 5,000 records/s, 488 KiB/s')
  expect(lines[1]).toContain('2 times from the start, 3,333–10,000 records/s')
  expect(lines.at(-1)).toBe('7 records are not as they were appended')
})

test('the live line', () => {
  const done = { what: 'append', records: 1_200, bytes: 4_096, p99Ms: 4.1, failed: 0 }
  expect(lineText(done, { records: 350.4, bytes: 2_048 }, 3_210)).toBe(
    'append 3.2 s · 1,200 records · 350/s · 2.0 KiB/s · p99 4.10 ms',
  )
  const failing = { ...done, p99Ms: Number.NaN, failed: 3 }
  expect(lineText(failing, { records: 0, bytes: 0 }, 0)).toBe('append 0.0 s · 1,200 records · 0/s · 0 B/s · 3 failed')
  expect([0.052, 12.34, 1_250].map(formatMs)).toEqual(['0.0520 ms', '12.3 ms', '1,250 ms'])
})
