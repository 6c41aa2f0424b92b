/** How fast appends were acknowledged, from samples of a counter, and whether that was fast enough. */
import { figure, mebibytes, type Promises } from './promises.ts'

/** Of the throughput before, while a replica catches up. */
const RATIO_MIN = 0.5

interface Sample {
  readonly atMs: number
  readonly bytes: number
}

/** From one moment to another. */
export interface Interval {
  readonly fromMs: number
  readonly toMs: number
}

const SECOND_MS = 1_000

export class AppendRates {
  readonly #samples: Sample[] = []

  /** `bytes`: acknowledged so far. In order of time. */
  add(atMs: number, bytes: number): void {
    this.#samples.push({ atMs, bytes })
  }

  /** Bytes per second. */
  during(interval: Interval): number {
    return rate(this.#in(interval))
  }

  /** The lowest over one second, or somewhat more. */
  lowestSecond(interval: Interval): number {
    const samples = this.#in(interval)
    const rates = samples.flatMap((first, at) => {
      const end = samples.findIndex(({ atMs }, later) => later > at && atMs - first.atMs >= SECOND_MS)
      return end < 0 ? [] : [rate([first, samples[end]!])]
    })
    return Math.min(...rates)
  }

  #in({ fromMs, toMs }: Interval): readonly Sample[] {
    return this.#samples.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs)
  }
}

function rate(samples: readonly Sample[]): number {
  const [first, last] = [samples[0], samples.at(-1)]
  if (first === undefined || last === undefined || first === last) return Number.NaN
  return ((last.bytes - first.bytes) / (last.atMs - first.atMs)) * SECOND_MS
}

/** `isJudged`: otherwise the figures are only shown. */
export function judgeAppends(
  promises: Promises,
  name: string,
  measured: {
    readonly rates: AppendRates
    readonly before: Interval
    readonly during: Interval
    readonly isJudged: boolean
  },
): void {
  const { rates, isJudged } = measured
  const before = rates.during(measured.before)
  const during = rates.during(measured.during)
  const lowest = rates.lowestSecond(measured.during)
  const ratio = during / before
  const figures = `${mebibytes(before)}/s before, ${mebibytes(during)}/s during (${ratio.toFixed(2)}), lowest second ${mebibytes(lowest)}/s`
  const what = `the ${name} takes at least half the appends while a replica catches up`
  if (isJudged) promises.expect(what, ratio >= RATIO_MIN, figures)
  else figure(`appends to the ${name}, not judged`, figures)
}
