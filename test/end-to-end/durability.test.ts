import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  appendOne,
  createTopic,
  hasProgram,
  type NodeProcess,
  startCluster,
  type TestCluster,
  waitFor,
} from './testkit.ts'

const DELAY_MS = 700

/** The calls that make something durable: rounds go through descriptors that sync on every `pwritev`. */
const SYNCING_CALLS = 'pwritev,fdatasync,fsync'

/** Makes every call that makes something durable take longer in a running process, until it is disposed of. */
async function slowDisk(node: NodeProcess): Promise<AsyncDisposable | undefined> {
  const inject = `inject=${SYNCING_CALLS}:delay_exit=${DELAY_MS * 1000}`
  const strace = spawn(
    'strace',
    ['-f', '-qq', '-e', `trace=${SYNCING_CALLS}`, '-e', inject, '-o', '/dev/null', '-p', String(node.pid)],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  let said = ''
  strace.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  await waitFor(() => isTraced(node.pid) || strace.exitCode !== null, { what: 'strace', timeoutMs: 10_000 })
  if (strace.exitCode !== null) {
    if (/Operation not permitted|invalid/.test(said)) return undefined
    throw new Error(`strace: ${said}`)
  }
  return { [Symbol.asyncDispose]: () => end(strace) }
}

async function end(strace: ChildProcess): Promise<void> {
  const gone = new Promise(resolve => strace.once('exit', resolve))
  strace.kill('SIGINT')
  await gone
}

/** Whether every thread of a process has a tracer. */
function isTraced(pid: number): boolean {
  const tasks = readdirSync(`/proc/${pid}/task`)
  return tasks.every(task => !/^TracerPid:\t0$/m.test(readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')))
}

async function inStep(cluster: TestCluster): Promise<void> {
  const isInStep = async (): Promise<boolean> => {
    const { nodes, partitions } = await cluster.processes.summary()
    return (
      nodes.every(({ status }) => status !== undefined) && partitions.every(({ underReplicated }) => !underReplicated)
    )
  }
  await waitFor(isInStep, { what: 'all replicas in step', timeoutMs: 30_000 })
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}

describe('three separate processes, real sockets, real files, fdatasync on a majority before every acknowledgement', () => {
  it('three separate processes with files of their own', async () => {
    await using cluster = await startCluster()
    await createTopic(cluster.urls[0]!, 'orders')
    await appendOne(cluster.urls[0]!, 'orders', 'hello', 0)
    expect(new Set(cluster.nodes.map(node => node.pid)).size).toBe(3)
    for (const node of cluster.nodes) {
      expect(node.running).toBe(true)
      const files = readdirSync(node.layout.dataDir, { recursive: true, withFileTypes: true }).filter(at => at.isFile())
      expect(files.length, join(node.layout.dataDir)).toBeGreaterThan(2)
    }
  })

  it('an acknowledgement waits for the fdatasync of a majority, and of no more', async ({ skip }) => {
    if (!hasProgram('strace', '-V')) skip('no strace on this machine')
    await using cluster = await startCluster()
    await createTopic(cluster.urls[0]!, 'orders')
    const leader = (await cluster.spreadLeaders('orders'))[0]!
    const followers = cluster.nodes.filter(node => node.node !== leader)
    const append = (): Promise<unknown> => appendOne(cluster.urls[leader - 1]!, 'orders', 'hello', 0)
    await append()
    // Leader and one follower are a majority: the third may stand still.
    followers[0]!.kill('SIGSTOP')
    await append()
    followers[0]!.kill('SIGCONT')
    await inStep(cluster)
    {
      await using one = await slowDisk(followers[0]!)
      await using other = await slowDisk(followers[1]!)
      if (one === undefined || other === undefined) skip('this machine does not let a process be traced')
      for (let turn = 0; turn < 3; turn++) expect(await timed(append)).toBeGreaterThanOrEqual(DELAY_MS - 1)
    }
  })

  it('a single node too', async ({ skip }) => {
    if (!hasProgram('strace', '-V')) skip('no strace on this machine')
    await using cluster = await startCluster({ nodes: 1 })
    await createTopic(cluster.urls[0]!, 'orders', 1)
    const append = (): Promise<unknown> => appendOne(cluster.urls[0]!, 'orders', 'hello', 0)
    await append()
    await using slow = await slowDisk(cluster.nodes[0]!)
    if (slow === undefined) skip('this machine does not let a process be traced')
    for (let turn = 0; turn < 3; turn++) expect(await timed(append)).toBeGreaterThanOrEqual(DELAY_MS - 1)
  })
})
