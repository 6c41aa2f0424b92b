import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { request as http1Request } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FakeNode, startFakeNodes } from '../testing/fake-node.ts'

const curl = async (...args: string[]): Promise<string> => {
  const { stdout } = await promisify(execFile)('curl', ['-sS', ...args], { timeout: 20_000, maxBuffer: 1e8 })
  return stdout
}

let nodes: readonly FakeNode[]
beforeEach(async () => {
  nodes = await startFakeNodes(3)
  await nodes[0]!.topics.create({ name: 'demo', config: { partitions: 3 }, ifNotExists: false })
  for (const partition of [0, 1, 2]) nodes[0]!.topics.shared.leaders.set(`demo/${partition}`, partition + 1)
})
afterEach(async () => {
  await Promise.all(nodes.map(node => node.close()))
})

const records = (node: number, query = '') => `${nodes[node]!.url}/v1/topics/demo/records${query}`

async function post(node: number, body: string | Uint8Array, init: { query?: string; type?: string } = {}) {
  const headers: Record<string, string> = init.type === undefined ? {} : { 'content-type': init.type }
  const response = await fetch(records(node, init.query), { method: 'POST', body: Buffer.from(body), headers })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

async function read(node: number, query: string): Promise<Record<string, unknown>[]> {
  const text = await (await fetch(records(node, query))).text()
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Record<string, unknown>)
}

describe('append and read', () => {
  test('the curl lines of the first minute work against each of the three nodes while leaders are spread', async () => {
    for (let i = 0; i < 9; i++) {
      const answer = JSON.parse(await curl('--data-binary', 'hello', records(i % 3))) as Record<string, number>
      expect(Object.keys(answer)).toEqual(['partition', 'offset', 'timestamp'])
    }
    for (const node of [0, 1, 2]) {
      const lines = (await curl('-N', records(node, '?from=earliest'))).trim().split('\n')
      expect(lines).toHaveLength(9)
      expect(JSON.parse(lines[0]!)).toMatchObject({ topic: 'demo', value: 'hello', key: null })
    }
    expect(nodes.map(node => node.context.counters.forwards).reduce((a, b) => a + b)).toBeGreaterThan(0)
  })

  test('HTTP/2 with prior knowledge and HTTP/1.1 share the port', async () => {
    expect(await curl('--http2-prior-knowledge', '--data-binary', 'two', records(1))).toContain('offset')
    expect(await curl('--http1.0', '--data-binary', 'one', records(1))).toContain('offset')
    expect(await curl('--http2-prior-knowledge', records(0, '?from=earliest'))).toContain('"value":"two"')
  })

  test('an acknowledged record is visible to a read that follows on any node', async () => {
    for (let i = 0; i < 6; i++) {
      const { body } = await post(i % 3, `r${i}`)
      const found = await read((i + 1) % 3, `?from=${body.offset}&partition=${body.partition}`)
      expect(found.map(record => record.value)).toContain(`r${i}`)
    }
  })

  test('content types decide how many records there are', async () => {
    expect((await post(0, '{"a":1}', { type: 'application/json', query: '?partition=0' })).body).toHaveProperty(
      'offset',
    )
    const lines = await post(0, 'a\nb\n', { type: 'text/plain', query: '?partition=1' })
    expect(lines.body.records).toMatchObject([
      { partition: 1, offset: 0 },
      { partition: 1, offset: 1 },
    ])
    await post(0, '{"n":1}\n\n{"n":2}\n', { type: 'application/x-ndjson', query: '?partition=1' })
    const values = (await read(2, '?partition=1')).map(record => record.value)
    expect(values).toEqual(['a', 'b', { n: 1 }, { n: 2 }])
  })

  test('a key picks the same partition on every node', async () => {
    const places = await Promise.all([0, 1, 2].map(node => post(node, 'x', { query: '?key=c-42' })))
    expect(new Set(places.map(({ body }) => body.partition)).size).toBe(1)
    expect((await read(0, `?partition=${places[0]!.body.partition}`))[0]).toMatchObject({ key: 'c-42' })
  })

  test('max ends a read, time and offset begin it', async () => {
    for (const value of ['a', 'b', 'c']) await post(0, value, { query: '?partition=0' })
    expect(await read(1, '?partition=0&max=2')).toHaveLength(2)
    expect((await read(1, '?partition=0&from=2'))[0]).toMatchObject({ offset: 2 })
    expect((await read(1, '?from=0:1,1:0'))[0]).toMatchObject({ offset: 1 })
    expect(await read(1, '?from=2001-01-01T00:00:00Z')).toHaveLength(0)
  })

  test('a live read keeps waiting for more and sees what is appended later', async () => {
    await post(0, 'before', { query: '?partition=2' })
    const stop = new AbortController()
    const response = await fetch(records(0, '?from=earliest&live=true'), { signal: stop.signal })
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader.read()).value).toContain('"before"')
    await post(1, 'after', { query: '?partition=1' })
    expect((await reader.read()).value).toContain('"after"')
    stop.abort()
    await expect.poll(() => nodes.map(node => node.context.counters.readStreams)).toEqual([0, 0, 0])
  })

  test('server-sent events carry ids from which a client goes on', async () => {
    for (const value of ['a', 'b']) await post(0, value, { query: '?partition=0' })
    const headers = { accept: 'text/event-stream' }
    const text = await (await fetch(records(0, '?from=earliest&max=1'), { headers })).text()
    const id = /^id: (.*)$/m.exec(text)![1]!
    expect(text).toContain('"value":"a"')
    const resumed = await (
      await fetch(records(0, '?from=earliest'), { headers: { ...headers, 'last-event-id': id } })
    ).text()
    expect(resumed).toContain('"value":"b"')
    expect(resumed).not.toContain('"value":"a"')
  })
})

