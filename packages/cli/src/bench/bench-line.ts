/** The line that follows a run: how far it is, and how fast it is now. */
import { formatBytes, formatCount } from '../quantities.ts'
import { fit } from '../terminal/fit.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { formatMs } from './bench-report.ts'

const INTERVAL_MS = 250

/** What a run has done so far. */
export interface Done {
  readonly what: string
  readonly records: number
  readonly bytes: number
  readonly p99Ms?: number
  readonly failed?: number
}

/** Shows the run, on a terminal alone, until it is disposed of. */
export function benchLine(terminal: Terminal, done: () => Done): Disposable {
  const startedMs = performance.now()
  let before = { records: 0, bytes: 0, atMs: startedMs }
  const timer = setInterval(() => {
    const now = done()
    const atMs = performance.now()
    const perSecond = (amount: number): number => (Math.max(0, amount) * 1_000) / (atMs - before.atMs)
    const rates = { records: perSecond(now.records - before.records), bytes: perSecond(now.bytes - before.bytes) }
    terminal.live(fit(lineText(now, rates, atMs - startedMs), terminal.columns))
    before = { records: now.records, bytes: now.bytes, atMs }
  }, INTERVAL_MS)
  return {
    [Symbol.dispose]() {
      clearInterval(timer)
      terminal.live('')
    },
  }
}

/** `append 3.2 s · 1,200 records · 350/s · 3.4 MiB/s · p99 4.10 ms` */
export function lineText(done: Done, rates: { readonly records: number; readonly bytes: number }, ms: number): string {
  const { what, records, p99Ms, failed = 0 } = done
  return [
    `${what} ${(ms / 1_000).toFixed(1)} s`,
    `${formatCount(records)} records`,
    `${formatCount(Math.round(rates.records))}/s`,
    `${formatBytes(rates.bytes)}/s`,
    ...(p99Ms === undefined || Number.isNaN(p99Ms) ? [] : [`p99 ${formatMs(p99Ms)}`]),
    ...(failed === 0 ? [] : [`${formatCount(failed)} failed`]),
  ].join(' · ')
}
