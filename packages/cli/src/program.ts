/**
 * The command line as a whole: which commands there are, and how any of them ends. Runs no command by being imported.
 */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { CliError, describeError, exitCodeOf, Interrupted } from './cli-error.ts'
import { EXIT, EXIT_MEANINGS, type ExitCode } from './exit-code.ts'
import { PACKAGE_FILE } from './process/entry-point.ts'
import type { Terminal } from './terminal/terminal.ts'

type MakeCommand = (
  terminal: Terminal,
  setExitCode: (code: ExitCode) => void,
  program: Command,
) => Command | Promise<Command>

/** By name, in the order of the help. Loaded when they are needed: a node that starts does not wait for the client's code. */
const COMMANDS: Readonly<Record<string, MakeCommand>> = {
  dev: async terminal => (await import('./commands/dev.ts')).devCommand(terminal),
  tour: async (terminal, setExitCode) => (await import('./commands/tour.ts')).tourCommand(terminal, setExitCode),
  append: async terminal => (await import('./commands/append.ts')).appendCommand(terminal),
  tail: async terminal => (await import('./commands/tail.ts')).tailCommand(terminal),
  topics: async terminal => (await import('./commands/topics.ts')).topicsCommand(terminal),
  cluster: async (terminal, setExitCode) =>
    (await import('./commands/cluster.ts')).clusterCommand(terminal, setExitCode),
  backup: async (terminal, setExitCode) => (await import('./commands/backup.ts')).backupCommand(terminal, setExitCode),
  bench: async (terminal, setExitCode) => (await import('./commands/bench.ts')).benchCommand(terminal, setExitCode),
  serve: async () => (await import('./commands/serve.ts')).serveCommand(),
  init: async terminal => (await import('./commands/init.ts')).initCommand(terminal),
  log: async (terminal, setExitCode) => (await import('./commands/log.ts')).logCommand(terminal, setExitCode),
  completion: async (terminal, _, program) =>
    (await import('./commands/completion.ts')).completionCommand(terminal, () => program),
}
/** It prints what all the others have. */
const NEEDS_ALL = 'completion'

/**
 * Builds the command line: with all commands, or with the one that is asked for.
 *
 * @param setExitCode for commands that print a result and still fail
 */
export async function buildProgram(
  terminal: Terminal,
  setExitCode: (code: ExitCode) => void = () => undefined,
  asked = '',
): Promise<Command> {
  const program = new Command('millrace')
    .description('A replicated event log: every acknowledged record is on the disks of a majority.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .addHelpText('after', `\nExit codes:\n${exitCodeLines().join('\n')}`)
    .helpCommand(false)
  const names = Object.hasOwn(COMMANDS, asked) && asked !== NEEDS_ALL ? [asked] : Object.keys(COMMANDS)
  for (const name of names) program.addCommand(await COMMANDS[name]!(terminal, setExitCode, program))
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
  try {
    if (args.length === 0) throw new CliError('say what to do: millrace --help lists the commands', EXIT.usage)
    const setExitCode = (code: ExitCode): void => {
      exitCode = code
    }
    const program = await buildProgram(terminal, setExitCode, args[0])
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
  const { version } = JSON.parse(readFileSync(PACKAGE_FILE, 'utf8')) as { version: string }
  return version
}
