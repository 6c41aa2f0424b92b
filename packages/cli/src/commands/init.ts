/** `millrace init`: founds a cluster, once, over the empty data folders of its nodes. */
import { Command } from 'commander'
import type { Terminal } from '../terminal/terminal.ts'
import { jsonOption } from './common-options.ts'
import { addSettingOptions, type SettingFlags } from './node-settings.ts'

interface InitFlags extends SettingFlags {
  readonly clusterId?: string
  readonly json?: boolean
}

export function initCommand(terminal: Terminal): Command {
  return addSettingOptions(new Command('init'))
    .description('found a cluster: prepares the empty data folder of a node; serve never does')
    .option('--cluster-id <ID>', 'the same for every node of a cluster; init of the first node makes one and prints it')
    .addOption(jsonOption())
    .action(async ({ config: file, set, clusterId: asked, json }: InitFlags) => {
      // Loaded only here: the other commands start without the broker.
      const { initNode, loadConfig } = await import('@millrace/broker')
      const config = loadConfig({ ...(file === undefined ? {} : { file }), env: process.env, flags: set })
      const { clusterId } = await initNode(config, asked === undefined ? {} : { clusterId: asked })
      if (json === true)
        return terminal.print(JSON.stringify({ node: config.node, dataDir: config.dataDir, clusterId }))
      terminal.note(`node ${config.node} of cluster ${clusterId}: ${config.dataDir} is ready; millrace serve runs it`)
      if (asked === undefined && config.cluster.nodes.length > 1)
        terminal.note(`on each of the other nodes: millrace init --cluster-id ${clusterId}`)
    })
}
