/**
 * The proof at the end of the tour: compares what was to be appended, what was acknowledged and what was read. Pure, and
 * able to fail: each kind of fault has a test that plants it.
 *
 * Lines are sent to each partition in rising sequence, so a partition holds them in order exactly when the sequences at
 * rising offsets rise.
 */
import { createHash } from 'node:crypto'
import type { LedgerEntry } from './ledger.ts'

export interface Evidence {
  /** Digest of each line to append, by sequence. */
  readonly expected: readonly string[]
  /** In the order of the acknowledgements. */
  readonly acknowledged: readonly LedgerEntry[]
  /** In the order of reading, partition by partition or interleaved. */
  readonly read: readonly LedgerEntry[]
}

export interface Verdict {
  readonly linesExpected: number
  /** Lines with an acknowledgement. */
  readonly linesAppended: number
  /** Records that were read. */
  readonly linesRead: number
  /** Records whose line had been read before. */
  readonly duplicates: number
  /** Lines that were acknowledged and not read. */
  readonly missing: number
  /** Records whose bytes are not those of their line, or that are no line at all. */
  readonly changed: number
  /** Records whose sequence does not rise with the offset in their partition. */
  readonly outOfOrder: number
  /** Acknowledged lines that were read at another partition or offset than was acknowledged. */
  readonly moved: number
  /** Records that do not follow the offset before them. */
  readonly offsetGaps: number
  /** SHA-256 over all lines in sequence: as they were to be appended, and as they were read. */
  readonly hashExpected: string
  readonly hashRead: string
  /** Everything is as it must be. */
  readonly ok: boolean
}

export function verify(evidence: Evidence): Verdict {
  const { expected, acknowledged, read } = evidence
  const acknowledgedAt = new Map(acknowledged.map(entry => [entry.sequence, entry]))
  const readOnce = firstReads(read)
  const counts = {
    linesExpected: expected.length,
    linesAppended: acknowledgedAt.size,
    linesRead: read.length,
    duplicates: read.length - readOnce.size - read.filter(entry => entry.sequence < 0).length,
    missing: [...acknowledgedAt.keys()].filter(sequence => !readOnce.has(sequence)).length,
    changed: read.filter(entry => expected[entry.sequence] !== entry.digest).length,
    moved: acknowledged.filter(entry => isElsewhere(entry, readOnce.get(entry.sequence))).length,
    ...orderOf(read),
    hashExpected: hashOf(expected),
    hashRead: hashOf([...readOnce.values()].toSorted((a, b) => a.sequence - b.sequence).map(entry => entry.digest)),
  }
  return { ...counts, ok: isFaultless(counts) }
}

function isFaultless(counts: Omit<Verdict, 'ok'>): boolean {
  const faults = [counts.duplicates, counts.missing, counts.changed, counts.outOfOrder, counts.moved, counts.offsetGaps]
  return (
    counts.linesExpected > 0 &&
    counts.linesAppended === counts.linesExpected &&
    counts.linesRead === counts.linesExpected &&
    faults.every(count => count === 0) &&
    counts.hashRead === counts.hashExpected
  )
}

function firstReads(read: readonly LedgerEntry[]): Map<number, LedgerEntry> {
  const first = new Map<number, LedgerEntry>()
  for (const entry of read) if (entry.sequence >= 0 && !first.has(entry.sequence)) first.set(entry.sequence, entry)
  return first
}

function isElsewhere(acknowledged: LedgerEntry, read: LedgerEntry | undefined): boolean {
  return read !== undefined && (read.partition !== acknowledged.partition || read.offset !== acknowledged.offset)
}

/** Offsets of a partition are dense from its first one, and sequences rise along them. */
function orderOf(read: readonly LedgerEntry[]): { outOfOrder: number; offsetGaps: number } {
  const last = new Map<number, LedgerEntry>()
  let outOfOrder = 0
  let offsetGaps = 0
  for (const entry of read) {
    const before = last.get(entry.partition)
    if (before !== undefined && entry.sequence <= before.sequence) outOfOrder += 1
    if (entry.offset !== (before === undefined ? 0 : before.offset + 1)) offsetGaps += 1
    last.set(entry.partition, entry)
  }
  return { outOfOrder, offsetGaps }
}

function hashOf(digests: readonly string[]): string {
  const hash = createHash('sha256')
  for (const digest of digests) hash.update(digest)
  return hash.digest('hex')
}
