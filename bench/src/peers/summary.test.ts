import { NO_FAULTS } from '@millrace/cli/bench'
import { expect, test } from 'vitest'
import type { Measured } from './orders.ts'
import type { Row } from './report.ts'
import { summaryOf } from './summary.ts'

function row(figures: Partial<Measured>[], rest: Partial<Row>): Row {
  const whole = { records: 1_000, recordBytes: 100, ms: 1_000, refused: 0, faults: NO_FAULTS }
  const turns = figures.map(figure => ({ measured: { ...whole, ...figure }, peakRssBytes: undefined }))
  return { workload: 'W1', title: 'append', system: 'millrace', way: 'one', turns, ...rest }
}

const latency = (p50Ms: number, p99Ms: number): Partial<Measured> => ({
  latency: { p50Ms, p99Ms, p999Ms: p99Ms, maxMs: p99Ms },
})

test('of rates the highest median counts, of times the lowest, and what Millrace is of each', () => {
  const lines = summaryOf([
    row([{ records: 9_000 }, { records: 2_000 }, { records: 3_000 }], {}),
    row([{ records: 2_500 }], { way: 'other' }),
    row([{ records: 1_500 }], { system: 'nats', way: 'publish' }),
    row([latency(0.6, 2), latency(0.8, 3), latency(0.7, 1)], { workload: 'W2', title: 'alone' }),
    row([latency(1.4, 5)], { workload: 'W2', title: 'alone', system: 'nats', way: 'publish' }),
    row([latency(2.8, 4)], { workload: 'W2', title: 'alone', system: 'nats', way: 'slow' }),
    row([{ failoverMs: 120 }], { workload: 'W6', title: 'killed' }),
    row([{ failoverMs: 4_800 }], { workload: 'W6', title: 'killed', system: 'nats', way: 'publish' }),
  ])
  expect(lines.map(line => line.split('|').map(cell => cell.trim()))).toEqual([
    ['', '', 'workload', 'millrace', 'nats', 'Millrace : nats', ''],
    ['', '---', '---', '---', '---', '---', ''],
    ['', 'W1', 'append', '3,000/s (one)', '1,500/s (publish)', '2.00 ×', ''],
    ['', 'W2', 'alone', 'p50 0.700 ms, p99 2.00 ms (one)', 'p50 1.40 ms, p99 5.00 ms (publish)', '0.50 ×', ''],
    ['', 'W6', 'killed', '120 ms (one)', '4,800 ms (publish)', '0.025 ×', ''],
  ])
})

test('a system that was not run has an empty cell, and nothing is compared with it', () => {
  const lines = summaryOf([row([{}], {}), row([], { system: 'kafka', way: 'java', notRun: 'no java on PATH' })])
  expect(lines[2]).toBe('| W1 | append | 1,000/s (one) |  |  |')
})