describe('readers that do not read', () => {
  const openRaw = async (query: string): Promise<Socket> => {
    const socket = connect(Number(new URL(nodes[0]!.url).port), '127.0.0.1')
    socket.write(`GET /v1/topics/demo/records${query} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
    await once(socket, 'readable')
    return socket
  }

  test('cost position, not memory', async () => {
    for (let i = 0; i < 60; i++) await post(0, Buffer.alloc(1_000_000, 'x'), { query: '?partition=0' })
    const before = nodes[0]!.context.counters.bytesRead
    const socket = await openRaw('?from=earliest&partition=0')
    await new Promise(resolve => setTimeout(resolve, 300))
    // 60 MB are there; kernel buffers on loopback take a few.
    expect(nodes[0]!.context.counters.bytesRead - before).toBeLessThan(20_000_000)
    expect(nodes[0]!.context.counters.readStreams).toBe(1)
    socket.resetAndDestroy()
    await expect.poll(() => nodes[0]!.context.counters.readStreams).toBe(0)
  })

  test('over HTTP/2 a live read is served, and ends with its stream', async () => {
    await post(0, 'first', { query: '?partition=1' })
    const session = connectHttp2(nodes[0]!.url)
    const stream = session.request({ ':path': '/v1/topics/demo/records?from=earliest&live=true' })
    let text = ''
    stream.setEncoding('utf8')
    stream.on('data', (chunk: string) => {
      text += chunk
    })
    await expect.poll(() => text).toContain('first')
    await post(1, 'second', { query: '?partition=2' })
    await expect.poll(() => text).toContain('second')
    stream.close()
    await expect.poll(() => nodes.map(node => node.context.counters.readStreams)).toEqual([0, 0, 0])
    session.close()
  })
})

describe('refusals', () => {
  const error = async (response: Response) => {
    const { error: found } = (await response.json()) as { error: Record<string, unknown> }
    return { status: response.status, ...found }
  }

  test('records up to 1 MiB; a larger one is refused with the limit named', async () => {
    expect((await post(0, Buffer.alloc(1_048_576, 'x'))).status).toBe(200)
    const refused = await fetch(records(0), { method: 'POST', body: Buffer.alloc(1_048_577, 'x') })
    expect(await error(refused)).toMatchObject({
      status: 413,
      code: 'RECORD_TOO_LARGE',
      outcome: 'not_stored',
      details: { limit: 'recordBytesMax' },
    })
    const body = await curl('--data-binary', `@${process.execPath}`, records(0))
    expect(body).toContain('recordSetBytesMax')
  })

  test('an unknown topic is 404 and named', async () => {
    const response = await fetch(`${nodes[1]!.url}/v1/topics/nope/records`, { method: 'POST', body: 'x' })
    const found = await error(response)
    expect(found).toMatchObject({ status: 404, code: 'UNKNOWN_TOPIC' })
    expect(found).toHaveProperty('message', expect.stringContaining('nope'))
  })

  test('a bad offset is 416 with the valid range', async () => {
    await post(0, 'x', { query: '?partition=0' })
    const response = await fetch(records(1, '?partition=0&from=9'))
    expect(response.headers.get('content-range')).toBe('offsets 0-1/*')
    expect(await error(response)).toMatchObject({ status: 416, code: 'OFFSET_OUT_OF_RANGE' })
  })

  test('bad UTF-8 in a name and broken percent-encoding are typed errors', async () => {
    const bad = await curl('--data-binary', 'x', `${nodes[0]!.url}/v1/topics/%ff%fe/records`)
    expect(bad).toContain('INVALID_NAME')
    expect(await curl(`${nodes[0]!.url}/v1/topics/a%20b`)).toContain('INVALID_NAME')
    expect(await curl(records(0, '?from=%zz'))).toContain('INVALID_ARGUMENT')
    expect(await curl(records(0, '?form=earliest'))).toContain('did you mean from?')
    expect(await curl(records(0, '?partition=7'))).toContain('partitions 0 to 2')
  })

  test('what claims to be JSON and is not is refused with the line', async () => {
    const answer = await post(0, '{"a":1}\n{"a":', { type: 'application/x-ndjson' })
    expect(answer.status).toBe(400)
    expect(JSON.stringify(answer.body)).toContain('line 2')
  })

  test('an append without a commit ends with the outcome unknown', async () => {
    await Promise.all(nodes.map(node => node.close()))
    nodes = await startFakeNodes(1, { appendTimeoutMs: '100ms' })
    await nodes[0]!.topics.create({ name: 'demo', config: { partitions: 1 }, ifNotExists: false })
    nodes[0]!.topics.fake('demo', 0).holdCommits = true
    const { status, body } = await post(0, 'x')
    expect(status).toBe(504)
    expect(body).toMatchObject({ error: { code: 'APPEND_TIMEOUT', outcome: 'unknown' } })
  })

  test('unknown routes and methods say what there is', async () => {
    expect((await fetch(`${nodes[0]!.url}/nope`)).status).toBe(404)
    const response = await fetch(records(0), { method: 'PUT', body: 'x' })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('GET, POST, DELETE')
    expect(await curl(`${nodes[0]!.url}/`)).toContain('POST   /v1/topics/{topic}/records')
  })
})

describe('a web page of another origin can neither append to nor read from a broker on loopback', () => {
  const send = (headers: Record<string, string>, method = 'POST', path = '/v1/topics/demo/records') =>
    new Promise<number>((resolve, reject) => {
      const request = http1Request(`${nodes[0]!.url}${path}`, { method, headers }, response => {
        response.resume()
        resolve(response.statusCode!)
      })
      request.on('error', reject)
      request.end(method === 'POST' ? 'x' : undefined)
    })
  const port = () => new URL(nodes[0]!.url).port

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'application/json'])('%s', async type => {
    expect(await send({ origin: 'http://evil.example', 'content-type': type })).toBe(403)
    expect(await send({ origin: 'null', 'content-type': type })).toBe(403)
    expect(await send({ 'sec-fetch-site': 'cross-site', 'content-type': type })).toBe(403)
    expect(await send({ 'sec-fetch-site': 'same-site', 'content-type': type })).toBe(403)
    expect(await send({ host: `evil.example:${port()}`, 'content-type': type })).toBe(403)
  })

  test('reads and Connect calls are refused alike', async () => {
    const origin = { origin: 'http://evil.example' }
    expect(await send(origin, 'GET')).toBe(403)
    const path = '/millrace.v1alpha1.TopicService/ListTopics'
    expect(await send({ ...origin, 'content-type': 'application/json' }, 'POST', path)).toBe(403)
    expect(await send(origin, 'OPTIONS', path)).toBe(403)
  })

  test('its own front page and tools are served', async () => {
    const own = `http://localhost:${port()}`
    expect(await send({ host: `localhost:${port()}`, origin: own, 'sec-fetch-site': 'same-origin' })).toBe(200)
    expect(await send({})).toBe(200)
  })

  test('an origin that is allowed by name gets CORS headers', async () => {
    await Promise.all(nodes.map(node => node.close()))
    nodes = await startFakeNodes(1, { 'http.allowedOrigins': 'http://app.example' })
    await nodes[0]!.topics.create({ name: 'demo', config: { partitions: 1 }, ifNotExists: false })
    const headers = { origin: 'http://app.example' }
    const preflight = await fetch(records(0), { method: 'OPTIONS', headers })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('access-control-allow-methods')).toContain('POST')
    const answer = await fetch(records(0), { method: 'POST', body: 'x', headers })
    expect(answer.headers.get('access-control-allow-origin')).toBe('http://app.example')
  })
})

