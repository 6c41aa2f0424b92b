/**
 * How much of a partition's log may go, from what its segments say of themselves. Pure.
 *
 * Invariant: nothing is given up that is younger than `retentionMs`, and nothing while less than `retentionBytes` would be
 * left of what is applied. Whole segments only, so more is kept than that.
 */
import type { SegmentExtent } from '@millrace/log-store'
import type { TopicConfig } from './topics.ts'

export interface RetainedLog {
  /** The oldest first. */
  readonly segments: readonly SegmentExtent[]
  /** Index of the last entry that is applied here. */
  readonly applied: number
  readonly logStartOffset: number
  readonly highWatermark: number
}

/**
 * @param wallMs time of day; undefined where that is not to be trusted: then nothing goes by age
 * @returns where the log may start; undefined: where it does already
 */
export function logStartAfterRetention(
  { segments, applied, logStartOffset, highWatermark }: RetainedLog,
  config: Pick<TopicConfig, 'retentionMs' | 'retentionBytes'>,
  wallMs: number | undefined,
): number | undefined {
  const known = segments.filter(({ firstIndex }) => firstIndex <= applied)
  const bySize = tooMany(known, config.retentionBytes)
  const byAge = tooOld(known, wallMs === undefined ? 0 : config.retentionMs, wallMs ?? 0)
  const given = known.slice(0, Math.max(bySize, byAge)).at(-1)
  const offset = Math.min(given?.nextOffset ?? 0, highWatermark)
  return offset > logStartOffset ? offset : undefined
}

/** Number of the segments that are too much. The one that is being written to never is. */
function tooMany(segments: readonly SegmentExtent[], retentionBytes: number): number {
  if (retentionBytes === 0) return 0
  let rest = segments.reduce((sum, { bytes }) => sum + bytes, 0)
  let given = 0
  for (const { bytes } of segments.slice(0, -1)) {
    rest -= bytes
    if (rest < retentionBytes) break
    given++
  }
  return given
}

/** Number of the segments whose newest record is too old. The one that is being written to may be among them. */
function tooOld(segments: readonly SegmentExtent[], retentionMs: number, wallMs: number): number {
  if (retentionMs === 0) return 0
  const firstKept = segments.findIndex(({ newestTimestamp }) => newestTimestamp >= wallMs - retentionMs)
  return firstKept < 0 ? segments.length : firstKept
}
