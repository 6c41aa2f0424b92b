/** Three nodes of this checkout, with their defaults: durable on a majority before an acknowledgement. */
import { execFileSync } from 'node:child_process'
import type { LocalCluster } from '@millrace/cli'
import { startCluster } from '@millrace/testkit'
import { builtCli } from '../../built-program.ts'
import type { Cluster } from '../cluster.ts'

/** Of the built program. */
export async function startMillraceCluster(folder: string): Promise<Cluster> {
  return await asCluster(folder, (await builtCli()).LocalCluster)
}

/** @param processes what the nodes run: the sources, or what is built */
export async function asCluster(folder: string, processes: typeof LocalCluster): Promise<Cluster> {
  const cluster = await startCluster({ dir: folder, processes })
  return {
    version: `commit ${commit()}`,
    client: { system: 'millrace', urls: cluster.urls },
    pids: () => cluster.nodes.map(node => (node.running ? node.pid : 0)),
    kill: node => cluster.nodes[node - 1]!.crash(),
    restart: node => cluster.nodes[node - 1]!.restart(),
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  }
}

function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with changes'
    return git('rev-parse', '--short', 'HEAD') + changed
  } catch {
    // An unpacked archive is as good a source, and has no commit to name.
    return 'unknown'
  }
}
