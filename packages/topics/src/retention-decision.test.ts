/** What may go of a log: never too much, whatever the segments look like. */
import type { SegmentExtent } from '@millrace/log-store'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { logStartAfterRetention } from './retention-decision.ts'

const NONE = { retentionMs: 0, retentionBytes: 0 }

/** Ten offsets and 100 bytes each, one entry, a second apart: the first ends at time 1,000. */
function segments(count: number): SegmentExtent[] {
  return Array.from({ length: count }, (_, i) => {
    const index = i + 2
    return {
      firstIndex: index,
      lastIndex: index,
      nextOffset: 10 * (i + 1),
      newestTimestamp: 1_000 * (i + 1),
      bytes: 100,
    }
  })
}

function logOf(count: number, over: { applied?: number; logStartOffset?: number; highWatermark?: number } = {}) {
  return { segments: segments(count), applied: count + 1, logStartOffset: 0, highWatermark: 10 * count, ...over }
}

describe('by age', () => {
  const config = { ...NONE, retentionMs: 5_000 }

  test('a segment goes when its newest record is older than retentionMs', () => {
    expect(logStartAfterRetention(logOf(4), config, 6_000)).toBeUndefined()
    expect(logStartAfterRetention(logOf(4), config, 6_001)).toBe(10)
    expect(logStartAfterRetention(logOf(4), config, 8_500)).toBe(30)
  })

  test('the last segment goes too, when all of it is old: an idle topic becomes empty', () => {
    expect(logStartAfterRetention(logOf(4), config, 1e9)).toBe(40)
  })

  test('nothing goes without a time that can be trusted, nor with 0', () => {
    expect(logStartAfterRetention(logOf(4), config, undefined)).toBeUndefined()
    expect(logStartAfterRetention(logOf(4), NONE, 1e15)).toBeUndefined()
  })
})

describe('by size', () => {
  test('what is left is at least retentionBytes, as few segments of it as do', () => {
    const at = (retentionBytes: number) => logStartAfterRetention(logOf(4), { ...NONE, retentionBytes }, undefined)
    expect([400, 301, 300, 299, 201, 200, 1].map(at)).toEqual([undefined, undefined, 10, 10, 10, 20, 30])
  })

  test('the segment that is being written to stays, however small the limit', () => {
    expect(logStartAfterRetention(logOf(1), { ...NONE, retentionBytes: 1 }, undefined)).toBeUndefined()
  })
})

test('what is not applied stays, and does not count', () => {
  const bySize = { ...NONE, retentionBytes: 100 }
  expect(logStartAfterRetention(logOf(4, { applied: 3, highWatermark: 20 }), bySize, undefined)).toBe(10)
  const config = { ...NONE, retentionMs: 1 }
  expect(logStartAfterRetention(logOf(4, { applied: 3, highWatermark: 20 }), config, 1e9)).toBe(20)
  expect(logStartAfterRetention(logOf(4, { applied: 1, highWatermark: 0 }), config, 1e9)).toBeUndefined()
})

test('a log that starts there already is left alone', () => {
  const config = { ...NONE, retentionMs: 5_000 }
  expect(logStartAfterRetention(logOf(4, { logStartOffset: 10 }), config, 6_500)).toBeUndefined()
  expect(logStartAfterRetention({ ...logOf(0), segments: [] }, config, 1e9)).toBeUndefined()
})

test('keeps what is young enough and as much as was asked for, in any log', () => {
  const logs = fc.array(
    fc.record({ entries: fc.integer({ min: 1, max: 5 }), bytes: fc.integer({ min: 1, max: 50 }), ms: fc.nat(100) }),
    {
      maxLength: 12,
    },
  )
  const limits = fc.record({ retentionMs: fc.nat(300), retentionBytes: fc.nat(300) })
  fc.assert(
    fc.property(logs, limits, fc.nat(2_000), fc.nat(60), (parts, config, wallMs, appliedIndex) => {
      let [index, offset, time] = [1, 0, 0]
      const all = parts.map(({ entries, bytes, ms }) => {
        const firstIndex = index + 1
        index += entries
        offset += entries
        time += ms
        return { firstIndex, lastIndex: index, nextOffset: offset, newestTimestamp: time, bytes }
      })
      const highWatermark = all.findLast(({ lastIndex }) => lastIndex <= appliedIndex)?.nextOffset ?? 0
      const log = { segments: all, applied: appliedIndex, logStartOffset: 0, highWatermark }
      const start = logStartAfterRetention(log, config, wallMs)
      if (start === undefined) return
      expect(start).toBeLessThanOrEqual(highWatermark)
      const gone = all.filter(({ nextOffset }) => nextOffset <= start)
      const isOld = config.retentionMs > 0 && gone.every(s => s.newestTimestamp < wallMs - config.retentionMs)
      const applied = all.filter(({ firstIndex }) => firstIndex <= appliedIndex)
      const rest = applied.slice(gone.length).reduce((sum, { bytes }) => sum + bytes, 0)
      const isTooMuch = config.retentionBytes > 0 && rest >= config.retentionBytes
      expect(isOld || isTooMuch).toBe(true)
    }),
    { numRuns: 500 },
  )
})
