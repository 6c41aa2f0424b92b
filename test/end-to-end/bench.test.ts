// `millrace bench` against a cluster: what it says is stored is stored, and it leaves nothing behind and nobody else's records alone.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  appendOne,
  type CommandResult,
  createTopic,
  ONE_LINE,
  readAll,
  runMillrace,
  startCluster,
  startMillrace,
  type TestCluster,
  waitFor,
} from './testkit.ts'

interface AppendJson {
  readonly topic: string
  readonly records: number
  readonly acknowledgedMs: { readonly p50: number; readonly distribution: readonly { readonly count: number }[] }
  readonly stored: { readonly acknowledged: number; readonly stored: number }
}

describe('millrace bench', () => {
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await startCluster()
  })
  afterAll(() => cluster?.[Symbol.asyncDispose]())

  function bench(...args: readonly string[]): Promise<CommandResult> {
    return runMillrace(['bench', ...args, '--url', cluster.urls.join(',')])
  }

  async function topics(): Promise<string[]> {
    const { stdout } = await runMillrace(['topics', 'list', '--json', '--url', cluster.urls[0]!])
    return (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name)
  }

  it('appends, finds everything again, and removes its topic', async () => {
    const before = await topics()
    const args = ['--record-bytes', '100', '--partitions', '3', '--duration', '1s', '--warm-up', '200ms', '--check']
    const run = await bench('append', ...args, '--json')
    expect(run, run.stderr).toMatchObject({ exitCode: 0, stderr: '' })
    const result = JSON.parse(run.stdout) as AppendJson
    expect(result).toMatchObject({
      workload: 'append',
      partitions: 3,
      batch: 500,
      check: 'ok',
      notStored: 0,
      unknown: 0,
    })
    expect(result.records).toBeGreaterThan(0)
    expect(result.records % 500).toBe(0)
    const calls = result.acknowledgedMs.distribution.reduce((sum, { count }) => sum + count, 0)
    expect(calls * 500).toBe(result.records)
    expect(result.stored.stored).toBe(result.stored.acknowledged)
    expect(result.stored.stored).toBeGreaterThanOrEqual(result.records)
    expect(await topics()).toEqual(before)
  })

  it('appends at a rate: as many as were due, for people', async () => {
    const run = await bench('append', '--batch', '10', '--rate', '500', '--duration', '1s', '--warm-up', '0s')
    expect(run, run.stderr).toMatchObject({ exitCode: 0, stderr: '' })
    expect(run.stdout).toMatch(/^500 records of 1\.0 KiB acknowledged in /)
    expect(run.stdout).toMatch(/acknowledged, from when a call was due:\n {2}p50 .* p99 .* p99\.9 .* max /)
    expect(run.stdout).toContain('500 records stored, 500 acknowledged')
  })

  it('follows records to a reader', async () => {
    const run = await bench('latency', '--rate', '100', '--duration', '1s', '--warm-up', '300ms', '--json')
    expect(run, run.stderr).toMatchObject({ exitCode: 0, stderr: '' })
    const result = JSON.parse(run.stdout)
    expect(result).toMatchObject({ workload: 'latency', records: 100, undelivered: 0, stored: { stored: 130 } })
    const delivered = (result as { deliveredMs: AppendJson['acknowledgedMs'] }).deliveredMs
    expect(delivered.distribution.reduce((sum, { count }) => sum + count, 0)).toBe(100)
    expect(delivered.p50).toBeGreaterThan(0)
  })

  it('reads a topic that it kept, and never removes one that was there', async () => {
    const kept = await bench('append', '--topic', 'kept', '--size', '100KiB', '--batch', '10', '--keep')
    expect(kept, kept.stderr).toMatchObject({ exitCode: 0 })
    expect(kept.stderr).toContain('millrace topics delete kept')
    const stored = (await readAll(cluster.urls[0]!, 'kept')).length
    const read = await bench('read', '--topic', 'kept', '--duration', '300ms', '--warm-up', '0s', '--json')
    expect(read, read.stderr).toMatchObject({ exitCode: 0, stderr: '' })
    const { passes } = JSON.parse(read.stdout) as { passes: { records: number; bytes: number; whole: boolean }[] }
    expect(JSON.parse(read.stdout)).toMatchObject({ workload: 'read', topic: 'kept', foreign: 0 })
    for (const pass of passes.filter(({ whole }) => whole))
      expect(pass).toMatchObject({ records: stored, bytes: stored * 1024 })
    expect(passes.filter(({ whole }) => whole).length).toBeGreaterThan(0)
    expect(await topics()).toContain('kept')
    const more = await bench(
      'append',
      '--topic',
      'kept',
      '--size',
      '10KiB',
      '--batch',
      '5',
      '--warm-up',
      '0s',
      '--check',
    )
    expect(more, more.stderr).toMatchObject({ exitCode: 0, stderr: '' })
    expect(more.stdout).toContain('read back: ok')
    expect(await readAll(cluster.urls[0]!, 'kept')).toHaveLength(stored + 10)
  })

  it("leaves a topic with somebody else's records alone, however few", async () => {
    const url = cluster.urls[0]!
    await createTopic(url, 'theirs', 1)
    await appendOne(url, 'theirs', 'an order')
    for (const workload of ['append', 'latency', 'read']) {
      const refused = await bench(workload, '--topic', 'theirs')
      expect(refused, workload).toMatchObject({ exitCode: 2, stdout: '', stderr: expect.stringMatching(ONE_LINE) })
      expect(refused.stderr).toContain('millrace bench did not append')
    }
    expect(await readAll(url, 'theirs')).toHaveLength(1)
    // One at the end of many of its own is seen too.
    await bench('append', '--topic', 'mixed', '--size', '10KiB', '--batch', '5', '--warm-up', '0s', '--keep')
    await appendOne(url, 'mixed', 'an order')
    expect(await bench('append', '--topic', 'mixed')).toMatchObject({ exitCode: 2, stdout: '' })
    expect(await readAll(url, 'mixed')).toHaveLength(11)
  })

  it('Ctrl-C ends it, with what was measured, and removes its topic', async () => {
    const before = await topics()
    await using running = startMillrace(['bench', 'append', '--duration', '10m', '--url', cluster.urls[0]!])
    await waitFor(async () => (await topics()).length > before.length, { what: 'its topic', timeoutMs: 20_000 })
    running.process.kill('SIGINT')
    const ended = await running.ended
    expect(ended, ended.stderr).toMatchObject({ exitCode: 130, stderr: '' })
    expect(ended.stdout).toContain('none is lost, none is there twice')
    expect(await topics()).toEqual(before)
  })
})
