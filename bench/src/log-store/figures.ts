/**
 * Contestants measured in short turns, A-B-C-A-B-C, so that a disk that changes its mind changes it for all of them, and
 * the table that the figures go into.
 */
import { median } from '../statistics.ts'

/** Measures once more, and goes on where it stopped. */
export type Measure = () => Promise<number>

/** Medians of `turns` measurements of each contestant, after one of each that does not count. */
export async function inTurns<T extends Readonly<Record<string, Measure>>>(
  turns: number,
  contestants: T,
): Promise<Record<keyof T, number>> {
  const samples = Object.keys(contestants).map((): number[] => [])
  for (let turn = 0; turn <= turns; turn++) {
    for (const [at, measure] of Object.values(contestants).entries()) {
      const sample = await measure()
      if (turn > 0) samples[at]?.push(sample)
    }
  }
  const medians = Object.keys(contestants).map((name, at) => [name, median(samples[at] ?? [])])
  return Object.fromEntries(medians) as Record<keyof T, number>
}

/** Seconds that `run` takes. */
export async function secondsOf(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await run()
  return (performance.now() - started) / 1_000
}

/** `0.93 ×` */
export function ratio(value: number, of: number): string {
  return `${(value / of).toFixed(2)} ×`
}

/** One line: a name, then cells. */
export function printRow(name: string, cells: readonly string[]): void {
  process.stdout.write(`${name.padEnd(40)}${cells.map(cell => cell.padStart(11)).join('')}\n`)
}
