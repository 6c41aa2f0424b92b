/** Records are removed on request through any node, and never by mistake. */
import { createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { TopicService } from '@millrace/proto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type FakeNode, startFakeNodes } from '../testing/fake-node.ts'

let nodes: readonly FakeNode[]
beforeEach(async () => {
  nodes = await startFakeNodes(3)
  await nodes[0]!.topics.create({ name: 'demo', config: { partitions: 2 }, ifNotExists: false })
  nodes[0]!.topics.shared.leaders.set('demo/1', 2)
  for (let i = 0; i < 5; i++) await fetch(records(0, '?partition=1'), { method: 'POST', body: String(i) })
})
afterEach(async () => {
  await Promise.all(nodes.map(node => node.close()))
})

const records = (node: number, query: string) => `${nodes[node]!.url}/v1/topics/demo/records${query}`
const logStart = () => nodes[1]!.topics.fake('demo', 1).logStartOffset

async function trim(node: number, query: string): Promise<object> {
  const response = await fetch(records(node, query), { method: 'DELETE' })
  return { status: response.status, ...((await response.json()) as object) }
}

test.each([0, 1, 2])('over HTTP at node %s, whoever leads', async node => {
  expect(await trim(node, '?partition=1&before=3')).toEqual({
    ...{ status: 200, topic: 'demo', partition: 1, logStartOffset: 3 },
  })
  expect(logStart()).toBe(3)
  expect((await fetch(records(node, '?partition=1&from=2'))).status).toBe(416)
})

test('as a call of the topic service, which says where the log starts', async () => {
  const transport = createConnectTransport({ baseUrl: nodes[2]!.url, httpVersion: '2' })
  const topics = createClient(TopicService, transport)
  const request = { topic: 'demo', partition: 1 }
  expect((await topics.trimPartition({ ...request, beforeOffset: 4n })).logStartOffset).toBe(4n)
  expect((await topics.trimPartition({ ...request, beforeOffset: 1n })).logStartOffset).toBe(4n)
})

test.each([
  ['?partition=1', 400, 'INVALID_ARGUMENT', /parameter before: is missing/],
  ['?before=1', 400, 'INVALID_ARGUMENT', /parameter partition: is missing/],
  ['?partition=1&before=-1', 400, 'INVALID_ARGUMENT', /before/],
  ['?partition=1&before=2&from=1', 400, 'INVALID_ARGUMENT', /from/],
  ['?partition=7&before=1', 404, 'UNKNOWN_PARTITION', /partitions 0 to 1/],
  ['?partition=1&before=6', 416, 'OFFSET_OUT_OF_RANGE', /6 is beyond 5/],
])('%s is refused, and nothing is removed', async (query, status, code, message) => {
  expect(await trim(0, query)).toMatchObject({ status, error: { code, message: expect.stringMatching(message) } })
  expect(logStart()).toBe(0)
})
