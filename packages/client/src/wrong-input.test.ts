// Inputs that no type checker saw: each is refused at the door, by name, and nothing after it suffers.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MillraceError } from '@millrace/record'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Client, connect, text } from './index.ts'
import { FakeCluster } from './testing/fake-cluster.ts'

let cluster: FakeCluster
let client: Client

beforeAll(async () => {
  cluster = await FakeCluster.start({ demo: 1 })
  client = connect(cluster.urls)
})
afterAll(async () => {
  await client.close()
  await cluster[Symbol.asyncDispose]()
})

/** As JavaScript has it. */
const untyped = (value: unknown): never => value as never

async function message(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    expect(error).toBeInstanceOf(MillraceError)
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', outcome: 'not_stored' })
    return (error as MillraceError).message
  }
  throw new Error('was not refused')
}

test.each([
  [{ appendTimeout: 5 }, 'option appendTimeout does not exist; there are routing, appendTimeoutMs'],
  [{ appendTimeoutMs: '5s' }, 'option appendTimeoutMs: "5s" is not a number above 0'],
  [{ attemptTimeoutMs: Number.NaN }, 'option attemptTimeoutMs: NaN is not a number above 0'],
  [{ routing: 'all' }, 'option routing: "all" is not one of leader, any'],
  [{ compression: 'gzip' }, 'option compression: "gzip" is not one of none, zstd'],
])('connect with %j', async (options, expected) => {
  expect(await message(() => connect(cluster.urls, untyped(options)))).toContain(expected)
})

test('connect to nothing', async () => {
  expect(await message(() => connect(untyped(undefined)))).toContain('connect needs a URL like')
})

test.each([undefined, {}, { value: 'json' }])('a topic with %j for a codec', async options => {
  expect(await message(() => client.topic('demo', untyped(options)))).toContain('option value needs a codec')
})

test.each([
  [undefined, 'append takes an object'],
  ['x', 'append takes an object'],
  [{ vale: 'x' }, 'value: undefined'],
  [{ value: 5 }, 'value: the codec takes no number'],
  [{ value: 'x', headers: { a: 5 } }, 'headers: the value of a is neither text nor bytes'],
  [{ value: 'x', headers: [{ name: 'a' }] }, 'headers: the value of a is neither text nor bytes'],
  [{ value: 'x', expect: { offset: 1 } }, 'expect: {"offset":1} is neither'],
  [{ value: 'x', expect: { partitionOffset: -1 } }, 'expect: {"partitionOffset":-1} is neither'],
  [{ value: 'x', expect: { partitionOffset: 1.5 } }, 'is neither'],
  [{ value: 'x', expect: { keyOffset: 'any' } }, 'is neither'],
  [{ value: 'x', expect: {} }, 'expect: {} is neither'],
])('append(%j), and the next append is stored', async (input, expected) => {
  const topic = client.topic('demo', { value: text })
  expect(await message(() => topic.append(untyped(input)))).toContain(expected)
  await topic.append({ value: 'fine' })
})

test('appendMany of no array', async () => {
  const topic = client.topic('demo', { value: text })
  expect(await message(() => topic.appendMany(untyped('x')))).toContain('takes an array')
})

test.each([
  [undefined, 'from is missing'],
  [{}, 'from is missing'],
  [{ from: 5 }, 'from 5 is none'],
  [{ from: {} }, 'from {} is none'],
  [{ from: 'begin' }, "neither 'earliest' nor 'latest'"],
])('read(%j)', async (options, expected) => {
  const topic = client.topic('demo', { value: text })
  expect(await message(() => topic.read(untyped(options)))).toContain(expected)
})

test.each([
  [{ partition: 3 }, 'a topic has no setting partition; there are partitions,'],
  [{ partitions: 0 }, 'partitions: 0 is no whole number from 1 on'],
  [{ partitions: '3' }, 'partitions: 3 is no whole number from 1 on'],
  [{ retentionMs: 1.5 }, 'retentionMs: 1.5 is no whole number from 0 on'],
])('a topic with %j', async (config, expected) => {
  expect(await message(() => client.topics.ensure('new', untyped(config)))).toContain(expected)
})

test('calls of a client that is closed', async () => {
  const closed = connect(cluster.urls)
  await closed.topics.list()
  await closed.close()
  await expect(closed.topics.list()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
  await expect(closed.cluster()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
})

test('a port that speaks something else', async () => {
  const server = createServer((_request, response) => response.end())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const lost = connect(`http://127.0.0.1:${port}`)
  await expect(lost.topics.list()).rejects.toMatchObject({
    code: 'UNREACHABLE',
    message: expect.stringContaining(`no broker answers: http://127.0.0.1:${port}`),
  })
  await lost.close()
  server.close()
})
