import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import { createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { ClusterService } from '@millrace/proto'
import pino from 'pino'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { NodeConfig } from '../config/node-config.ts'
import { StartError } from '../start-error.ts'
import { clusterConfigs, type DurableCluster, durableCluster } from '../testing/durable-cluster.ts'
import { initCluster, initNode } from './init-node.ts'
import { serveNode } from './serve-node.ts'

const onFatal = (error: Error) => {
  throw error
}
const silent = { onFatal, log: pino({ level: 'silent' }) }

async function refusal(promise: Promise<unknown>): Promise<StartError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof StartError) return error
    throw error
  }
  throw new Error('was not refused')
}

async function oneConfig(changes: Record<string, unknown> = {}): Promise<NodeConfig> {
  return (await clusterConfigs(1, changes))[0]!
}

describe('serve and init', () => {
  test('serve on an empty folder never founds a cluster; only init does', async () => {
    const config = await oneConfig()
    const missing = await refusal(serveNode(config, silent))
    expect(missing.code).toBe('FOLDER_EMPTY')
    expect(missing.message).toContain('use init')
    expect(existsSync(config.dataDir)).toBe(false)
    mkdirSync(config.dataDir)
    expect((await refusal(serveNode(config, silent))).code).toBe('FOLDER_EMPTY')
    expect(readdirSync(config.dataDir)).toEqual([])
    await initNode(config)
    await using node = await serveNode(config, silent)
    expect((await fetch(`${node.url}/livez`)).status).toBe(200)
  })

  test('init refuses over existing data and changes nothing', async () => {
    const config = await oneConfig()
    const { clusterId } = await initNode(config)
    const error = await refusal(initNode(config))
    expect(error.code).toBe('FOLDER_NOT_EMPTY')
    expect(error.message).toContain(clusterId)
    const cluster = await clusterConfigs(2)
    await initNode(cluster[1]!, { clusterId: 'c' })
    expect((await refusal(initCluster(cluster))).code).toBe('FOLDER_NOT_EMPTY')
    expect(existsSync(cluster[0]!.dataDir)).toBe(false)
  })

  test('a folder of another node is refused', async () => {
    const [first, second] = await clusterConfigs(2)
    await initNode(first!, { clusterId: 'c' })
    const error = await refusal(serveNode({ ...second!, dataDir: first!.dataDir }, silent))
    expect(error.code).toBe('IDENTITY_MISMATCH')
    expect(error.message).toMatch(/node 1 .*not to node 2/)
  })

  test('a node that its own cluster.nodes does not list is refused', async () => {
    const [first] = await clusterConfigs(2)
    expect((await refusal(serveNode({ ...first!, node: 9 }, silent))).code).toBe('CONFIG_INVALID')
    expect((await refusal(initNode({ ...first!, node: 9 }))).code).toBe('CONFIG_INVALID')
  })

  test('a non-loopback listener is refused unless listen.plaintext: true says so by name', async () => {
    const config = await oneConfig({ 'listen.client': '0.0.0.0:0' })
    await initNode(config)
    expect((await refusal(serveNode(config, silent))).code).toBe('PLAINTEXT_REFUSED')
    const lines: string[] = []
    const log = pino({ level: 'warn' }, { write: line => lines.push(line) })
    const listen = { ...config.listen, plaintext: true }
    const node = await serveNode({ ...config, listen }, { onFatal, log })
    await node.close()
    expect(lines.join('')).toContain('listen.client 0.0.0.0:0 is open to the network')
  })

  test.each(['client', 'peer', 'admin'] as const)('a %s port in use is named, and nothing stays open', async name => {
    const config = await oneConfig()
    await initNode(config)
    const port = Number(config.listen[name].split(':')[1])
    const server = createServer()
    await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
    const error = await refusal(serveNode(config, silent))
    expect(error.code).toBe('PORT_IN_USE')
    expect(error.message).toContain(`listen.${name}: port ${port}`)
    await new Promise(resolve => server.close(resolve))
    await using node = await serveNode(config, silent)
    expect(node.nodeId).toBe(1)
  })

  test('a second process on the same data folder is refused', async () => {
    const config = await oneConfig()
    await initNode(config)
    await using node = await serveNode(config, silent)
    const [other] = await clusterConfigs(1)
    expect((await refusal(serveNode({ ...other!, dataDir: config.dataDir }, silent))).code).toBe('FOLDER_IN_USE')
    expect((await fetch(`${node.url}/livez`)).status).toBe(200)
  })
})

