import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type CommandResult,
  isAlive,
  ONE_LINE,
  runMillrace,
  startCluster,
  startMillrace,
  type TestCluster,
  temporaryFolder,
  waitFor,
} from './testkit.ts'

describe('the commands against a cluster', () => {
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await startCluster()
  })
  afterAll(() => cluster?.[Symbol.asyncDispose]())

  function millrace(args: readonly string[], input = ''): Promise<CommandResult> {
    return runMillrace([...args, '--url', cluster.urls.join(',')], { input })
  }

  async function topic(name: string, partitions = 3): Promise<void> {
    const made = await millrace(['topics', 'create', name, '--partitions', String(partitions)])
    expect(made, made.stderr).toMatchObject({ exitCode: 0 })
  }

  it('create, list, describe and delete topics', async () => {
    await topic('books', 2)
    expect(await millrace(['topics', 'create', 'books'])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(ONE_LINE),
    })
    expect(await millrace(['topics', 'create', 'books', '--if-not-exists'])).toMatchObject({ exitCode: 0 })
    expect((await millrace(['topics', 'list'])).stdout).toMatch(/^books +2 +3 +7d +0$/m)
    const described = JSON.parse((await millrace(['topics', 'describe', 'books', '--json'])).stdout)
    expect(described).toMatchObject({ name: 'books', replication: 3, partitions: [{ partition: 0 }, { partition: 1 }] })
    expect(await millrace(['topics', 'delete', 'books'])).toMatchObject({ exitCode: 0 })
    expect(await millrace(['topics', 'describe', 'books'])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('UNKNOWN_TOPIC'),
    })
  })

  it('append lines and tail them', async () => {
    await topic('lines')
    const lines = Array.from({ length: 5000 }, (_, at) => `line ${at}`)
    const appended = await millrace(['append', 'lines'], lines.join('\n'))
    expect(appended).toMatchObject({ exitCode: 0, stdout: '' })
    expect(appended.stderr).toMatch(/^appended 5,000 records .* to lines \(partition .*\) in \d+\.\d\d s/)
    const tailed = await millrace(['tail', 'lines'])
    expect(tailed).toMatchObject({ exitCode: 0, stderr: '' })
    expect(tailed.stdout.trimEnd().split('\n').toSorted()).toEqual(lines.toSorted())
  })

  it('append a file with keys: each key in one partition, in order', async () => {
    using folder = temporaryFolder('append')
    const file = join(folder.path, 'orders.ndjson')
    const orders = Array.from({ length: 300 }, (_, at) => ({ customer: { id: `c-${at % 10}` }, at }))
    writeFileSync(file, orders.map(order => JSON.stringify(order)).join('\n'))
    await topic('orders')
    const appended = await millrace(['append', 'orders', file, '--key', '.customer.id', '--json'])
    expect(JSON.parse(appended.stderr)).toMatchObject({ topic: 'orders', appended: 300, notStored: 0, unknown: 0 })
    const { stdout } = await millrace(['tail', 'orders', '--json'])
    const read = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as { partition: number; key: string; value: { at: number } })
    expect(read).toHaveLength(300)
    for (let customer = 0; customer < 10; customer++) {
      const own = read.filter(({ key }) => key === `c-${customer}`)
      expect(new Set(own.map(({ partition }) => partition)).size).toBe(1)
      expect(own.map(({ value }) => value.at)).toEqual(Array.from({ length: 30 }, (_, at) => at * 10 + customer))
    }
  })

  it('append says which input is wrong, and what of it is stored', async () => {
    await topic('checked')
    const bad = await millrace(['append', 'checked', '--json'], '{}\n{}\nnot json\n{}')
    expect(bad.exitCode).toBe(2)
    const [summary, error] = bad.stderr.trimEnd().split('\n')
    expect(JSON.parse(summary!)).toMatchObject({ appended: 2 })
    expect(error).toContain('record 3 of the input is not JSON')
    const unknown = await millrace(['append', 'nowhere'], 'x\n')
    expect(unknown).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(ONE_LINE) })
    expect(unknown.stderr).toContain('UNKNOWN_TOPIC')
  })

  it('records end with NUL when asked', async () => {
    await topic('nul', 1)
    await millrace(['append', 'nul', '--null'], 'a\nb\0c\0')
    const { stdout } = await millrace(['tail', 'nul', '--json'])
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map(line => (JSON.parse(line) as { value: string }).value),
    ).toEqual(['a\nb', 'c'])
  })

  it('tail from an offset, a count, and live', async () => {
    await topic('feed', 1)
    await millrace(['append', 'feed'], 'a\nb\nc\nd\n')
    expect((await millrace(['tail', 'feed', '--from', '2', '--partition', '0'])).stdout).toBe('c\nd\n')
    expect((await millrace(['tail', 'feed', '--count', '3'])).stdout).toBe('a\nb\nc\n')
    await using live = startMillrace(['tail', 'feed', '--follow', '--from', 'earliest', '--url', cluster.urls[1]!])
    await waitFor(() => live.stdout === 'a\nb\nc\nd\n', { what: 'the first records', timeoutMs: 20_000 })
    await millrace(['append', 'feed'], 'e\n')
    await waitFor(() => live.stdout.endsWith('e\n'), { what: 'the new record', timeoutMs: 20_000 })
    live.process.kill('SIGINT')
    expect(await live.ended).toMatchObject({ exitCode: 130, stderr: '' })
  })

  it('tail ends quietly when its reader goes away', async () => {
    await topic('pipe', 1)
    await millrace(['append', 'pipe'], Array.from({ length: 20_000 }, (_, at) => `line ${at}`).join('\n'))
    const command = startMillrace(['tail', 'pipe', '--url', cluster.urls[0]!])
    command.process.stdout?.once('data', () => command.process.stdout?.destroy())
    expect(await command.ended).toMatchObject({ exitCode: 0, stderr: '' })
  })

  it('append holds back its input instead of keeping it in memory', async ({ skip }) => {
    if (process.platform !== 'linux') skip('only /proc tells how much memory a process has used')
    await topic('large')
    const { args, file } = appendProcess('large')
    const child = spawn(file, args, { stdio: ['pipe', 'ignore', 'pipe'] })
    const chunk = Buffer.from(`${'x'.repeat(999)}\n`.repeat(1000))
    for (let sent = 0; sent < 128; sent++)
      if (!child.stdin.write(chunk)) await new Promise(resolve => child.stdin.once('drain', resolve))
    const peak = peakMemory(child.pid!)
    child.stdin.end()
    expect(await new Promise(resolve => child.once('close', resolve))).toBe(0)
    expect(peak).toBeLessThan(350 * 2 ** 20)
  })

  it('cluster status tells a healthy cluster from one that lacks a node', async () => {
    await topic('watched')
    await cluster.spreadLeaders('watched')
    const healthy = await waitFor(
      async () => {
        const result = await millrace(['cluster', 'status', '--json'])
        return result.exitCode === 0 && result
      },
      { what: 'health', timeoutMs: 20_000 },
    )
    const status = JSON.parse(healthy.stdout) as {
      nodes: { answers: boolean }[]
      partitions: { topic: string | null }[]
    }
    expect(status.nodes.map(node => node.answers)).toEqual([true, true, true])
    expect(status.partitions.filter(partition => partition.topic === 'watched')).toHaveLength(3)

    const victim = cluster.nodes[2]!
    await victim.crash()
    expect(isAlive(victim.pid)).toBe(false)
    const degraded = await millrace(['cluster', 'status'])
    expect(degraded.exitCode).toBe(1)
    expect(degraded.stdout).toContain('node 3 does not answer')
    await victim.restart()
  })

  function appendProcess(name: string): { file: string; args: string[] } {
    const main = new URL('../../packages/cli/src/main.ts', import.meta.url).pathname
    return {
      file: process.execPath,
      args: ['--conditions=millrace-source', main, 'append', name, '--url', cluster.urls.join(',')],
    }
  }

  /** Bytes. */
  function peakMemory(pid: number): number {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
  }
})
