import { describe, expect, it } from 'vitest'
import { gapAround, type SentBatch, unacknowledgedAt } from './timeline.ts'

function batch(partition: number, sentAt: number, acknowledgedAt: number): SentBatch {
  return { partition, records: 10, sentAt, acknowledgedAt }
}

const BATCHES = [
  batch(0, 0, 5),
  batch(0, 6, 12),
  batch(0, 7, 400),
  batch(0, 395, 405),
  batch(1, 8, 12),
  batch(1, 9, 20),
]

describe('the moment of the kill', () => {
  it('knows what was unacknowledged, of the killed leader only', () => {
    expect(unacknowledgedAt(BATCHES, 10, new Set([0]))).toEqual({ batches: 2, records: 20 })
    expect(unacknowledgedAt(BATCHES, 10, new Set([0, 1]))).toEqual({ batches: 4, records: 40 })
    expect(unacknowledgedAt(BATCHES, 500, new Set([0]))).toEqual({ batches: 0, records: 0 })
  })

  it('measures the gap between acknowledgements, not from the kill', () => {
    expect(gapAround(BATCHES, 10, new Set([0]))).toBe(388)
    // An acknowledgement that was on its way when the leader was killed does not end the gap.
    expect(gapAround(BATCHES, 11.9, new Set([0]))).toBe(388)
    expect(gapAround(BATCHES, 10, new Set([1]))).toBe(8)
  })

  it('has no figure for a gap that did not end', () => {
    expect(gapAround(BATCHES, 500, new Set([0]))).toBeUndefined()
    expect(gapAround(BATCHES, 10, new Set([0, 2]))).toBeUndefined()
  })
})
