import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  appendOne,
  type CommandResult,
  createTopic,
  freePorts,
  isRoot,
  LocalCluster,
  ONE_LINE,
  readAll,
  runMillrace,
  startCluster,
  startMillrace,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
} from './testkit.ts'

interface Node {
  readonly configFile: string
  readonly url: string
  readonly ports: readonly number[]
}

async function configure(folder: string, dataDir: string, change: object = {}): Promise<Node> {
  const ports = await freePorts(3)
  const [client, peer, admin] = ports.map(port => `127.0.0.1:${port}`)
  const configFile = join(folder, 'millrace.json')
  const config = { node: 1, dataDir, listen: { client, peer, admin }, storage: { diskReserveBytes: 0 }, ...change }
  writeFileSync(configFile, JSON.stringify(config))
  return { configFile, url: `http://${client}`, ports }
}

function serve(node: Node): Promise<CommandResult> {
  return runMillrace(['serve', '--config', node.configFile])
}

/** Runs the node and looks that a record which was stored before is there and another one can be. */
async function isUndamaged(node: Node, records: readonly string[]): Promise<void> {
  await using running = startMillrace(['serve', '--config', node.configFile])
  await waitFor(() => fetch(`${node.url}/readyz`).then(response => response.ok), {
    what: 'the node',
    timeoutMs: 30_000,
  })
  expect((await readAll(node.url, 'kept')).map(record => record.value)).toEqual(records)
  await appendOne(node.url, 'kept', 'one more')
  running.process.kill('SIGTERM')
  expect(await running.ended).toMatchObject({ exitCode: 0 })
}

async function storeOne(node: Node): Promise<void> {
  expect(await runMillrace(['init', '--config', node.configFile])).toMatchObject({ exitCode: 0 })
  await using running = startMillrace(['serve', '--config', node.configFile])
  await waitFor(() => fetch(`${node.url}/readyz`).then(response => response.ok), {
    what: 'the node',
    timeoutMs: 30_000,
  })
  await createTopic(node.url, 'kept', 1)
  await appendOne(node.url, 'kept', 'before')
  running.process.kill('SIGTERM')
  expect(await running.ended).toMatchObject({ exitCode: 0 })
}

