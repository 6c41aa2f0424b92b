/** `millrace init`: prepares the empty data folder of one node of a new cluster. */
import { Command, Option } from 'commander'
import { CliError } from '../cli-error.ts'
import { EXIT } from '../exit-code.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { jsonOption, urlsFrom } from './common-options.ts'
import { addSettingOptions, type SettingFlags } from './node-settings.ts'

interface InitFlags extends SettingFlags {
  readonly clusterId?: string
  readonly join?: string
  readonly json?: boolean
}

/** An id that init made goes with its list of nodes; of a name nobody can tell, and this is the list that is forgotten most. */
function namedAlone(clusterId: string): CliError {
  const several =
    'for one of several, list all of them in cluster.nodes; for one of a cluster that exists, use init --join'
  return new CliError(
    `--cluster-id ${clusterId}: cluster.nodes lists this node only, and a cluster of one node needs no id; ${several}`,
    EXIT.usage,
  )
}

export function initCommand(terminal: Terminal): Command {
  return addSettingOptions(new Command('init'))
    .description(
      'prepare the empty data folder of a node of a new cluster; the first serve of all nodes founds it. With --join, of a node of a cluster that runs',
    )
    .option('--cluster-id <ID>', 'the same for every node of a cluster; init of the first node makes one and prints it')
    .addOption(
      new Option(
        '--join <URLS>',
        'client addresses of nodes of the cluster to join, which add-node or replace-node lets in',
      ).conflicts('clusterId'),
    )
    .addOption(jsonOption())
    .action(async ({ config: file, set, clusterId: asked, join, json }: InitFlags) => {
      // Loaded only here: the other commands start without the broker.
      const { initJoiningNode, initNode, loadConfig } = await import('@millrace/broker')
      const config = loadConfig({ ...(file === undefined ? {} : { file }), env: process.env, flags: set })
      if (join !== undefined) {
        const { clusterId } = await initJoiningNode(config, { urls: urlsFrom(join, '--join') })
        if (json === true)
          return terminal.print(JSON.stringify({ node: config.node, dataDir: config.dataDir, clusterId }))
        const ready = `${config.dataDir} is ready to join; millrace serve runs it`
        return terminal.note(`node ${config.node} of cluster ${clusterId}: ${ready}`)
      }
      if (asked !== undefined && config.cluster.nodes.length <= 1 && !asked.includes('~')) throw namedAlone(asked)
      const { clusterId } = await initNode(config, asked === undefined ? {} : { clusterId: asked })
      if (json === true)
        return terminal.print(JSON.stringify({ node: config.node, dataDir: config.dataDir, clusterId }))
      terminal.note(`node ${config.node} of cluster ${clusterId}: ${config.dataDir} is ready; millrace serve runs it`)
      if (config.cluster.nodes.length <= 1) return
      if (asked === undefined) terminal.note(`on each of the other nodes: millrace init --cluster-id ${clusterId}`)
      terminal.note(`the cluster is founded when all ${config.cluster.nodes.length} nodes serve for the first time`)
    })
}
