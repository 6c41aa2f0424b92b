/** `millrace cluster`: its commands about members, and `status`: who leads, who is behind and by how much, what is under-replicated, how the disks are. */
import type { NodeStatusResponse } from '@millrace/proto'
import { Command } from 'commander'
import { type ClusterSummary, leadersPerNode, type PartitionSummary, summarize } from '../cluster/cluster-summary.ts'
import { lagText } from '../cluster/lag-text.ts'
import { askAny, describeCluster, nodeStatus } from '../cluster/node-api.ts'
import { EXIT, type ExitCode } from '../exit-code.ts'
import { formatBytes, formatCount } from '../quantities.ts'
import { tableLines } from '../terminal/table.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { lostRangeCommand } from './cluster-lost-range.ts'
import { memberCommands } from './cluster-members.ts'
import { recoverCommand } from './cluster-recover.ts'
import { jsonOption, urlOption, urlsFrom } from './common-options.ts'

interface StatusOptions {
  readonly url?: string
  readonly json?: boolean
}

/** @param setExitCode called with `failed` when the cluster is not healthy, so that scripts can tell */
export function clusterCommand(terminal: Terminal, setExitCode: (code: ExitCode) => void): Command {
  const cluster = new Command('cluster').description(
    'look at the cluster, change who belongs to it, save what is left of one',
  )
  for (const command of memberCommands(terminal)) cluster.addCommand(command)
  cluster.addCommand(
    new Command('status')
      .description('who leads, who is behind, what is under-replicated; exit code 1 if anything is')
      .addOption(jsonOption())
      .addOption(urlOption())
      .action(async (options: StatusOptions) => {
        const summary = await clusterSummary(urlsFrom(options.url))
        if (options.json === true) terminal.print(JSON.stringify(statusJson(summary)))
        else printStatus(terminal, summary)
        if (problemsOf(summary).length > 0) setExitCode(EXIT.failed)
      }),
  )
  return cluster.addCommand(recoverCommand(terminal)).addCommand(lostRangeCommand(terminal))
}

async function clusterSummary(urls: readonly string[]): Promise<ClusterSummary> {
  const { nodes } = await askAny(urls, url => describeCluster(url))
  const reports = nodes.map(async ({ node, clientUrl: url }) => ({
    node,
    url,
    status: await nodeStatus(url).catch(() => undefined),
  }))
  return summarize(await Promise.all(reports))
}

/** What an operator should look at, one line each. */
function problemsOf(summary: ClusterSummary): string[] {
  const problems: string[] = []
  for (const { node, url, status } of summary.nodes) {
    if (status === undefined) problems.push(`node ${node} does not answer at ${url}`)
    else if (status.disk?.acceptsAppends === false) problems.push(`node ${node}: its disk is full, appends are refused`)
    for (const { group, reason } of status?.refused ?? [])
      problems.push(`node ${node} refuses group ${group}: ${reason}`)
    for (const { topic, partition, state } of status?.replicas ?? [])
      if (state?.missing)
        problems.push(`node ${node} has lost the state of ${nameOf({ topic, partition })}, and fetches another's`)
  }
  for (const partition of summary.partitions) {
    if (partition.leader === 0) problems.push(`${nameOf(partition)} has no leader`)
    else if (partition.underReplicated) problems.push(`${nameOf(partition)} is under-replicated: ${lagText(partition)}`)
  }
  return problems
}

function nameOf({ topic, partition }: Pick<PartitionSummary, 'topic' | 'partition'>): string {
  return topic === '' ? 'the catalogue' : `${topic}/${partition}`
}

function printStatus(terminal: Terminal, summary: ClusterSummary): void {
  for (const line of nodeTable(terminal, summary)) terminal.print(line)
  terminal.print('')
  for (const line of partitionTable(terminal, summary)) terminal.print(line)
  terminal.print('')
  const problems = problemsOf(summary)
  if (problems.length === 0) terminal.print(terminal.paint('green', 'Healthy: every replica is in step.'))
  for (const problem of problems) terminal.print(terminal.paint('red', problem))
}

function nodeTable(terminal: Terminal, summary: ClusterSummary): string[] {
  const leaders = leadersPerNode(summary)
  const right = 'right' as const
  return tableLines(
    [
      { title: 'node', align: right },
      { title: 'client' },
      { title: 'version' },
      { title: 'leads', align: right },
      { title: 'memory', align: right },
      { title: 'disk used', align: right },
      { title: 'free', align: right },
      { title: 'fsync mean', align: right },
    ],
    summary.nodes.map(({ node, url, status }) =>
      status === undefined
        ? [String(node), url, terminal.paint('red', 'does not answer')]
        : [
            String(node),
            url,
            status.version,
            String(leaders.get(node) ?? 0),
            formatBytes(Number(status.residentBytes)),
            ...diskCells(status),
          ],
    ),
  )
}

function diskCells({ disk }: NodeStatusResponse): string[] {
  if (disk === undefined) return ['-', '-', '-']
  return [formatBytes(Number(disk.usedBytes)), formatBytes(Number(disk.freeBytes)), `${disk.fsyncMsMean.toFixed(2)} ms`]
}

function partitionTable(terminal: Terminal, summary: ClusterSummary): string[] {
  const right = 'right' as const
  return tableLines(
    [
      { title: 'partition' },
      { title: 'leader', align: right },
      { title: 'term', align: right },
      { title: 'replicas' },
      { title: 'records', align: right },
      { title: 'behind' },
    ],
    summary.partitions.map(partition => [
      partition.topic === '' ? '(catalogue)' : nameOf(partition),
      partition.leader === 0 ? terminal.paint('red', 'none') : String(partition.leader),
      String(partition.term),
      partition.replicas.join(' '),
      partition.topic === '' ? '' : formatCount(partition.highWatermark),
      partition.underReplicated ? terminal.paint('yellow', lagText(partition)) : lagText(partition),
    ]),
  )
}

function statusJson(summary: ClusterSummary): object {
  const leaders = leadersPerNode(summary)
  return {
    healthy: problemsOf(summary).length === 0,
    problems: problemsOf(summary),
    nodes: summary.nodes.map(({ node, url, status }) => ({
      node,
      url,
      answers: status !== undefined,
      leads: leaders.get(node) ?? 0,
      version: status?.version ?? null,
      residentBytes: status === undefined ? null : Number(status.residentBytes),
      disk:
        status?.disk === undefined
          ? null
          : {
              usedBytes: Number(status.disk.usedBytes),
              freeBytes: Number(status.disk.freeBytes),
              fsyncs: Number(status.disk.fsyncs),
              fsyncMsMean: status.disk.fsyncMsMean,
              acceptsAppends: status.disk.acceptsAppends,
            },
    })),
    partitions: summary.partitions.map(partition => ({
      topic: partition.topic === '' ? null : partition.topic,
      partition: partition.partition,
      leader: partition.leader === 0 ? null : partition.leader,
      term: partition.term,
      replicas: partition.replicas,
      highWatermark: partition.highWatermark,
      underReplicated: partition.underReplicated,
      lag: Object.fromEntries(
        [...partition.lag].map(([node, entries]) => [node, Number.isFinite(entries) ? entries : null]),
      ),
      snapshots: Object.fromEntries(partition.snapshots),
    })),
  }
}
