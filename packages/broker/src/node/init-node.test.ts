// An `init` that ends after any of its steps: the next one finishes it, and nothing else is ever founded again.
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

import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspectDataFolder } from '@millrace/log-store'
import pino from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import type { NodeConfig } from '../config/node-config.ts'
import { StartError } from '../start-error.ts'
import { clusterConfigs } from '../testing/durable-cluster.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import { foundingOf } from './founding.ts'
import { initCluster, initNode } from './init-node.ts'
import { serveNode } from './serve-node.ts'
import { startBroker } from './start-broker.ts'

afterEach(() => {
  steps.before = () => {}
})

const hooks = {
  onFatal: (error: Error) => {
    throw error
  },
  log: pino({ level: 'silent' }),
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    reason => reason,
  )
  if (error instanceof StartError) return error.code
  throw error ?? new Error('was not refused')
}

async function oneConfig(): Promise<NodeConfig> {
  return (await clusterConfigs(1, {}))[0]!
}

/** What `init` leaves when it is killed before each of its steps, one folder per distinct state, in order. */
async function interrupted(config: NodeConfig): Promise<readonly string[]> {
  const folder = temporaryFolder()
  const states: string[] = []
  let last = ''
  let busy = false
  steps.before = () => {
    if (busy || !existsSync(config.dataDir)) return
    busy = true
    const state = contentOf(config.dataDir)
    if (state !== last) {
      last = state
      const copy = join(folder, String(states.length))
      cpSync(config.dataDir, copy, { recursive: true })
      states.push(copy)
    }
    busy = false
  }
  await initNode(config, { clusterId: 'c' })
  steps.before = () => {}
  return states
}

/** Names and bytes of all files, but for who owns the folder and the pages of the state. */
function contentOf(dataDir: string): string {
  const names = readdirSync(dataDir, { recursive: true, withFileTypes: true })
  return names
    .filter(entry => entry.name !== 'owner')
    .map(
      entry => join(entry.parentPath, entry.name) + contentOfFile(join(entry.parentPath, entry.name), entry.isFile()),
    )
    .sort()
    .join('\n')
}

const contentOfFile = (path: string, isFile: boolean): string =>
  isFile && !path.includes('/state') ? readFileSync(path).toString('base64') : ''

test('a cluster id is for the nodes that it was made for', async () => {
  const [first, second, third] = await clusterConfigs(3)
  const { clusterId } = await initNode(first!)
  const alone = { ...third!, cluster: { nodes: third!.cluster.nodes.slice(2) } }
  const fewer = { ...third!, cluster: { nodes: third!.cluster.nodes.slice(1) } }
  for (const config of [alone, fewer]) {
    await expect(initNode(config, { clusterId })).rejects.toThrow(
      /made for another list of founding nodes than (2, )?3/,
    )
    expect(existsSync(config.dataDir)).toBe(false)
  }
  const turned = { ...second!, cluster: { nodes: second!.cluster.nodes.toReversed() } }
  expect(await initNode(turned, { clusterId })).toEqual({ clusterId })
  expect(await initNode(third!, { clusterId })).toEqual({ clusterId })
})

describe('an interrupted init', () => {
  test('is finished by the next, with the same cluster id, wherever it ended', async () => {
    const config = await oneConfig()
    const states = await interrupted(config)
    const begun: string[] = []
    for (const dataDir of states) {
      const { state } = await foundingOf(dataDir)
      begun.push(state)
      if (state === 'prepared') expect(await codeOf(initNode({ ...config, dataDir }))).toBe('FOLDER_NOT_EMPTY')
      else {
        const { clusterId } = await initNode({ ...config, dataDir })
        if (state === 'begun') expect(clusterId).toBe('c')
      }
      const folder = await inspectDataFolder(dataDir)
      expect(folder).toMatchObject({ kind: 'existing', identity: { nodeId: 1 } })
      await using node = await serveNode({ ...config, dataDir }, hooks)
      expect((await fetch(`${node.url}/livez`)).status).toBe(200)
    }
    expect(new Set(begun)).toEqual(new Set(['none', 'begun', 'prepared']))
    expect(begun.filter(state => state === 'begun').length).toBeGreaterThan(1)
  }, 60_000)

  test('is not served, and the refusal says what to do', async () => {
    const config = await oneConfig()
    const states = await interrupted(config)
    for (const dataDir of states) {
      if ((await foundingOf(dataDir)).state !== 'begun') continue
      await expect(serveNode({ ...config, dataDir }, hooks)).rejects.toThrow('its init was interrupted; run init again')
      expect(await initNode({ ...config, dataDir })).toEqual({ clusterId: 'c' })
    }
  })

  test('is finished by startBroker', async () => {
    const config = await oneConfig()
    for (const dataDir of await interrupted(config)) {
      if ((await foundingOf(dataDir)).state !== 'begun') continue
      await using broker = await startBroker({ dataDir })
      expect(broker.clusterId).toBe('c')
    }
  })

  test('is not finished for another node or cluster', async () => {
    const config = await oneConfig()
    const dataDir = await firstBegun(config)
    expect(await codeOf(initNode({ ...config, dataDir }, { clusterId: 'd' }))).toBe('FOLDER_NOT_EMPTY')
    expect(await codeOf(initNode({ ...config, dataDir, node: 2, cluster: { nodes: [] } }))).toBe('FOLDER_NOT_EMPTY')
    expect(await initNode({ ...config, dataDir })).toEqual({ clusterId: 'c' })
  })

  test('is finished with the other nodes of its cluster', async () => {
    const [first, second] = await clusterConfigs(2, {})
    const dataDir = await firstBegun(first!)
    expect(await initCluster([{ ...first!, dataDir }, second!])).toEqual({ clusterId: 'c' })
    expect(await foundingOf(second!.dataDir)).toMatchObject({ state: 'prepared', identity: { clusterId: 'c' } })
  })

  test('has made no replica, and nothing a replica could be in', async () => {
    const config = await oneConfig()
    await initNode(config)
    expect(
      readdirSync(config.dataDir)
        .filter(name => name !== 'owner')
        .toSorted(),
    ).toEqual(['founding', 'identity'])
  })
})

