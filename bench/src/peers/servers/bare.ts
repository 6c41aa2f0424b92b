/** Three bare processes; the first leads. They end with the channel to this process. */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Cluster, NODES } from '../cluster.ts'

interface BareNode {
  readonly child: ChildProcess
  readonly port: number
}

export async function startBareCluster(folder: string): Promise<Cluster> {
  const nodes: BareNode[] = []
  const end = async (): Promise<void> => {
    await Promise.all(nodes.map(({ child }) => ended(child)))
  }
  try {
    for (let node = NODES; node >= 1; node--) {
      const own = join(folder, String(node))
      mkdirSync(own)
      const followers = node === 1 ? nodes.map(({ port }) => String(port)) : []
      nodes.push(await startNode([own, ...followers]))
    }
  } catch (error) {
    await end()
    throw error
  }
  nodes.reverse()
  return {
    version: 'this checkout',
    client: { system: 'bare', port: nodes[0]!.port },
    pids: () => nodes.map(({ child }) => child.pid ?? 0),
    kill: () => Promise.reject(new Error('bare processes do not fail over')),
    restart: () => Promise.reject(new Error('bare processes do not fail over')),
    [Symbol.asyncDispose]: end,
  }
}

async function startNode(args: readonly string[]): Promise<BareNode> {
  const child = fork(new URL('../bare/bare-node.ts', import.meta.url), args, {
    execArgv: process.execArgv,
    detached: true,
  })
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', message => resolve((message as { port: number }).port))
    child.once('exit', code => reject(new Error(`a bare process ended with ${code} before it listened`)))
    child.once('error', reject)
  })
  return { child, port }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise(resolve => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}
