/** When each batch of the producer was sent and acknowledged, and what that says about the moment of the kill. Pure. */

/** Times are milliseconds of the machine's monotonic clock, which all of its processes share. */
export interface SentBatch {
  readonly partition: number
  readonly records: number
  readonly sentAt: number
  readonly acknowledgedAt: number
}

/** Now, on the clock that the processes of this machine share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}

export interface Unacknowledged {
  readonly batches: number
  readonly records: number
}

/** What had been sent to these partitions and not been acknowledged at a moment. */
export function unacknowledgedAt(
  batches: readonly SentBatch[],
  at: number,
  partitions: ReadonlySet<number>,
): Unacknowledged {
  const open = batches.filter(
    batch => partitions.has(batch.partition) && batch.sentAt <= at && batch.acknowledgedAt > at,
  )
  return { batches: open.length, records: open.reduce((sum, batch) => sum + batch.records, 0) }
}

/**
 * The longest time in ms, of those that reach beyond a moment, in which one of these partitions acknowledged nothing.
 * Undefined where a partition acknowledged nothing after it: then the gap never ended.
 */
export function gapAround(
  batches: readonly SentBatch[],
  at: number,
  partitions: ReadonlySet<number>,
): number | undefined {
  const gaps = [...partitions].map(partition => {
    const times = batches.filter(batch => batch.partition === partition).map(batch => batch.acknowledgedAt)
    return longestGap(
      times.toSorted((a, b) => a - b),
      at,
    )
  })
  const known = gaps.filter(gap => gap !== undefined)
  return known.length === gaps.length && known.length > 0 ? Math.max(...known) : undefined
}

function longestGap(times: readonly number[], at: number): number | undefined {
  let longest: number | undefined
  for (const [index, time] of times.entries()) {
    if (time <= at) continue
    longest = Math.max(longest ?? 0, time - (times[index - 1] ?? at))
  }
  return longest
}
