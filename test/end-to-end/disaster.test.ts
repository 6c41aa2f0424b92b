import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import {
  appendOne,
  createTopic,
  type RunningCommand,
  readAll,
  runMillrace,
  type Stored,
  startCluster,
  startMillrace,
  type TestCluster,
  temporaryFolder,
  waitFor,
} from './testkit.ts'

interface Acknowledged extends Stored {
  readonly value: string
}

/** Writers over HTTP, until they are stopped; what is not answered is neither promised nor denied. */
class Writers {
  readonly acknowledged: Acknowledged[] = []
  readonly #stop = new AbortController()
  readonly #running: Promise<unknown>

  constructor(urls: readonly string[], topic: string) {
    this.#running = Promise.all(urls.map((url, writer) => this.#write(url, topic, `writer ${writer}`)))
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #write(url: string, topic: string, name: string): Promise<void> {
    for (let count = 0; !this.#stop.signal.aborted; count++) {
      const value = `${name}, ${count}`
      try {
        const stored = await fetch(`${url}/v1/topics/${topic}/records`, { method: 'POST', body: Buffer.from(value) })
        if (stored.ok) this.acknowledged.push({ ...((await stored.json()) as Stored), value })
      } catch {
        // The node was killed under the request.
        await sleep(5)
      }
    }
  }
}

async function underLoad(cluster: TestCluster): Promise<Writers> {
  await createTopic(cluster.urls[0]!, 'orders')
  await cluster.leaders('orders')
  const writers = new Writers(cluster.urls, 'orders')
  await waitFor(() => writers.acknowledged.length > 100, { what: 'acknowledgements', timeoutMs: 60_000 })
  return writers
}

async function expectStored(url: string, acknowledged: readonly Acknowledged[]): Promise<void> {
  const stored = await readAll(url, 'orders')
  const at = new Map(stored.map(record => [`${record.partition}/${record.offset}`, record.value]))
  for (const { partition, offset, value } of acknowledged) expect(at.get(`${partition}/${offset}`)).toBe(value)
}

async function succeeds(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runMillrace(args)
  expect(exitCode, stderr).toBe(0)
  return stdout
}

it('a backup under load, every folder destroyed, restored: everything acknowledged before it is there, at its offset', async () => {
  await using cluster = await startCluster()
  using folder = temporaryFolder('backup')
  const out = join(folder.path, 'backup')
  const writers = await underLoad(cluster)
  const before = writers.acknowledged.slice()
  const created = await runMillrace(['backup', 'create', '--out', out, '--url', cluster.urls[2]!])
  expect(created, created.stderr).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining('3 partitions of 1 topics'),
  })
  await waitFor(() => writers.acknowledged.length > before.length, { what: 'appends that go on', timeoutMs: 60_000 })
  await cluster.processes.crash()
  await writers.stop()
  for (const { layout } of cluster.nodes) rmSync(layout.dataDir, { recursive: true })

  expect(await succeeds('backup', 'verify', out)).toMatch(/^whole$/m)
  const config = (node: number): string => cluster.nodes[node - 1]!.layout.configFile
  const first = JSON.parse(await succeeds('backup', 'restore', out, '--config', config(1), '--json')) as {
    clusterId: string
  }
  for (const node of [2, 3])
    await succeeds('backup', 'restore', out, '--config', config(node), '--cluster-id', first.clusterId)
  await cluster.processes.start()
  await cluster.leaders('orders')
  await expectStored(cluster.urls[1]!, before)
  const again = await runMillrace(['backup', 'restore', out, '--config', config(1)])
  expect(again).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('is not empty') })
})

it('three nodes, killed under load, two folders destroyed: the third goes on with all that it has', async () => {
  await using cluster = await startCluster()
  const writers = await underLoad(cluster)
  await cluster.processes.crash()
  await writers.stop()
  const { layout } = cluster.nodes[2]!
  for (const node of cluster.nodes.slice(0, 2)) rmSync(node.layout.dataDir, { recursive: true })

  const recover = ['cluster', 'recover', '--data-dir', layout.dataDir]
  const refused = await runMillrace(recover)
  expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--accept-data-loss') })
  expect(refused.stdout).toContain('They are lost')
  const report = JSON.parse(await succeeds(...recover, '--accept-data-loss', '--json')) as {
    clusterId: string
    groups: { topic: string; partition: number; nextOffset: number }[]
  }
  const ends = new Map(report.groups.map(({ topic, partition, nextOffset }) => [`${topic}/${partition}`, nextOffset]))
  const held = writers.acknowledged.filter(({ partition, offset }) => offset < ends.get(`orders/${partition}`)!)
  expect(held.length).toBeGreaterThan(50)

  const config = JSON.parse(readFileSync(layout.configFile, 'utf8')) as { cluster: { nodes: { node: number }[] } }
  config.cluster.nodes = config.cluster.nodes.filter(({ node }) => node === 3)
  writeFileSync(layout.configFile, JSON.stringify(config))
  await using node = startMillrace(['serve', '--config', layout.configFile])
  await ready(node, layout.adminUrl)
  await expectStored(layout.clientUrl, held)
  // Every partition takes the next record where its log ended, and new topics work.
  for (const partition of [0, 1, 2])
    expect(await appendOne(layout.clientUrl, 'orders', 'on', partition)).toMatchObject({
      partition,
      offset: ends.get(`orders/${partition}`),
    })
  await createTopic(layout.clientUrl, 'later')
  await appendOne(layout.clientUrl, 'later', 'here')
  expect(await readAll(layout.clientUrl, 'later')).toMatchObject([{ value: 'here' }])
})

async function ready(node: RunningCommand, adminUrl: string): Promise<void> {
  const answers = async (): Promise<boolean> => {
    if (node.process.exitCode !== null) throw new Error(`serve ended: ${node.stderr}${node.stdout}`)
    return await fetch(`${adminUrl}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    )
  }
  await waitFor(answers, { what: 'the node to serve', timeoutMs: 60_000 })
}
