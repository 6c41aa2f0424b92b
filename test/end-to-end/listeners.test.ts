import { request } from 'node:http'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createTopic,
  freePorts,
  ONE_LINE,
  readAll,
  runMillrace,
  startCluster,
  startMillrace,
  type TestCluster,
  temporaryFolder,
  waitFor,
} from './testkit.ts'

describe('A non-loopback listener is refused unless `listen.plaintext: true` says so by name, with a warning at every start', () => {
  it('refuses, then warns', async () => {
    using folder = temporaryFolder('plaintext')
    const [client, peer, admin] = await freePorts(3)
    const own = Object.values(networkInterfaces())
      .flatMap(list => list ?? [])
      .find(at => at.family === 'IPv4' && !at.internal)?.address
    const settings = (host: string): string[] =>
      [
        `dataDir=${join(folder.path, 'data')}`,
        `listen.client=${host}:${client}`,
        `listen.peer=127.0.0.1:${peer}`,
        `listen.admin=127.0.0.1:${admin}`,
      ].flatMap(setting => ['--set', setting])
    expect(await runMillrace(['init', ...settings('127.0.0.1')])).toMatchObject({ exitCode: 0 })
    for (const host of ['0.0.0.0', '[::]', ...(own === undefined ? [] : [own])]) {
      const refused = await runMillrace(['serve', ...settings(host)])
      expect(refused, host).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(ONE_LINE) })
      expect(refused.stderr).toContain('listen.plaintext')
    }
    for (let start = 0; start < 2; start++) {
      await using node = startMillrace(['serve', ...settings('0.0.0.0'), '--set', 'listen.plaintext=true'])
      await waitFor(() => fetch(`http://127.0.0.1:${client}/readyz`).then(response => response.ok), {
        what: 'the node',
        timeoutMs: 30_000,
      })
      expect(node.stdout + node.stderr).toMatch(/listen\.client 0\.0\.0\.0:\d+ is open to the network/)
      node.process.kill('SIGTERM')
      await node.ended
    }
  })
})

describe('A web page of another origin can neither append to nor read from a broker on loopback', () => {
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1 })
    await createTopic(cluster.urls[0]!, 'private', 1)
  })
  afterAll(() => cluster?.[Symbol.asyncDispose]())

  interface Answer {
    readonly status: number
    readonly allowOrigin: string | undefined
    readonly body: string
  }

  /** As a browser sends it; fetch would not let us say Host and Sec-Fetch-Site. */
  function send(method: string, path: string, headers: Record<string, string>, body = ''): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(`${cluster.urls[0]}${path}`, { method, headers }, response => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            allowOrigin: response.headers['access-control-allow-origin'],
            body: text,
          }),
        )
      })
      sent.on('error', reject).end(body)
    })
  }

  const FOREIGN: [name: string, headers: Record<string, string>][] = [
    ['a foreign Origin', { origin: 'https://evil.example' }],
    ['an opaque Origin', { origin: 'null' }],
    ['another port of this machine', { origin: 'http://localhost:1' }],
    ['a cross-site fetch without Origin', { 'sec-fetch-site': 'cross-site' }],
    ['a foreign name in Host (DNS rebinding)', { host: 'evil.example:7070' }],
  ]
  const RECORDS = '/v1/topics/private/records'
  const CONNECT = '/millrace.v1alpha1.LogService/Append'

  it.each(FOREIGN)('%s', async (_, headers) => {
    const json = { ...headers, 'content-type': 'application/json' }
    const answers = [
      await send('POST', RECORDS, { ...headers, 'content-type': 'text/plain' }, 'written by a web page'),
      await send('POST', RECORDS, { ...headers, 'content-type': 'application/x-www-form-urlencoded' }, 'written=1'),
      await send('GET', `${RECORDS}?from=earliest`, headers),
      await send('OPTIONS', RECORDS, { ...headers, 'access-control-request-method': 'POST' }),
      await send('POST', CONNECT, json, '{"topic":"private","records":{"records":[{"value":"aGk="}]}}'),
      await send('POST', '/millrace.v1alpha1.TopicService/DeleteTopic', json, '{"name":"private"}'),
      await send('DELETE', '/v1/topics/private', headers),
    ]
    for (const { status, allowOrigin, body } of answers) {
      expect(status, body).toBe(403)
      expect(allowOrigin).toBeUndefined()
    }
    expect(await readAll(cluster.urls[0]!, 'private')).toEqual([])
  })

  it('while the same calls without a web page succeed', async () => {
    expect((await send('POST', RECORDS, {}, 'by hand')).status).toBe(200)
    expect((await send('GET', `${RECORDS}?from=earliest`, {})).body).toContain('by hand')
  })
})
