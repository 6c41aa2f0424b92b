/** Counts as text, for each record of the measured part. */
import { grouped } from '../statistics.ts'
import type { Counts, Places, StreamCounts } from './counters.ts'
import type { SystemCalls } from './system-calls.ts'

/** What one process did. */
export interface ProcessCounts {
  readonly role: string
  readonly counts: Counts
  /** Undefined: they are not counted here. */
  readonly systemCalls: SystemCalls | undefined
}

/** What the counts are of: acknowledged in the part in which they were counted. */
export interface CountedRecords {
  readonly records: number
  readonly recordBytes: number
  /** Of the client's way to append. */
  readonly callRecords: number
}

const COLUMN = 20

/** One column for each process; of system calls `systemRecords` were acknowledged meanwhile. */
export function countTable(
  processes: readonly ProcessCounts[],
  { records, recordBytes, callRecords }: CountedRecords,
  systemRecords: number,
): string[] {
  const row = (what: string, of: (counts: Counts) => number): string =>
    line(
      what,
      processes.map(({ counts }) => figure(of(counts))),
    )
  const perRecord = 1 / records
  const perCall = callRecords / records
  const calls = processes.map(({ systemCalls }) =>
    systemCalls === undefined ? 'not run' : figure((sum([...systemCalls.values()]) * callRecords) / systemRecords),
  )
  return [
    line(
      '',
      processes.map(({ role }) => role),
    ),
    row('bytes copied per byte of a value', counts => counts.copiedBytes * (perRecord / recordBytes)),
    row('promises per record', counts => counts.promises * perRecord),
    row('promises per call', counts => counts.promises * perCall),
    row('messages sent per call', counts => counts.sent.messages * perCall),
    row('messages received per call', counts => counts.received.messages * perCall),
    row('writes to HTTP/2 per call', counts => counts.sent.chunks * perCall),
    row('chunks from HTTP/2 per call', counts => counts.received.chunks * perCall),
    row('bytes sent per byte of a value', counts => counts.sent.bytes * (perRecord / recordBytes)),
    row('bytes received per byte of a value', counts => counts.received.bytes * (perRecord / recordBytes)),
    line('system calls per call', calls),
    ...strayLines(processes),
  ]
}

/** Where most of it came from, for each process. */
export function placeTables(
  processes: readonly ProcessCounts[],
  { records, recordBytes, callRecords }: CountedRecords,
  systemRecords: number,
  rows: number,
): string[] {
  return processes.flatMap(({ role, counts, systemCalls }) => [
    `\n## ${role}`,
    'bytes copied per byte of a value, by place (samples):',
    ...top(counts.copiedAt, rows).map(([place, bytes]) => placeLine(bytes / (records * recordBytes), place)),
    'promises per record, by place (samples):',
    ...top(counts.promisesAt, rows).map(([place, count]) => placeLine(count / records, place)),
    ...(systemCalls === undefined
      ? []
      : [
          'system calls per call:',
          ...top(Object.fromEntries(systemCalls), rows).map(([name, count]) =>
            placeLine((count * callRecords) / systemRecords, `${name} (${grouped(count)})`),
          ),
        ]),
  ])
}

function strayLines(processes: readonly ProcessCounts[]): string[] {
  const strays = processes.flatMap(({ role, counts }) => {
    const of = ({ strays }: StreamCounts): number => strays
    const count = of(counts.sent) + of(counts.received)
    return count === 0 ? [] : [`${role}: ${count}`]
  })
  return strays.length === 0 ? [] : [`streams whose messages are not counted (other content): ${strays.join(', ')}`]
}

function top(places: Places, rows: number): (readonly [string, number])[] {
  return Object.entries(places)
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, rows)
}

function placeLine(amount: number, place: string): string {
  return `${figure(amount).padStart(10)}  ${place}`
}

function line(what: string, cells: readonly string[]): string {
  return `${what.padEnd(36)}${cells.map(cell => cell.padStart(COLUMN)).join('')}`.trimEnd()
}

function figure(value: number): string {
  return value >= 100 ? grouped(value) : value.toFixed(value >= 10 ? 1 : 3)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
