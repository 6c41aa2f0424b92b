// Founding a cluster by all of its nodes: whom it waits for, and a process that is killed before any step of it.
import { vi } from 'vitest'

/** Called before each step that changes something on the disk. */
const steps = vi.hoisted(() => ({ before: () => {} }))
const stepped = vi.hoisted(
  () =>
    <F extends (...args: never[]) => unknown>(step: F): F =>
      ((...args) => {
        steps.before()
        return step(...args)
      }) as F,
)

vi.mock('node:fs', async importOriginal => {
  const real = await importOriginal<typeof import('node:fs')>()
  const { open, mkdir, rename, unlink, writev, fdatasync, fsync } = real
  const changed = { open, mkdir, rename, unlink, writev, fdatasync, fsync }
  return { ...real, ...Object.fromEntries(Object.entries(changed).map(([name, step]) => [name, stepped(step)])) }
})
vi.mock('node:fs/promises', async importOriginal => {
  const real = await importOriginal<typeof import('node:fs/promises')>()
  return { ...real, open: stepped(real.open), rename: stepped(real.rename) }
})

import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type GroupLog, openSegmentedLogStore } from '@millrace/log-store'
import type { RaftNode } from '@millrace/raft-node'
import pino from 'pino'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import type { NodeConfig } from '../config/node-config.ts'
import { StartError } from '../start-error.ts'
import { clusterConfigs } from '../testing/durable-cluster.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import { foundCluster } from './found-cluster.ts'
import { initCluster, initNode } from './init-node.ts'
import type { RunningNode } from './running-node.ts'
import { serveNode } from './serve-node.ts'

const running: RunningNode[] = []
let stop = new AbortController()
afterEach(async () => {
  steps.before = () => {}
  stop.abort('the test is over')
  stop = new AbortController()
  await Promise.all(running.splice(0).map(node => node.close()))
})

const PATIENCE = { timeout: 20_000, interval: 50 }
const silent = pino({ level: 'silent' })

async function serve(config: NodeConfig, log = silent): Promise<RunningNode> {
  const onFatal = (error: Error) => {
    throw error
  }
  const node = await serveNode(config, { onFatal, log, signal: stop.signal })
  running.push(node)
  return node
}

async function refusal(starting: Promise<unknown>): Promise<StartError> {
  const error: unknown = await starting.then(
    () => new Error('was not refused'),
    reason => reason,
  )
  if (error instanceof StartError) return error
  throw error
}

/** A log whose lines can be looked at. */
function lines(): { readonly log: pino.Logger; readonly said: string[] } {
  const said: string[] = []
  const write = (line: string) => said.push((JSON.parse(line) as { msg: string }).msg)
  return { log: pino({ level: 'info' }, { write }), said }
}

describe('a founding', () => {
  test('waits for every node, says for whom, and goes on when they come', async () => {
    const configs = await clusterConfigs(3)
    await initCluster(configs)
    const { log, said } = lines()
    const first = serve(configs[0]!, log)
    const waits = () => said.filter(line => line.includes('founding waits'))
    await expect.poll(() => waits().at(-1), PATIENCE).toContain('the founding waits for nodes 2, 3: all of 1, 2, 3')
    const { client, admin } = configs[0]!.listen
    for (const port of [client, admin]) {
      const response = await fetch(`http://${port}/readyz`)
      expect(response.status).toBe(503)
      expect(await response.json()).toMatchObject({
        reasons: ['the cluster is being founded: waiting for nodes 2, 3 of 1, 2, 3'],
      })
      expect((await fetch(`http://${port}/livez`)).status).toBe(200)
    }
    expect(await (await fetch(`http://${client}/v1/topics`)).text()).toMatch(/"NO_LEADER".*waiting for nodes 2, 3/)
    const second = serve(configs[1]!)
    await expect.poll(() => waits().at(-1), PATIENCE).toContain('the founding waits for node 3')
    for (const { dataDir } of configs) expect(await replicaIn(dataDir)).toBe(0)
    await Promise.all([first, second, serve(configs[2]!)])
    expect(said).toContain('the cluster is founded')
    await expect.poll(async () => (await fetch(`http://${client}/readyz`)).status, PATIENCE).toBe(200)
    // Once for each change, and not for each question.
    expect(waits().length).toBeLessThanOrEqual(4)
    expect(waits().filter((line, i) => line === waits()[i - 1])).toEqual([])
  }, 30_000)

  test('that waits long says so again from time to time', async () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(0)
    onTestFinished(() => now.mockRestore())
    const said: unknown[] = []
    const log = pino({ level: 'info' }, { write: line => said.push((JSON.parse(line) as { level: number }).level) })
    const bootstrap: RaftNode['bootstrap'] = (_, options) => {
      // Asked once a second, for a minute and a half; then another one is missing, and then none.
      for (let s = 0; s < 90; s++) {
        now.mockReturnValue(s * 1_000)
        options?.waiting?.([2])
      }
      options?.waiting?.([3])
      return Promise.resolve({ group: 0 } as GroupLog)
    }
    const reasons: string[] = []
    await foundCluster({
      node: { bootstrap },
      identity: { clusterId: 'c', nodeId: 1 },
      nodes: [1, 2, 3],
      log,
      notReady: reason => reasons.push(reason),
      signal: undefined,
    })
    const [info, warn] = [30, 40]
    expect(said).toEqual([info, warn, warn, info, info])
    expect(reasons.at(-1)).toBe('the node is starting')
  })

  test('that waits ends when told to, and is done at the next start', async () => {
    const configs = await clusterConfigs(2)
    await initCluster(configs)
    const { log, said } = lines()
    const waiting = expect(serve(configs[0]!, log)).rejects.toBe('enough')
    await expect.poll(() => said.join(), PATIENCE).toContain('the founding waits for node 2')
    stop.abort('enough')
    await waiting
    stop = new AbortController()
    await Promise.all(configs.map(config => serve(config)))
  }, 30_000)

  test('with different lists of nodes is refused by name', async () => {
    const configs = await clusterConfigs(3)
    const [, second, third] = configs
    const few: NodeConfig = { ...second!, cluster: { nodes: second!.cluster.nodes.slice(0, 2) } }
    await initNode(few, { clusterId: 'c' })
    await initNode(third!, { clusterId: 'c' })
    await initNode(configs[0]!, { clusterId: 'c' })
    const others = [serve(configs[0]!), serve(third!)].map(starting => starting.catch((error: unknown) => error))
    // Who hears of it first ends, and the others may only see that it is not there.
    const last = serve(few).catch((error: unknown) => error)
    const error = await Promise.race([...others, last])
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
    expect(String(error)).toMatch(/node \d founds cluster c with other nodes than 1, 2/)
    stop.abort('enough')
    await Promise.all([...others, last])
    for (const { dataDir } of configs) expect(await replicaIn(dataDir)).toBe(0)
  }, 30_000)

  test('by a config that lists other nodes than init was given is refused', async () => {
    const [first, second] = await clusterConfigs(2)
    await initNode({ ...first!, cluster: { nodes: [first!.cluster.nodes[0]!] } }, { clusterId: 'c' })
    const error = await refusal(serve(first!))
    expect(error.code).toBe('CONFIG_INVALID')
    expect(error.message).toMatch(/founded by the nodes 1, and cluster.nodes lists 1, 2/)
    expect(existsSync(second!.dataDir)).toBe(false)
  })
})

