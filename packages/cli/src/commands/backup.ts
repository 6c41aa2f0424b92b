/** `millrace backup`: copies a running cluster, checks such a copy, and makes the folders of a new cluster from it. */
import { Command } from 'commander'
import { extentOf, ProgressLine, printReport } from '../backup/backup-report.ts'
import { CliError, Interrupted } from '../cli-error.ts'
import { EXIT, type ExitCode } from '../exit-code.ts'
import { stopSignal } from '../process/stop-signal.ts'
import { formatBytes } from '../quantities.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { jsonOption, urlOption, urlsFrom } from './common-options.ts'
import { addSettingOptions, type SettingFlags } from './node-settings.ts'

interface CreateFlags {
  readonly out: string
  readonly topic?: readonly string[]
  readonly url?: string
  readonly json?: boolean
}

interface RestoreFlags extends SettingFlags {
  readonly clusterId?: string
  readonly json?: boolean
}

export function backupCommand(terminal: Terminal, setExitCode: (code: ExitCode) => void): Command {
  const backup = new Command('backup').description('copy a cluster, check the copy, restore it into a new cluster')
  backup.addCommand(
    new Command('create')
      .description('copy topics and records of a running cluster into a folder, while appends go on')
      .requiredOption('--out <DIR>', 'the folder to make; nothing may be there')
      .option('--topic <NAME>', 'only this topic; repeat it (default: all)', addName)
      .addOption(jsonOption('print the manifest as JSON'))
      .addOption(urlOption())
      .action((flags: CreateFlags) => explained(create(terminal, flags))),
  )
  backup.addCommand(
    new Command('verify')
      .description('check every byte of a backup; exit code 1 if anything is damaged')
      .argument('<DIR>', 'a backup; nothing in it is changed')
      .addOption(jsonOption())
      .action(async (dir: string, { json }: { readonly json?: boolean }) => {
        if (!(await explained(verify(terminal, dir, json === true)))) setExitCode(EXIT.failed)
      }),
  )
  backup.addCommand(
    addSettingOptions(new Command('restore'))
      .description('make the empty data folder of one node of a new cluster from a backup; then serve runs it')
      .argument('<DIR>', 'a backup; it is verified first')
      .option(
        '--cluster-id <ID>',
        'the same for every node of the new cluster; the first restore makes one and prints it',
      )
      .addOption(jsonOption())
      .action((dir: string, flags: RestoreFlags) => explained(restore(terminal, dir, flags))),
  )
  return backup
}

function addName(name: string, before: readonly string[] = []): readonly string[] {
  return [...before, name]
}

async function create(terminal: Terminal, { out, topic, url, json }: CreateFlags): Promise<void> {
  // Loaded only here: the other commands start without the broker.
  const { createBackup } = await import('@millrace/broker')
  using stop = stopSignal()
  const progress = new ProgressLine(terminal)
  try {
    const manifest = await createBackup({
      urls: urlsFrom(url),
      out,
      ...(topic === undefined ? {} : { topics: topic }),
      onProgress: ({ groups, groupsTotal, bytes }) =>
        progress.show(`copying: ${groups} of ${groupsTotal} groups, ${formatBytes(bytes)}`),
      signal: stop.signal,
    })
    progress.end()
    if (json === true) terminal.print(JSON.stringify({ folder: out, ...manifest }))
    else terminal.print(`${out}: ${extentOf(manifest)}; all that was acknowledged before ${manifest.startedAt}`)
  } catch (error) {
    if (stop.signal.aborted) throw new Interrupted()
    throw error
  } finally {
    progress.end()
  }
}

/** @returns whether it is whole */
async function verify(terminal: Terminal, dir: string, json: boolean): Promise<boolean> {
  const { verifyBackup } = await import('@millrace/broker')
  const progress = new ProgressLine(terminal)
  try {
    const report = await verifyBackup(dir, { onProgress: percent(progress, `verifying ${dir}`) })
    progress.end()
    const whole = report.damage.length === 0
    if (json) terminal.print(JSON.stringify({ folder: dir, whole, ...report }))
    else printReport(terminal, dir, report)
    return whole
  } finally {
    progress.end()
  }
}

async function restore(terminal: Terminal, dir: string, flags: RestoreFlags): Promise<void> {
  const { config: file, set, clusterId: asked, json } = flags
  const { loadConfig, restoreBackup } = await import('@millrace/broker')
  const config = loadConfig({ ...(file === undefined ? {} : { file }), env: process.env, flags: set })
  const progress = new ProgressLine(terminal)
  try {
    const { clusterId, manifest, groups } = await restoreBackup(dir, config, {
      ...(asked === undefined ? {} : { clusterId: asked }),
      onProgress: percent(progress, `verifying ${dir}`),
    })
    progress.end()
    const { node, dataDir } = config
    if (json === true)
      terminal.print(JSON.stringify({ node, dataDir, clusterId, groups: groups.length, ...timesOf(manifest) }))
    else
      terminal.print(`${dataDir}: node ${node} of cluster ${clusterId}, ${groups.length} groups; ${extentOf(manifest)}`)
    if (asked === undefined && config.cluster.nodes.length > 1)
      terminal.note(
        `on each of the other nodes: millrace backup restore ${dir} --cluster-id ${clusterId}; then serve on all`,
      )
  } finally {
    progress.end()
  }
}

function timesOf({ startedAt, finishedAt }: { readonly startedAt: string; readonly finishedAt: string }): object {
  return { startedAt, finishedAt }
}

function percent(progress: ProgressLine, what: string): (read: number, total: number) => void {
  return (read, total) => {
    const share = total === 0 ? 100 : Math.floor((100 * read) / total)
    progress.show(`${what}: ${share} %, ${formatBytes(read)} of ${formatBytes(total)}`)
  }
}

const EXIT_OF: Readonly<Record<string, ExitCode>> = {
  OUT_EXISTS: EXIT.usage,
  NOT_A_BACKUP: EXIT.usage,
  UNKNOWN_TOPIC: EXIT.usage,
}

/** Refusals of the tools with the exit code that they have here. */
async function explained<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'BackupError' || !('code' in error)) throw error
    throw new CliError(error.message, EXIT_OF[String(error.code)] ?? EXIT.failed, { cause: error })
  }
}