describe('a folder on which a node has run is never founded again', () => {
  test.each([[['log']], [['log/groups']], [['state']], [['log', 'state']]])('without %j', async lost => {
    const config = await oneConfig()
    await initNode(config)
    await (await serveNode(config, hooks)).close()
    for (const name of lost) rmSync(join(config.dataDir, name), { recursive: true })
    expect(await codeOf(initNode(config))).toBe('FOLDER_NOT_EMPTY')
    if (lost[0] !== 'state') await expect(serveNode(config, hooks)).rejects.toThrow()
    expect(await codeOf(initNode(config))).toBe('FOLDER_NOT_EMPTY')
  })

  test('nor one that has data and no longer says so', async () => {
    const config = await oneConfig()
    await initNode(config)
    await (await serveNode(config, hooks)).close()
    for (const name of ['served', 'founding']) rmSync(join(config.dataDir, name))
    expect(await foundingOf(config.dataDir)).toMatchObject({ state: 'founded' })
    expect(await codeOf(initNode(config))).toBe('FOLDER_NOT_EMPTY')
    rmSync(join(config.dataDir, 'log/groups'), { recursive: true })
    await expect(serveNode(config, hooks)).rejects.toThrow()
    expect(await codeOf(initNode(config))).toBe('FOLDER_NOT_EMPTY')
  })

  test('nor is a replica made where only the intent is left of what a node says of itself', async () => {
    const config = await oneConfig()
    await initNode(config)
    const node = await serveNode(config, hooks)
    await expect.poll(() => node.context.topics.catalogue.leading).toBe(true)
    await node.close()
    rmSync(join(config.dataDir, 'served'))
    expect(await codeOf(serveNode(config, hooks))).toBe('STORAGE_DAMAGED')
    rmSync(join(config.dataDir, 'log/groups'), { recursive: true })
    expect(await codeOf(serveNode(config, hooks))).toBe('STORAGE_DAMAGED')
  })

  test('nor is a damaged intent a reason to', async () => {
    const config = await oneConfig()
    await initNode(config)
    const path = join(config.dataDir, 'founding')
    for (const text of ['', '{"nodes":[]}\n', '{"nodes":[1]', '{"nodes":[1,]}\n']) {
      writeFileSync(path, text)
      expect(await codeOf(serveNode(config, hooks))).toBe('STORAGE_DAMAGED')
      expect(await codeOf(initNode(config))).toBe('STORAGE_DAMAGED')
    }
    writeFileSync(path, '{"nodes":[1,2]}\n')
    expect(await codeOf(serveNode(config, hooks))).toBe('CONFIG_INVALID')
    expect(await codeOf(startBroker({ dataDir: config.dataDir }))).toBe('CONFIG_INVALID')
  })

  test('nor one with data and no identity', async () => {
    const config = await oneConfig()
    await initNode(config)
    rmSync(join(config.dataDir, 'identity'))
    expect(await codeOf(initNode(config))).toBe('IDENTITY_MISMATCH')
    writeFileSync(join(config.dataDir, 'identity'), 'nonsense')
    expect(await codeOf(initNode(config))).toBe('IDENTITY_MISMATCH')
  })
})

async function firstBegun(config: NodeConfig): Promise<string> {
  for (const dataDir of await interrupted(config)) {
    if ((await foundingOf(dataDir)).state === 'begun') return dataDir
  }
  throw new Error('init had no step between its first and its last')
}
