/** The tour's result, for people and as JSON. */
import { formatCount } from '../quantities.ts'
import { tableLines } from '../terminal/table.ts'
import type { Terminal } from '../terminal/terminal.ts'
import type { Unacknowledged } from './timeline.ts'
import type { Verdict } from './verifier.ts'

export interface TourReport {
  readonly verdict: Verdict
  /** What the killed leader owed. */
  readonly unacknowledged: Unacknowledged
  /** Longest time without an acknowledgement around the kill; undefined where it did not end. */
  readonly gapMs: number | undefined
  /** Appends that failed, one line each. */
  readonly failures: readonly string[]
  /** Everything that the tour promises is so. */
  readonly ok: boolean
}

export function printTourReport(terminal: Terminal, report: TourReport): void {
  const { verdict, unacknowledged, gapMs } = report
  const rows: (readonly [name: string, value: string, ok: boolean])[] = [
    ['lines appended', formatCount(verdict.linesAppended), verdict.linesAppended === verdict.linesExpected],
    ['lines read', formatCount(verdict.linesRead), verdict.linesRead === verdict.linesExpected],
    ['duplicates', formatCount(verdict.duplicates), verdict.duplicates === 0],
    ['missing', formatCount(verdict.missing), verdict.missing === 0],
    ['order', ...orderCells(verdict)],
    ['offsets', ...offsetCells(verdict)],
    ['content', ...contentCells(verdict)],
    [
      'unacknowledged at the kill',
      `${formatCount(unacknowledged.batches)} batches, ${formatCount(unacknowledged.records)} lines`,
      unacknowledged.batches > 0,
    ],
    [
      'gap',
      gapMs === undefined ? 'did not end' : `${Math.round(gapMs)} ms without an acknowledgement`,
      gapMs !== undefined,
    ],
  ]
  const cells = rows.map(([name, value, ok]) => [
    name,
    terminal.paint(ok ? 'green' : 'red', ok ? value : `${value}  ✗`),
  ])
  for (const line of tableLines([{ title: '' }, { title: '' }], cells).slice(1)) terminal.print(line)
  for (const failure of report.failures.slice(0, 3)) terminal.note(`millrace: not appended: ${failure}`)
  terminal.print(
    report.ok
      ? terminal.paint('green', 'Every line was read once, in order.')
      : terminal.paint('red', 'This must not be.'),
  )
}

function orderCells({ outOfOrder }: Verdict): [string, boolean] {
  return outOfOrder === 0 ? ['kept', true] : [`broken ${formatCount(outOfOrder)} times`, false]
}

function offsetCells({ offsetGaps, moved }: Verdict): [string, boolean] {
  if (offsetGaps === 0 && moved === 0) return ['dense, as acknowledged', true]
  return [`${formatCount(offsetGaps)} gaps, ${formatCount(moved)} lines elsewhere than acknowledged`, false]
}

function contentCells({ changed, hashExpected, hashRead }: Verdict): [string, boolean] {
  if (changed === 0 && hashExpected === hashRead) return [`identical, sha256 ${hashRead.slice(0, 16)}…`, true]
  return [
    `${formatCount(changed)} lines changed, sha256 ${hashRead.slice(0, 16)}… for ${hashExpected.slice(0, 16)}…`,
    false,
  ]
}

/** The report as `--json` prints it. */
export function tourReportJson({ ok, verdict, unacknowledged, gapMs, failures }: TourReport): object {
  const { ok: _, ...counts } = verdict
  return { ok, ...counts, unacknowledged, gapMs: gapMs ?? null, failures }
}
