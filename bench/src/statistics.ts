/** The few figures that a benchmark prints of its samples. */

/** The value below which `share` (0 to 1) of the samples lie. `samples` are sorted in place. */
export function percentile(samples: number[], share: number): number {
  if (samples.length === 0) return Number.NaN
  samples.sort((a, b) => a - b)
  return samples[Math.min(samples.length - 1, Math.floor(samples.length * share))] as number
}

/** The middle one of the samples. Sorts them in place. */
export function median(samples: number[]): number {
  return percentile(samples, 0.5)
}

/** 0.21437 → "0.214", 4572.3 → "4,572" */
export function threeDigits(value: number): string {
  return value >= 100 ? grouped(value) : value.toPrecision(3)
}

/** 1234567 → "1,234,567" */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