describe('a start that cannot be: one clear line on stderr and a non-zero exit, nothing damaged', () => {
  let folder: TemporaryFolder
  let mounted: string | undefined
  beforeEach(() => {
    folder = temporaryFolder('refusal')
    mounted = undefined
  })
  afterEach(() => {
    if (mounted !== undefined) spawnSync('umount', [mounted])
    folder[Symbol.dispose]()
  })

  /** Mounts a small file system; says whether it could. */
  function mount(path: string, options: string): boolean {
    mkdirSync(path, { recursive: true })
    const done = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]).status === 0
    if (done) mounted = path
    return done
  }

  it('ports in use', async () => {
    const node = await configure(folder.path, join(folder.path, 'data'))
    await storeOne(node)
    for (const [at, name] of ['client', 'peer', 'admin'].entries()) {
      const port = node.ports[at]!
      const blocker = createServer()
      await new Promise<void>(resolve => blocker.listen(port, '127.0.0.1', resolve))
      const result = await serve(node)
      await new Promise(resolve => blocker.close(resolve))
      expect(result, name).toMatchObject({ exitCode: 4, stderr: expect.stringMatching(ONE_LINE) })
      expect(result.stderr).toContain(String(port))
    }
    await isUndamaged(node, ['before'])
  })

  it('a read-only data folder', async ({ skip }) => {
    const dataDir = join(folder.path, 'data')
    const node = await configure(folder.path, dataDir)
    if (isRoot && !mount(dataDir, 'size=512m')) skip('root cannot mount here, and no mode keeps root from writing')
    await storeOne(node)
    const lock = (mode: 'ro' | 'rw'): void => {
      if (mounted === undefined) chmodSync(dataDir, mode === 'ro' ? 0o555 : 0o755)
      else spawnSync('mount', ['-o', `remount,${mode}`, mounted])
    }
    lock('ro')
    const result = await serve(node)
    lock('rw')
    expect(result).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(ONE_LINE) })
    expect(result.stderr).toContain(dataDir)
    await isUndamaged(node, ['before'])
  })

  it('a full data folder', async ({ skip }) => {
    if (!isRoot) skip('only root can mount a small file system')
    const dataDir = join(folder.path, 'data')
    if (!mount(dataDir, 'size=64m')) skip('this machine does not let root mount')
    const node = await configure(folder.path, dataDir, {
      storage: { diskReserveBytes: '8MiB', segmentBytesMax: '4MiB' },
    })
    await storeOne(node)
    const ballast = join(dataDir, 'ballast')
    mkdirSync(ballast)
    spawnSync('dd', ['if=/dev/zero', `of=${join(ballast, 'file')}`, 'bs=64k'], { stdio: 'ignore' })
    const result = await runOnFullDisk(node)
    expect(result).toMatchObject({ stderr: expect.stringMatching(/^(millrace: [^\n]+\n)?$/) })
    rmSync(ballast, { recursive: true })
    await isUndamaged(node, ['before'])
  })

  /** A start that fails is a result. One that succeeds must serve what is there, refuse appends by name, and stop. */
  async function runOnFullDisk(node: Node): Promise<CommandResult> {
    await using running = startMillrace(['serve', '--config', node.configFile])
    const alive = waitFor(() => fetch(`${node.url}/livez`).then(response => response.ok), {
      what: 'life',
      timeoutMs: 30_000,
    })
    const failed = await Promise.race([running.ended, alive.then(() => undefined)])
    if (failed !== undefined) {
      alive.catch(() => undefined)
      expect(failed).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(ONE_LINE) })
      return failed
    }
    const refused = async (): Promise<boolean> => {
      const refusal = await appendOne(node.url, 'kept', 'x'.repeat(100_000)).catch(String)
      return String(refusal).includes('DISK_FULL')
    }
    await waitFor(refused, { what: 'the refusal by its name', timeoutMs: 20_000 })
    expect((await readAll(node.url, 'kept')).map(record => record.value)).toEqual(['before'])
    running.process.kill('SIGTERM')
    return await running.ended
  }

  it('a corrupt setting', async () => {
    const node = await configure(folder.path, join(folder.path, 'data'))
    await storeOne(node)
    for (const [setting, words] of [
      ['log.level=loud', 'must be one of'],
      ['storage.segmentBytesMax=many', 'segmentBytesMax'],
      ['storage.segmentBytes=1MiB', 'did you mean storage.segmentBytesMax'],
      ['listen.client=7070', 'host:port'],
    ] as const) {
      const result = await runMillrace(['serve', '--config', node.configFile, '--set', setting])
      expect(result, setting).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(ONE_LINE) })
      expect(result.stderr).toContain(words)
    }
    writeFileSync(join(folder.path, 'broken.yaml'), 'listen: [')
    const broken = await runMillrace(['serve', '--config', join(folder.path, 'broken.yaml')])
    expect(broken).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(ONE_LINE) })
    await isUndamaged(node, ['before'])
  })

  it('a second process on the same data folder', async () => {
    const dataDir = join(folder.path, 'data')
    const node = await configure(folder.path, dataDir)
    await storeOne(node)
    await using running = startMillrace(['serve', '--config', node.configFile])
    await waitFor(() => fetch(`${node.url}/readyz`).then(response => response.ok), {
      what: 'the node',
      timeoutMs: 30_000,
    })
    mkdirSync(join(folder.path, 'second'))
    const second = await serve(await configure(join(folder.path, 'second'), dataDir))
    expect(second).toMatchObject({ exitCode: 4, stderr: expect.stringMatching(ONE_LINE) })
    expect(second.stderr).toContain(dataDir)
    expect((await readAll(node.url, 'kept')).map(record => record.value)).toEqual(['before'])
    running.process.kill('SIGTERM')
    await running.ended
    await isUndamaged(node, ['before'])
  })
})

