import { describe, expect, it } from 'vitest'
import { digestOf, type LedgerEntry } from './ledger.ts'
import { type Evidence, verify } from './verifier.ts'

const LINES = Array.from({ length: 30 }, (_, sequence) => Buffer.from(`line ${sequence}`))

function entry(sequence: number, partition: number, offset: number): LedgerEntry {
  return { sequence, partition, offset, digest: digestOf(LINES[sequence] ?? Buffer.of()) }
}

/** A faultless run: lines dealt to three partitions in turn. */
function faultless(): Evidence {
  const all = LINES.map((_, sequence) => entry(sequence, sequence % 3, Math.floor(sequence / 3)))
  return { expected: LINES.map(digestOf), acknowledged: all, read: all }
}

/** Reads of a run in which one partition holds other records than it should. */
function withPartition(partition: number, change: (records: LedgerEntry[]) => LedgerEntry[]): Evidence {
  const run = faultless()
  const others = run.read.filter(record => record.partition !== partition)
  const changed = change(run.read.filter(record => record.partition === partition))
  return { ...run, read: [...others, ...changed.map((record, offset) => ({ ...record, offset }))] }
}

describe('verify', () => {
  it('accepts a faultless run, in whatever order partitions were read', () => {
    const run = faultless()
    expect(verify(run)).toMatchObject({ ok: true, linesAppended: 30, linesRead: 30, duplicates: 0, missing: 0 })
    expect(verify({ ...run, read: run.read.toSorted((a, b) => b.partition - a.partition) }).ok).toBe(true)
  })

  it('finds a duplicate, also one at the very end', () => {
    const inside = withPartition(1, records => records.toSpliced(3, 0, records[2]!))
    expect(verify(inside)).toMatchObject({ ok: false, duplicates: 1, missing: 0, outOfOrder: 1 })
    const atEnd = withPartition(1, records => [...records, records.at(-1)!])
    expect(verify(atEnd)).toMatchObject({ ok: false, duplicates: 1 })
  })

  it('finds a duplicate in another partition', () => {
    const run = faultless()
    expect(verify({ ...run, read: [...run.read, entry(29, 0, 10)] })).toMatchObject({ ok: false, duplicates: 1 })
  })

  it('finds a lost line in the middle and at the end', () => {
    expect(verify(withPartition(2, records => records.toSpliced(4, 1)))).toMatchObject({ ok: false, missing: 1 })
    expect(verify(withPartition(2, records => records.slice(0, -1)))).toMatchObject({ ok: false, missing: 1 })
  })

  it('finds a loss that a duplicate makes up for in number', () => {
    const run = withPartition(0, records => records.with(5, records[4]!))
    expect(verify(run)).toMatchObject({ ok: false, linesRead: 30, duplicates: 1, missing: 1 })
  })

  it('finds a reordering', () => {
    const run = withPartition(0, records => records.with(5, records[6]!).with(6, records[5]!))
    expect(verify(run)).toMatchObject({ ok: false, outOfOrder: 1, duplicates: 0, missing: 0 })
  })

  it('finds changed bytes', () => {
    const run = withPartition(0, records =>
      records.with(5, { ...records[5]!, digest: digestOf(Buffer.from('line 5.')) }),
    )
    const verdict = verify(run)
    expect(verdict).toMatchObject({ ok: false, changed: 1, duplicates: 0, missing: 0 })
    expect(verdict.hashRead).not.toBe(verdict.hashExpected)
  })

  it('finds a record that is no line', () => {
    const foreign: LedgerEntry = { sequence: -1, partition: 0, offset: 10, digest: digestOf(Buffer.from('?')) }
    const run = faultless()
    expect(verify({ ...run, read: [...run.read, foreign] })).toMatchObject({ ok: false, changed: 1, duplicates: 0 })
  })

  it('finds a line that is not where it was acknowledged', () => {
    const run = faultless()
    const acknowledged = run.acknowledged.with(4, entry(4, 1, 7))
    expect(verify({ ...run, acknowledged })).toMatchObject({ ok: false, moved: 1 })
  })

  it('finds a hole in the offsets', () => {
    const run = faultless()
    const read = run.read.map(record => (record.partition === 1 ? { ...record, offset: record.offset + 1 } : record))
    expect(verify({ ...run, read, acknowledged: read })).toMatchObject({ ok: false, offsetGaps: 1, moved: 0 })
  })

  it('does not accept lines that were never acknowledged', () => {
    const run = faultless()
    expect(verify({ ...run, acknowledged: run.acknowledged.slice(1) })).toMatchObject({ ok: false, linesAppended: 29 })
  })

  it('does not accept an empty run', () => {
    expect(verify({ expected: [], acknowledged: [], read: [] }).ok).toBe(false)
  })
})
