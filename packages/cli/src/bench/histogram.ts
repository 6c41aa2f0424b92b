/**
 * Latencies in bounded memory: counts per value, in microseconds, in buckets that are at most 1/256 wide of their value.
 * The layout is that of HDR histograms: exact below 512 µs, then 256 buckets for each power of two.
 */
/** Percentiles of latencies; NaN where there were none. */
export interface Latency {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
}

const EXACT = 512
const PER_OCTAVE = EXACT / 2
/** Above this (71 minutes) values count as this. */
const VALUE_MAX = 2 ** 32 - 1
const BUCKETS = EXACT + PER_OCTAVE * (32 - Math.log2(EXACT))

export class Histogram {
  readonly #counts = new Uint32Array(BUCKETS)
  #total = 0
  #maxMs = 0

  /** Number of values. */
  get count(): number {
    return this.#total
  }

  /** The largest value, exactly; NaN where there is none. */
  get maxMs(): number {
    return this.#total === 0 ? Number.NaN : this.#maxMs
  }

  /** @throws RangeError for a negative value or NaN: clocks of two machines, or of two origins, were mixed up */
  record(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`a latency of ${ms} ms`)
    this.#counts[bucketOf(Math.min(VALUE_MAX, Math.round(ms * 1_000)))]!++
    this.#total++
    if (ms > this.#maxMs) this.#maxMs = ms
  }

  /**
   * The smallest value that `share` (0 to 1) of all values do not exceed, rounded up by at most 1/256; NaN where there is
   * no value.
   */
  percentileMs(share: number): number {
    if (this.#total === 0) return Number.NaN
    const rank = Math.max(1, Math.ceil(share * this.#total))
    let seen = 0
    for (const [bucket, count] of this.#counts.entries()) {
      seen += count
      if (seen >= rank) return Math.min(this.#maxMs, highestOf(bucket) / 1_000)
    }
    return this.#maxMs
  }

  /**
   * How many values are up to each edge and above the one before; those above the last edge are in no count. A value that is
   * less than 1/256 above an edge may count as up to it.
   *
   * @param edgesMs rising
   */
  countsUpTo(edgesMs: readonly number[]): number[] {
    const counts = edgesMs.map(() => 0)
    let at = 0
    for (const [bucket, count] of this.#counts.entries()) {
      while (at < edgesMs.length && lowestOf(bucket) / 1_000 > edgesMs[at]!) at++
      if (at === edgesMs.length) break
      counts[at]! += count
    }
    return counts
  }

  /** The percentiles that tables show. */
  summary(): Latency {
    return {
      p50Ms: this.percentileMs(0.5),
      p99Ms: this.percentileMs(0.99),
      p999Ms: this.percentileMs(0.999),
      maxMs: this.maxMs,
    }
  }
}

function bucketOf(us: number): number {
  if (us < EXACT) return us
  const shift = 31 - Math.clz32(us) - Math.log2(PER_OCTAVE)
  return EXACT + PER_OCTAVE * (shift - 1) + (us >>> shift) - PER_OCTAVE
}

/** The largest value, in microseconds, that falls into the bucket. */
function highestOf(bucket: number): number {
  if (bucket < EXACT) return bucket
  const shift = Math.floor((bucket - EXACT) / PER_OCTAVE) + 1
  const mantissa = ((bucket - EXACT) % PER_OCTAVE) + PER_OCTAVE
  return (mantissa + 1) * 2 ** shift - 1
}

function lowestOf(bucket: number): number {
  return bucket === 0 ? 0 : highestOf(bucket - 1) + 1
}
