/** `millrace cluster recover`: goes on with one surviving folder when the majority is gone for good. Loud on purpose. */
import type { Recovery } from '@millrace/broker'
import { Command } from 'commander'
import { CliError } from '../cli-error.ts'
import { EXIT } from '../exit-code.ts'
import { formatCount } from '../quantities.ts'
import { tableLines } from '../terminal/table.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { jsonOption } from './common-options.ts'

interface RecoverFlags {
  readonly dataDir: string
  readonly acceptDataLoss?: boolean
  readonly json?: boolean
}

export function recoverCommand(terminal: Terminal): Command {
  return new Command('recover')
    .description('make one surviving node of a lost majority the whole cluster; what only the lost nodes held is gone')
    .requiredOption('--data-dir <DIR>', 'the data folder of the survivor, which must not run')
    .option('--accept-data-loss', 'do it; without this, only show what the folder holds')
    .addOption(jsonOption())
    .action((flags: RecoverFlags) => recover(terminal, flags))
}

async function recover(terminal: Terminal, { dataDir, acceptDataLoss = false, json }: RecoverFlags): Promise<void> {
  // Loaded only here: the other commands start without the broker.
  const { loadConfig, recoverNode } = await import('@millrace/broker')
  const recovery = await recoverNode(loadConfig({ flags: { dataDir } }), { acceptDataLoss })
  if (json === true) terminal.print(JSON.stringify({ folder: dataDir, ...recovery }))
  else printRecovery(terminal, dataDir, recovery)
  if (!acceptDataLoss) throw refusal(dataDir)
}

function refusal(dataDir: string): CliError {
  const look = 'compare this with the other survivors and with your backups'
  return new CliError(
    `nothing was changed: ${look}, then say millrace cluster recover --data-dir ${dataDir} --accept-data-loss`,
    EXIT.usage,
  )
}

function printRecovery(terminal: Terminal, dataDir: string, recovery: Recovery): void {
  const { nodeId, oldClusterId, otherNodes } = recovery
  const others = otherNodes.length === 0 ? 'no other nodes' : `nodes ${otherNodes.join(', ')}`
  terminal.print(`${dataDir}: node ${nodeId} of cluster ${oldClusterId}, which had ${others} besides`)
  terminal.print('')
  for (const line of groupTable(terminal, recovery)) terminal.print(line)
  terminal.print('')
  for (const line of WHAT_MAY_BE_LOST) terminal.print(line)
  if (recovery.clusterId !== undefined) for (const line of nextSteps(recovery)) terminal.print(line)
}

const WHAT_MAY_BE_LOST = [
  'known: committed, as far as this folder knows; these records are kept.',
  'unknown: written here, and perhaps never acknowledged; they are kept too, and count as committed from now on.',
  'Not shown, because nobody can: records that were acknowledged and had not reached this disk. They are lost, and their',
  'offsets are given again.',
]

function groupTable(terminal: Terminal, { groups }: Recovery): string[] {
  const right = 'right' as const
  return tableLines(
    [
      { title: 'partition' },
      { title: 'known', align: right },
      { title: 'unknown', align: right },
      { title: 'newest entry' },
      { title: 'term and index', align: right },
      { title: '' },
    ],
    groups.map(group => {
      const name = group.topic === '' ? '(catalogue)' : `${group.topic}/${group.partition}`
      if (group.state !== 'log') return [name, '', '', '', '', terminal.paint('red', lossOf(group))]
      const { firstOffset, committedOffset, nextOffset, lastTimestamp, lastTerm, lastIndex } = group
      const records = (count: number): string => (group.topic === '' ? '' : formatCount(count))
      return [
        name,
        records(committedOffset - firstOffset),
        records(nextOffset - committedOffset),
        lastTimestamp === 0 ? '-' : new Date(lastTimestamp).toISOString(),
        `${lastTerm} ${lastIndex}`,
        terminal.paint('red', damageOf(group)),
      ]
    }),
  )
}

type Group = Recovery['groups'][number]

function lossOf(group: Exclude<Group, { readonly state: 'log' }>): string {
  switch (group.state) {
    case 'refused':
      return `lost: ${group.reason}`
    case 'empty':
      return 'nothing of it ever reached this disk: begins empty'
    case 'elsewhere':
      return 'lost: its replicas were on other nodes only'
  }
}

function damageOf({ goneUpTo, damaged }: Extract<Group, { readonly state: 'log' }>): string {
  const gone = goneUpTo === undefined ? [] : [`entries up to ${goneUpTo} were on this disk once and are gone`]
  const ranges = damaged.map(([first, last]) => `entries ${first} to ${last} cannot be read, and stay so`)
  return [...gone, ...ranges].join('; ')
}

function nextSteps({ nodeId, clusterId, record, otherNodes }: Recovery): string[] {
  return [
    '',
    `Done: node ${nodeId} is alone in the new cluster ${clusterId ?? ''}; ${record ?? ''} in the folder says what was done.`,
    `1. In its config file leave only node ${nodeId} in cluster.nodes, then millrace serve.`,
    `2. Never start ${otherNodes.length === 0 ? 'a copy of this folder' : `nodes ${otherNodes.join(', ')}`} with an old folder for clients: they are another cluster now.`,
    '3. Make a backup at once: this node has no second copy. Restored onto more nodes, it is a cluster of more again.',
  ]
}
