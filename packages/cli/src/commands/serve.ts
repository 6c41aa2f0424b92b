/** `millrace serve`: one node of a cluster in this process, until SIGTERM or Ctrl-C. It never founds a cluster. */
import { Command, Option } from 'commander'
import { watchLifeline } from '../process/lifeline.ts'
import { stopSignal } from '../process/stop-signal.ts'
import { parseCount } from '../quantities.ts'
import { addSettingOptions, type SettingFlags } from './node-settings.ts'

interface ServeFlags extends SettingFlags {
  readonly lifelineFd?: number
}

/** File descriptors 0 to 2 are the standard streams. */
const FD_MIN = 3

export function serveCommand(): Command {
  return addSettingOptions(new Command('serve'))
    .description('run one node of a cluster; the data folder must have been made by init')
    .addOption(
      new Option('--lifeline-fd <FD>', 'stop when the pipe at this file descriptor ends')
        .argParser(text => parseCount(text, '--lifeline-fd', FD_MIN))
        .hideHelp(),
    )
    .action(serve)
}

async function serve({ config: file, set, lifelineFd }: ServeFlags): Promise<void> {
  if (lifelineFd !== undefined) watchLifeline(lifelineFd)
  using stop = stopSignal()
  // Loaded only here: the other commands start without the broker.
  const { loadConfig, serveNode } = await import('@millrace/broker')
  const config = loadConfig({ ...(file === undefined ? {} : { file }), env: process.env, flags: set })
  const node = await serveNode(config)
  if (!stop.signal.aborted) await new Promise(resolve => stop.signal.addEventListener('abort', resolve, { once: true }))
  await node.stop()
}