/** Id of the catalogue's replica in a folder; 0: none. */
async function replicaIn(dataDir: string): Promise<number> {
  const copy = join(temporaryFolder(), 'copy')
  if (!existsSync(join(dataDir, 'log'))) return 0
  cpSync(join(dataDir, 'log'), copy, { recursive: true })
  const onFatal = (error: Error) => {
    throw error
  }
  const store = await openSegmentedLogStore({ dir: copy, onFatal, diskReserveBytes: 0 })
  expect(store.refused()).toEqual([])
  const found = store.groups().find(({ group }) => group === 0)?.recovered.replicaId ?? 0
  await store.close()
  return found
}

/** Names and bytes of all files, but for who owns a folder and the pages of the state. */
function contentOf(folder: string): string {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter(
    entry => entry.isFile() && entry.name !== 'owner' && !entry.parentPath.endsWith('/state'),
  )
  return files
    .map(entry => join(entry.parentPath, entry.name))
    .sort()
    .map(path => path + readFileSync(path).toString('base64'))
    .join('\n')
}

describe('two nodes that are killed while they found their cluster', () => {
  /** Their folders, below one for each step of either of them, and at last when both serve. */
  async function everyStep(): Promise<{ readonly configs: readonly NodeConfig[]; readonly states: readonly string[] }> {
    const quick = { 'raft.heartbeatMs': '20ms', 'raft.electionTimeoutMinMs': '200ms' }
    const configs = await clusterConfigs(2, { 'storage.segmentBytesMax': '4MiB', ...quick })
    await initCluster(configs)
    const copies = temporaryFolder()
    const states: string[] = []
    let last = ''
    let busy = false
    const keep = () => {
      if (busy) return
      busy = true
      const content = configs.map(({ dataDir }) => contentOf(dataDir)).join()
      if (content !== last) {
        last = content
        const state = join(copies, String(states.length))
        for (const { node, dataDir } of configs) cpSync(dataDir, join(state, String(node)), { recursive: true })
        states.push(state)
      }
      busy = false
    }
    steps.before = keep
    await Promise.all(configs.map(config => serve(config)))
    keep()
    steps.before = () => {}
    await Promise.all(running.splice(0).map(node => node.close()))
    return { configs, states }
  }

  const at = (config: NodeConfig, state: string): NodeConfig => ({
    ...config,
    dataDir: join(state, String(config.node)),
  })

  test('found it when they are started again, each with the one replica that it may have', async () => {
    const { configs, states } = await everyStep()
    expect(states.length).toBeGreaterThan(10)
    for (const state of states) {
      const born = await Promise.all(configs.map(config => replicaIn(at(config, state).dataDir)))
      const served = configs.map(config => existsSync(join(at(config, state).dataDir, 'served')))
      // Who says that it is over was told by the other that it was born.
      if (served.includes(true)) expect(born).toEqual([1, 2])
      const nodes = await Promise.all(configs.map(config => serve(at(config, state))))
      await expect.poll(() => nodes.some(node => node.context.topics.catalogue.leading), PATIENCE).toBe(true)
      await Promise.all(running.splice(0).map(node => node.close()))
      const replicas = await Promise.all(configs.map(config => replicaIn(at(config, state).dataDir)))
      expect(replicas).toEqual([1, 2])
    }
  }, 120_000)

  test('come back beside one that went on only where they still have what they said they had', async () => {
    const { configs, states } = await everyStep()
    const [first, second] = configs as [NodeConfig, NodeConfig]
    const outcomes = new Set<boolean>()
    for (const state of states) {
      const born = (await replicaIn(at(first, state).dataDir)) === 1
      outcomes.add(born)
      const survivor = serve(second)
      if (born) await Promise.all([survivor, serve(at(first, state))])
      else {
        expect((await refusal(serve(at(first, state)))).code).toBe('CLUSTER_EXISTS')
        expect(await replicaIn(at(first, state).dataDir)).toBe(0)
        await survivor
      }
      await Promise.all(running.splice(0).map(node => node.close()))
    }
    expect(outcomes).toEqual(new Set([true, false]))
  }, 120_000)
})
