/** `millrace tour`: its command line. */
import { Command } from 'commander'
import { EXIT, type ExitCode } from '../exit-code.ts'
import { PACKAGE_FILE } from '../process/entry-point.ts'
import { parseCount } from '../quantities.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { runTour } from '../tour/tour.ts'
import { printTourReport, tourReportJson } from '../tour/tour-report.ts'
import { jsonOption } from './common-options.ts'

interface TourFlags {
  readonly input?: string
  readonly lines: number
  readonly dir?: string
  readonly json?: boolean
}

/** Fewer would be over before a leader can be killed among them. */
const LINES_MIN = 5000
const LINES_MAX = 5_000_000

export function tourCommand(terminal: Terminal, setExitCode: (code: ExitCode) => void): Command {
  return new Command('tour')
    .description('three nodes, one killed while appends are under way, and the proof that nothing was lost')
    .option('--input <FILE>', 'the lines to append (default: a file of millrace)')
    .option(
      '--lines <N>',
      'repeat a shorter file up to this many',
      text => parseCount(text, '--lines', LINES_MIN, LINES_MAX),
      50_000,
    )
    .option('--dir <FOLDER>', 'keep data, logs and ledgers below this folder (default: a temporary one)')
    .addOption(jsonOption('print the result as JSON'))
    .action(async ({ input = PACKAGE_FILE, lines, dir, json }: TourFlags) => {
      const report = await runTour(terminal, { input, lines, ...(dir === undefined ? {} : { dir }) })
      if (json === true) terminal.print(JSON.stringify(tourReportJson(report)))
      else printTourReport(terminal, report)
      if (!report.ok) setExitCode(EXIT.failed)
    })
}
