/** `millrace init`: founds a cluster, once, over the empty data folders of its nodes. */
import { Command } from 'commander'
import type { Terminal } from '../terminal/terminal.ts'
import { addSettingOptions, type SettingFlags } from './node-settings.ts'

export function initCommand(terminal: Terminal): Command {
  return addSettingOptions(new Command('init'))
    .description('found a cluster: prepares the empty data folder of a node; serve never does')
    .action(async ({ config: file, set }: SettingFlags) => {
      const { initCluster, loadConfig } = await import('@millrace/broker')
      const config = loadConfig({ ...(file === undefined ? {} : { file }), env: process.env, flags: set })
      await initCluster([config])
      terminal.note(`node ${config.node}: ${config.dataDir} is ready; millrace serve runs it`)
    })
}
