/** `millrace serve`: one node of a cluster in this process, until SIGTERM or Ctrl-C. */
import { once } from 'node:events'
import { optimiseSooner } from '@millrace/client/v8'
import { Command, Option } from 'commander'
import { keepCompiled } from '../process/compilation.ts'
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
    .description('run one node of a cluster; init must have prepared the data folder')
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
  const failed = Promise.withResolvers<never>()
  // Where the signal wins, a failure of the disk on the way out changes nothing any more.
  failed.promise.catch(() => undefined)
  const starting = serveNode(config, { onFatal: failed.reject, signal: stop.signal })
  const node = await starting.catch((error: unknown) => {
    if (stop.signal.aborted && error === stop.signal.reason) return undefined
    throw error
  })
  // Stopped while it waited for the other nodes of a new cluster.
  if (node === undefined) return
  optimiseSooner()
  keepCompiled()
  if (!stop.signal.aborted) await Promise.race([once(stop.signal, 'abort'), failed.promise])
  await node.close()
}