describe('three nodes, real sockets, real files', () => {
  let cluster: DurableCluster | undefined
  afterEach(async () => cluster?.close())

  const urls = () => cluster!.configs.map(({ listen }) => `http://${listen.client}`)
  const curl = async (...args: string[]) => (await promisify(execFile)('curl', ['-sS', ...args])).stdout

  async function start(flags: Record<string, unknown> = {}): Promise<void> {
    cluster = await durableCluster(3, flags)
    await Promise.all([1, 2, 3].map(node => cluster!.start(node)))
    const response = await fetch(`${urls()[1]}/v1/topics`, { method: 'POST', body: '{"name":"demo","partitions":3}' })
    expect(response.status).toBe(201)
  }

  async function values(url: string): Promise<string[]> {
    const text = await (await fetch(`${url}/v1/topics/demo/records?from=earliest`)).text()
    const lines = text.split('\n').filter(line => line !== '')
    return lines.map(line => (JSON.parse(line) as { value: string }).value).toSorted()
  }

  test('every curl line works against each node while leaders are spread', async () => {
    await start()
    await expect
      .poll(
        async () => {
          const { partitions } = (await (await fetch(`${urls()[0]}/v1/topics/demo`)).json()) as {
            partitions: { leaderNode: number }[]
          }
          return new Set(partitions.map(({ leaderNode }) => leaderNode)).size
        },
        { timeout: 10_000 },
      )
      .toBe(3)
    for (const url of urls()) {
      for (let i = 0; i < 3; i++) {
        expect(await curl('--data-binary', 'hello', `${url}/v1/topics/demo/records`)).toMatch(
          /"partition":\d,"offset":\d/,
        )
      }
    }
    for (const url of urls()) {
      expect(await values(url)).toEqual(Array(9).fill('hello'))
      const unary = `${url}/millrace.v1alpha1.TopicService/ListTopics`
      expect(await curl('--json', '{}', unary)).toContain('"name":"demo"')
    }
  })

  test('a rolling restart loses no request that is retried, and nothing that was acknowledged', async () => {
    await start()
    const stored: string[] = []
    const failures: string[] = []
    /** Under way when their node ended: nobody knows, so they are not sent again. */
    const unknown: string[] = []
    let running = true
    let stopping = 0
    const writer = (async () => {
      for (let i = 0; running; ) {
        const up = cluster!.nodes.findIndex((node, n) => node !== undefined && n !== stopping - 1)
        const url = `${urls()[up]}/v1/topics/demo/records`
        const response = await fetch(url, { method: 'POST', body: Buffer.from(`r${i}`) }).catch(() => undefined)
        if (response === undefined) {
          unknown.push(`r${i++}`)
          continue
        }
        const text = await response.text()
        // What is not stored is sent again; nothing else may happen to a request.
        if (response.status === 200) stored.push(`r${i++}`)
        else if (!text.includes('"outcome":"not_stored","retryable":true')) failures.push(text)
      }
    })()
    for (const node of [1, 2, 3]) {
      stopping = node
      await cluster!.stop(node)
      await cluster!.start(node)
      stopping = 0
      await expect.poll(async () => (await fetch(`${urls()[node - 1]}/readyz`)).status, { timeout: 10_000 }).toBe(200)
    }
    running = false
    await writer
    expect(failures).toEqual([])
    // One at a time is sent, and three nodes stop.
    expect(unknown.length).toBeLessThanOrEqual(3)
    expect(stored.length).toBeGreaterThan(20)
    for (const url of urls()) {
      const found = await values(url)
      const late = found.filter(value => unknown.includes(value))
      expect(new Set(late).size).toBe(late.length)
      expect(found.filter(value => !unknown.includes(value))).toEqual(stored.toSorted())
    }
  })

  test('a live read over another node survives the stop of the leader', async () => {
    await start()
    const append = (node: number, value: string) =>
      fetch(`${urls()[node]}/v1/topics/demo/records?partition=0`, { method: 'POST', body: Buffer.from(value) })
    await append(0, 'before')
    const leader = await leaderOf(0)
    const reader = [1, 2, 3].find(node => node !== leader)!
    const stop = new AbortController()
    const url = `${urls()[reader - 1]}/v1/topics/demo/records?partition=0&from=earliest&live=true`
    const response = await fetch(url, { signal: stop.signal })
    let text = ''
    const reading = (async () => {
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) text += chunk
    })().catch(() => undefined)
    await expect.poll(() => text).toContain('before')
    await cluster!.stop(leader)
    expect((await append(reader - 1, 'after')).status).toBe(200)
    await expect.poll(() => text, { timeout: 10_000 }).toContain('after')
    expect(text).not.toContain('error')
    stop.abort()
    await reading
  })

  async function leaderOf(partition: number): Promise<number> {
    const topic = (await (await fetch(`${urls()[0]}/v1/topics/demo`)).json()) as {
      partitions: { leaderNode: number }[]
    }
    return topic.partitions[partition]!.leaderNode
  }

  test('leadership is handed over on request', async () => {
    await start()
    await fetch(`${urls()[0]}/v1/topics/demo/records?partition=1`, { method: 'POST', body: 'x' })
    // New topics settle first: the preferred replica campaigns whenever it sees no leader in its first 700 ms.
    await new Promise(resolve => setTimeout(resolve, 800))
    const from = await leaderOf(1)
    const toNode = (from % 3) + 1
    const asked = urls()[(from + 1) % 3]!
    const client = createClient(ClusterService, createConnectTransport({ baseUrl: asked, httpVersion: '2' }))
    await expect(client.transferLeadership({ topic: 'demo', partition: 1, toNode: 9 })).rejects.toThrow(/node 9/)
    await client.transferLeadership({ topic: 'demo', partition: 1, toNode })
    await expect.poll(() => leaderOf(1), { interval: 20, timeout: 5_000 }).toBe(toNode)
  })

  test('a leader that was chosen is told to stay', async () => {
    await start()
    const from = await leaderOf(2)
    const toNode = (from % 3) + 1
    const { topics } = cluster!.nodes[toNode - 1]!.context
    const hold = vi.spyOn(topics, 'holdLeadership')
    const client = createClient(ClusterService, createConnectTransport({ baseUrl: urls()[0]!, httpVersion: '2' }))
    // A leader that has just been elected asks to be asked again.
    await vi.waitFor(() => client.transferLeadership({ topic: 'demo', partition: 2, toNode }), { timeout: 5_000 })
    expect(hold).toHaveBeenCalledWith(topics.describe('demo').partitions[2]!.group)
  })

  test('the admin port shows what the node did', async () => {
    await start()
    for (const url of urls()) await fetch(`${url}/v1/topics/demo/records?partition=0`, { method: 'POST', body: 'x' })
    const pages = await Promise.all(cluster!.nodes.map(async node => (await fetch(`${node!.adminUrl}/metrics`)).text()))
    const sum = (name: string) =>
      pages.reduce((total, page) => total + Number(new RegExp(`^${name} (.*)$`, 'm').exec(page)?.[1]), 0)
    expect(sum('millrace_appended_records_total')).toBe(3)
    expect(sum('millrace_append_seconds_count')).toBe(3)
    expect(sum('millrace_forwards_total')).toBeGreaterThanOrEqual(2)
    expect(sum('millrace_leader_replicas')).toBe(4)
    expect(sum('millrace_fsyncs')).toBeGreaterThan(6)
    const admin = cluster!.nodes[0]!.adminUrl!
    expect((await fetch(`${admin}/livez`)).status).toBe(200)
    expect((await fetch(`${admin}/metrics`, { headers: { origin: 'http://evil.example' } })).status).toBe(403)
    expect((await fetch(`${admin}/nope`)).status).toBe(404)
  })
})