describe('founding', () => {
  it('`serve` on an empty folder of an existing cluster never founds a new one; only `init` and `dev` do', async () => {
    await using cluster = await startCluster()
    await createTopic(cluster.urls[0]!, 'kept')
    await appendOne(cluster.urls[0]!, 'kept', 'before')
    const emptied = cluster.nodes[2]!
    await emptied.crash()
    rmSync(emptied.layout.dataDir, { recursive: true })
    for (const folder of ['that is not there', 'that is empty']) {
      if (folder === 'that is empty') mkdirSync(emptied.layout.dataDir)
      const result = await runMillrace(['serve', '--config', emptied.layout.configFile])
      expect(result, folder).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(ONE_LINE) })
      expect(result.stderr).toContain('init')
    }
    // The others are what they were, and `init` does not touch what is there.
    const again = await runMillrace(['init', '--config', cluster.nodes[0]!.layout.configFile])
    expect(again).toMatchObject({ exitCode: expect.toBeOneOf([2, 4]), stderr: expect.stringMatching(ONE_LINE) })
    await appendOne(cluster.urls[0]!, 'kept', 'after')
    const values = (await readAll(cluster.urls[1]!, 'kept')).map(({ value }) => value)
    expect(values.toSorted()).toEqual(['after', 'before'])
  })
  it('`init` under the name of a cluster, with a config that lists this node only, makes nothing', async () => {
    using folder = temporaryFolder('alone')
    const [client = 0, peer = 0, admin = 0] = await freePorts(3)
    const cluster = new LocalCluster({ folder: folder.path, ports: [{ client, peer, admin }] })
    cluster.configure()
    const { configFile, dataDir } = cluster.layouts[0]!
    const named = await runMillrace(['init', '--config', configFile, '--cluster-id', 'prod'])
    expect(named).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(ONE_LINE) as string })
    expect(named.stderr).toContain('cluster.nodes lists this node only')
    expect(existsSync(dataDir)).toBe(false)
  })

  it('`init` on each node, with the id that the first one prints, founds one cluster', async () => {
    using folder = temporaryFolder('init')
    const free = await freePorts(9)
    const ports = [0, 1, 2].map(at => ({ client: free[at]!, peer: free[at + 3]!, admin: free[at + 6]! }))
    const cluster = new LocalCluster({ folder: folder.path, ports })
    cluster.configure()
    const [first, ...others] = cluster.layouts.map(layout => layout.configFile)
    const { stdout } = await runMillrace(['init', '--config', first!, '--json'])
    const { clusterId } = JSON.parse(stdout) as { clusterId: string }
    for (const configFile of others)
      expect(await runMillrace(['init', '--config', configFile, '--cluster-id', clusterId])).toMatchObject({
        exitCode: 0,
      })
    try {
      await cluster.start()
      await createTopic(cluster.urls[0]!, 'kept')
      await appendOne(cluster.urls[1]!, 'kept', 'hello')
      expect((await readAll(cluster.urls[2]!, 'kept')).map(({ value }) => value)).toEqual(['hello'])
    } finally {
      await cluster.crash()
    }
  })

  it('waits for all nodes, also when they are killed meanwhile; one that lost its folder is refused by the others', async () => {
    using folder = temporaryFolder('founding')
    const free = await freePorts(9)
    const ports = [0, 1, 2].map(at => ({ client: free[at]!, peer: free[at + 3]!, admin: free[at + 6]! }))
    const cluster = new LocalCluster({ folder: folder.path, ports })
    cluster.configure()
    const prepare = (node: number): Promise<CommandResult> =>
      runMillrace(['init', '--config', cluster.layouts[node]!.configFile, '--cluster-id', 'c'])
    for (const node of [0, 1, 2]) expect(await prepare(node)).toMatchObject({ exitCode: 0 })
    const waits = (node: number, words: string): Promise<unknown> =>
      waitFor(
        async () => (await (await fetch(`${cluster.urls[node]}/readyz`)).text()).includes(`waiting for ${words} of`),
        { what: `node ${node + 1} to wait for ${words}`, timeoutMs: 30_000 },
      )
    try {
      await Promise.all([0, 1].map(node => cluster.nodes[node]!.start()))
      await Promise.all([0, 1].map(node => waits(node, 'node 3')))
      await cluster.nodes[0]!.crash()
      await waits(1, 'nodes 1, 3')
      // Nobody is waited for beyond the wish to stop.
      expect(await cluster.nodes[1]!.stop()).toMatchObject({ code: 0 })
      await cluster.start()
      await createTopic(cluster.urls[0]!, 'kept')
      await appendOne(cluster.urls[1]!, 'kept', 'before')

      await cluster.nodes[2]!.crash()
      rmSync(cluster.layouts[2]!.dataDir, { recursive: true })
      expect(await prepare(2)).toMatchObject({ exitCode: 0 })
      const back = await runMillrace(['serve', '--config', cluster.layouts[2]!.configFile])
      expect(back).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(ONE_LINE) })
      expect(back.stderr).toMatch(/cluster c exists: node [12] has its catalogue/)
      await appendOne(cluster.urls[0]!, 'kept', 'after')
      const values = (await readAll(cluster.urls[1]!, 'kept')).map(({ value }) => value)
      expect(values.toSorted()).toEqual(['after', 'before'])
    } finally {
      await cluster.crash()
    }
  })
})
