import { expect, test } from 'vitest'
import { describeFaults, NO_FAULTS, SequenceCheck, StampedRecords } from './stamped-records.ts'

const COUNT = 1_000

function checkOf(
  change: (values: Buffer[], records: StampedRecords) => Buffer[],
  acknowledged?: (sequence: number) => boolean,
): SequenceCheck {
  const records = new StampedRecords(100)
  const values = Array.from({ length: COUNT }, (_, i) => records.make(i))
  const check = new SequenceCheck(records, COUNT, acknowledged)
  for (const value of change(values, records)) check.see(0, value)
  return check
}

test('all records once and in order have no fault', () => {
  const check = checkOf(values => values)
  expect(check.faults()).toEqual(NO_FAULTS)
  expect(check.total).toBe(COUNT)
  expect(describeFaults(check.faults())).toBe('ok')
})

test.each([0, 7, 8, 500, COUNT - 1])('record %i is missed when it is lost', sequence => {
  expect(checkOf(values => values.toSpliced(sequence, 1)).faults()).toEqual({ ...NO_FAULTS, lost: 1 })
})

test.each([0, 7, 8, 500, COUNT - 1])('record %i is seen to have come twice', sequence => {
  const faults = checkOf(values => values.toSpliced(sequence, 0, values[sequence]!)).faults()
  expect(faults).toEqual({ ...NO_FAULTS, duplicated: 1 })
})

test('a record that comes twice does not make up for one that is lost', () => {
  const check = checkOf(values => values.with(10, values[9]!))
  expect(check.total).toBe(COUNT)
  expect(check.faults()).toEqual({ ...NO_FAULTS, lost: 1, duplicated: 1 })
  expect(describeFaults(check.faults())).toBe('1 lost, 1 duplicated')
})

test('any changed byte makes a record foreign, and the one it was is lost', () => {
  for (let at = 0; at < 100; at++) {
    const faults = checkOf(values => {
      values[3]![at]! ^= 0x10
      return values
    }).faults()
    expect(faults, `byte ${at}`).toEqual({ ...NO_FAULTS, lost: 1, foreign: 1 })
  }
})

test('a record that is shorter, of another run, or of a number that was not given out is foreign', () => {
  const other = new StampedRecords(100)
  const strays = (records: StampedRecords): Buffer[] => [
    records.make(COUNT),
    other.make(5),
    records.make(5).subarray(1),
  ]
  expect(checkOf((values, records) => [...values, ...strays(records)]).faults()).toEqual({ ...NO_FAULTS, foreign: 3 })
})

test('records of one partition have to be in order, those of two have not', () => {
  const swapped = checkOf(values => values.with(10, values[11]!).with(11, values[10]!))
  expect(swapped.faults()).toEqual({ ...NO_FAULTS, reordered: 1 })
  const records = new StampedRecords(100)
  const check = new SequenceCheck(records, 4)
  for (const [partition, sequence] of [
    [1, 1],
    [0, 0],
    [1, 3],
    [0, 2],
  ] as const)
    check.see(partition, records.make(sequence))
  expect(check.faults()).toEqual(NO_FAULTS)
})

test('what was not acknowledged may be missing, or there once', () => {
  const acknowledged = (sequence: number): boolean => sequence !== 4
  expect(checkOf(values => values, acknowledged).faults()).toEqual(NO_FAULTS)
  expect(checkOf(values => values.toSpliced(4, 1), acknowledged).faults()).toEqual(NO_FAULTS)
  const twice = checkOf(values => values.toSpliced(4, 0, values[4]!), acknowledged)
  expect(twice.faults()).toEqual({ ...NO_FAULTS, duplicated: 1 })
})
