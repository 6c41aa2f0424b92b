/**
 * The command line as a whole: which commands there are, and how any of them ends. Runs no command by being imported.
 */
import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import { CliError, describeError, exitCodeOf, Interrupted } from './cli-error.ts'
import { appendCommand } from './commands/append.ts'
import { backupCommand } from './commands/backup.ts'
import { benchCommand } from './commands/bench.ts'
import { clusterCommand } from './commands/cluster.ts'
import { completionCommand } from './commands/completion.ts'
import { devCommand } from './commands/dev.ts'
import { initCommand } from './commands/init.ts'
import { logCommand } from './commands/log.ts'
import { serveCommand } from './commands/serve.ts'
import { tailCommand } from './commands/tail.ts'
import { topicsCommand } from './commands/topics.ts'
import { tourCommand } from './commands/tour.ts'
import { EXIT, EXIT_MEANINGS, type ExitCode } from './exit-code.ts'
import type { Terminal } from './terminal/terminal.ts'

/** Builds the command line. `setExitCode` is for commands that print a result and still fail. */
export function buildProgram(terminal: Terminal, setExitCode: (code: ExitCode) => void = () => undefined): Command {
  const program = new Command('millrace')
    .description('A replicated event log: every acknowledged record is on the disks of a majority.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .addHelpText('after', `\nExit codes:\n${exitCodeLines().join('\n')}`)
    .helpCommand(false)
  program.addCommand(devCommand(terminal))
  program.addCommand(tourCommand(terminal, setExitCode))
  program.addCommand(appendCommand(terminal))
  program.addCommand(tailCommand(terminal))
  program.addCommand(topicsCommand(terminal))
  program.addCommand(clusterCommand(terminal, setExitCode))
  program.addCommand(backupCommand(terminal, setExitCode))
  program.addCommand(benchCommand(terminal, setExitCode))
  program.addCommand(serveCommand())
  program.addCommand(initCommand(terminal))
  program.addCommand(logCommand(terminal, setExitCode))
  program.addCommand(completionCommand(terminal, () => program))
  for (const command of allCommands(program)) fitIn(command, terminal)
  return program
}

/** The command and all below it. */
export function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)]
}

/** Runs one command line and returns its exit code. Prints its error, in one line, itself. */
export async function runProgram(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done
  const program = buildProgram(terminal, code => {
    exitCode = code
  })
  try {
    if (args.length === 0) throw new CliError('say what to do: millrace --help lists the commands', EXIT.usage)
    await program.parseAsync([...args], { from: 'user' })
    return exitCode
  } catch (error) {
    // --help and --version end this way too, with exit code 0; their text is out already.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done
    if (error instanceof Interrupted) return EXIT.interrupted
    const message = describeError(error).replace(/^error: /, '')
    terminal.note(`millrace: ${message}`)
    return error instanceof CommanderError ? EXIT.usage : exitCodeOf(error)
  }
}

/** Errors come back to runProgram instead of ending the process or being printed twice. */
function fitIn(command: Command, terminal: Terminal): void {
  command.exitOverride()
  command.showSuggestionAfterError(true)
  command.configureHelp({ showGlobalOptions: false, helpWidth: Math.min(terminal.columns, 120) })
  command.configureOutput({
    writeOut: text => terminal.print(text.replace(/\n$/, '')),
    writeErr: () => undefined,
    outputError: () => undefined,
  })
  if (command.commands.length > 0 && command.parent !== null)
    command.action(() => {
      const names = command.commands.map(sub => sub.name()).join(', ')
      throw new CliError(`millrace ${command.name()}: say which of ${names}`, EXIT.usage)
    })
}

function exitCodeLines(): string[] {
  return Object.entries(EXIT_MEANINGS).map(([code, meaning]) => `  ${code.padEnd(4)} ${meaning}`)
}

function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('../package.json') as { version: string }
  return version
}
