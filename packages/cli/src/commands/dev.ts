/** `millrace dev`: its command line. */
import { Command, type OptionValueSource } from 'commander'
import { NODES_MAX } from '../cluster/node-layout.ts'
import { DEFAULT_PORT } from '../dev/banner.ts'
import { runDev } from '../dev/dev.ts'
import { parseCount } from '../quantities.ts'
import type { Terminal } from '../terminal/terminal.ts'

interface DevFlags {
  readonly dir: string
  readonly port: number
  readonly nodes: number
  readonly fresh?: boolean
}

/** Peers and admin listeners follow the base port, the last one NODES_MAX + 20 above it. */
const PORT_MAX = 65_535 - 30

export function devCommand(terminal: Terminal): Command {
  const fromCommandLine: OptionValueSource = 'cli'
  return new Command('dev')
    .description('start a cluster of node processes on this machine; Ctrl-C stops it')
    .option('--dir <FOLDER>', 'where it keeps its data between runs', '.millrace')
    .option(
      '--port <PORT>',
      'first client port; peer ports are ten higher, admin ports twenty',
      text => parseCount(text, '--port', 1, PORT_MAX),
      DEFAULT_PORT,
    )
    .option('--nodes <N>', 'number of nodes', text => parseCount(text, '--nodes', 1, NODES_MAX), 3)
    .option('--fresh', 'empty the folder first')
    .action(async (flags: DevFlags, command: Command) => {
      const nodesAsked = command.getOptionValueSource('nodes') === fromCommandLine
      await runDev(terminal, { ...flags, nodesAsked, fresh: flags.fresh === true })
    })
}
