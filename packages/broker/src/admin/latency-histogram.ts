/**
 * A histogram for the hot path: fixed buckets in a typed array, no allocation and no label look-up per observation.
 * Rendered in Prometheus' text format beside what prom-client exposes.
 */

/** Upper bounds in seconds: 0.1 ms to 10 s, roughly three per decade. */
const BOUNDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

export class LatencyHistogram {
  readonly name: string
  readonly help: string
  /** One per bound and one for what is above the last. Not cumulative. */
  readonly #counts = new Float64Array(BOUNDS.length + 1)
  #sum = 0

  constructor(name: string, help: string) {
    this.name = name
    this.help = help
  }

  observe(seconds: number): void {
    let bucket = 0
    while (bucket < BOUNDS.length && seconds > BOUNDS[bucket]!) bucket++
    this.#counts[bucket]!++
    this.#sum += seconds
  }

  get count(): number {
    return this.#counts.reduce((sum, value) => sum + value, 0)
  }

  /** The metric in text format, with a newline at its end. */
  render(): string {
    const lines = [`# HELP ${this.name} ${this.help}`, `# TYPE ${this.name} histogram`]
    let cumulative = 0
    for (const [i, bound] of BOUNDS.entries()) {
      cumulative += this.#counts[i]!
      lines.push(`${this.name}_bucket{le="${bound}"} ${cumulative}`)
    }
    cumulative += this.#counts[BOUNDS.length]!
    lines.push(`${this.name}_bucket{le="+Inf"} ${cumulative}`, `${this.name}_sum ${this.#sum}`)
    lines.push(`${this.name}_count ${cumulative}`)
    return `${lines.join('\n')}\n`
  }
}
