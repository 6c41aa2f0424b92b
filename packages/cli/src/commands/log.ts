/** `millrace log`: looks into the data folder of a node that is not running. */
import type { DumpOptions } from '@millrace/log-store/offline'
import { Command } from 'commander'
import { CliError } from '../cli-error.ts'
import { EXIT, type ExitCode } from '../exit-code.ts'
import { printDump } from '../log/dump-print.ts'
import { verifyAndReport } from '../log/verify-report.ts'
import { parseCount } from '../quantities.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { jsonOption } from './common-options.ts'

interface VerifyFlags {
  readonly json?: boolean
}

interface DumpFlags extends DumpOptions {
  readonly rounds?: boolean
  readonly json?: boolean
}

export function logCommand(terminal: Terminal, setExitCode: (code: ExitCode) => void): Command {
  const log = new Command('log').description('look into the data folder of a node that is stopped')
  log.addCommand(
    new Command('verify')
      .description(
        'check every checksum in a data folder, and that its files agree; exit code 1 if anything is damaged',
      )
      .argument('<DIR>', 'the data folder of a node; nothing in it is changed')
      .addOption(jsonOption())
      .action(async (dir: string, { json }: VerifyFlags) => {
        const isWhole = await explained(verifyAndReport(terminal, dir, json === true))
        if (!isWhole) setExitCode(EXIT.failed)
      }),
  )
  log.addCommand(
    new Command('dump')
      .description('print the logs in a data folder, one line per entry; exit code 1 if anything is damaged')
      .argument('<DIR>', 'the data folder of a node; nothing in it is changed')
      .option('--group <N>', 'of this Raft group only; 0 is the catalogue', text => parseCount(text, '--group', 0))
      .option('--from <INDEX>', 'from this index of the group on', text => parseCount(text, '--from', 0))
      .option('--rounds', 'segments and rounds too, before their entries')
      .addOption(jsonOption('one JSON object per line'))
      .action(async (dir: string, { group, from, rounds, json }: DumpFlags) => {
        if (from !== undefined && group === undefined)
          throw new CliError('--from INDEX needs --group: every group counts its own entries', EXIT.usage)
        const what = { ...(group === undefined ? {} : { group }), ...(from === undefined ? {} : { from }) }
        const form = { rounds: rounds === true, json: json === true }
        const isWhole = await explained(printDump(terminal, dir, what, form))
        if (!isWhole) setExitCode(EXIT.failed)
      }),
  )
  return log
}

const EXIT_OF: Readonly<Record<string, ExitCode>> = {
  FOLDER_IN_USE: EXIT.inUse,
  IDENTITY: EXIT.usage,
  OUT_OF_RANGE: EXIT.usage,
}

/** Refusals of the log's tools with the exit code that they have here. */
async function explained<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? EXIT_OF[String(error.code)] : undefined
    if (code === undefined) throw error
    throw new CliError((error as Error).message, code, { cause: error })
  }
}