test('topics are created, listed, described and deleted over HTTP', async () => {
  const { url } = nodes[2]!
  const create = (body: object) => fetch(`${url}/v1/topics`, { method: 'POST', body: JSON.stringify(body) })
  const created = await create({ name: 'orders', partitions: 2 })
  expect(created.status).toBe(201)
  expect(await created.json()).toMatchObject({ created: true, name: 'orders', config: { partitions: 2 } })
  expect((await create({ name: 'orders', partitions: 2, ifNotExists: true })).status).toBe(200)
  expect((await create({ name: 'orders' })).status).toBe(409)
  expect(await (await create({ name: 'x', partitons: 2 })).text()).toContain('did you mean partitions?')
  expect(await (await fetch(`${url}/v1/topics`)).json()).toMatchObject({
    topics: [{ name: 'demo' }, { name: 'orders' }],
  })
  expect((await fetch(`${url}/v1/topics/orders`, { method: 'DELETE' })).status).toBe(200)
  expect((await fetch(`${url}/v1/topics/orders`)).status).toBe(404)
  expect(await (await fetch(`${url}/v1/cluster`)).json()).toMatchObject({ cluster: { node: 3 } })
})

describe('wrong inputs are named', () => {
  test.each([
    [{ partitions: 2 }, 'name: is missing'],
    [{ name: 5 }, 'name: must be text'],
    [{ name: 'n', partitions: 0 }, 'partitions: must be a whole number from 1 on'],
    [{ name: 'n', partitions: '3' }, 'partitions: must be a whole number from 1 on'],
    [{ name: 'n', retentionMs: '7d' }, 'retentionMs: must be a whole number from 0 on'],
    [{ name: 'n', ifNotExists: 1 }, 'ifNotExists: must be true or false'],
  ])('POST /v1/topics %j', async (body, message) => {
    const answer = await fetch(`${nodes[0]!.url}/v1/topics`, { method: 'POST', body: JSON.stringify(body) })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error: { code: 'INVALID_ARGUMENT', message } })
  })

  test('a compressed body is refused, not stored as it is', async () => {
    const answer = await fetch(records(0), { method: 'POST', body: 'x', headers: { 'content-encoding': 'gzip' } })
    expect(await answer.text()).toContain('content-encoding gzip: send the bytes as they are')
  })

  test('a Last-Event-ID that is no position', async () => {
    const answer = await fetch(`${records(0)}?live=true`, {
      headers: { accept: 'text/event-stream', 'last-event-id': 'zz' },
    })
    expect(await answer.text()).toContain('header Last-Event-ID: \\"zz\\" is none of')
  })

  test('metrics are elsewhere', async () => {
    const answer = await fetch(`${nodes[0]!.url}/metrics`)
    expect(answer.status).toBe(404)
    expect(await answer.text()).toContain('admin port')
  })

  test.each([
    ['GET', undefined, 405, 'called with POST'],
    ['POST', 'text/plain', 415, 'content-type: use application/json'],
  ])('a service called with %s and %s', async (method, type, status, message) => {
    const answer = await fetch(`${nodes[0]!.url}/millrace.v1alpha1.TopicService/ListTopics`, {
      method,
      ...(type === undefined ? {} : { body: '{}', headers: { 'content-type': type } }),
    })
    expect(answer.status).toBe(status)
    expect(await answer.json()).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(message) })
  })
})
