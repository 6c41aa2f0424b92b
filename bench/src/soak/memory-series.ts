/** Memory of one process over time: what it is on average, at most, and whether it grows. Pure. */

interface Sample {
  readonly atMs: number
  readonly bytes: number
}

const MINUTE_MS = 60_000

export class MemorySeries {
  readonly #samples: Sample[] = []

  /** In order of time. */
  add(atMs: number, bytes: number): void {
    this.#samples.push({ atMs, bytes })
  }

  /** Of the samples since then; NaN where there is none. */
  since(fromMs: number): { readonly meanBytes: number; readonly peakBytes: number } {
    const bytes = this.#since(fromMs).map(sample => sample.bytes)
    if (bytes.length === 0) return { meanBytes: Number.NaN, peakBytes: Number.NaN }
    return { meanBytes: mean(bytes), peakBytes: Math.max(...bytes) }
  }

  /** Of the straight line that lies closest to the samples since then (least squares); NaN below two of them. */
  bytesPerMinuteSince(fromMs: number): number {
    const samples = this.#since(fromMs)
    const meanMs = mean(samples.map(({ atMs }) => atMs))
    const meanBytes = mean(samples.map(({ bytes }) => bytes))
    let covariance = 0
    let variance = 0
    for (const { atMs, bytes } of samples) {
      covariance += (atMs - meanMs) * (bytes - meanBytes)
      variance += (atMs - meanMs) ** 2
    }
    return (covariance / variance) * MINUTE_MS
  }

  #since(fromMs: number): readonly Sample[] {
    return this.#samples.filter(({ atMs }) => atMs >= fromMs)
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
