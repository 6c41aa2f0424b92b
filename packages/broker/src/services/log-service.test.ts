import { create } from '@bufbuild/protobuf'
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import {
  type AppendStreamRequest,
  AppendStreamRequestSchema,
  type AppendStreamResponse,
  ClusterService,
  ErrorDetailSchema,
  Format,
  GroupService,
  LogService,
  Outcome,
  TopicService,
} from '@millrace/proto'
import { crc32, decodeFrame, encodeRecordSet, framePayload, LIMITS, RecordSetReader } from '@millrace/record'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FakeNode, startFakeNodes } from '../testing/fake-node.ts'

let nodes: readonly FakeNode[]
let log: readonly Client<typeof LogService>[]

beforeEach(async () => start(2))
afterEach(async () => {
  await Promise.all(nodes.map(node => node.close()))
})

async function start(count: number, flags: Record<string, unknown> = {}): Promise<void> {
  if (nodes !== undefined) await Promise.all(nodes.map(node => node.close()))
  nodes = await startFakeNodes(count, flags)
  log = nodes.map(node => createClient(LogService, transport(node)))
  await nodes[0]!.topics.create({ name: 'demo', config: { partitions: 2 }, ifNotExists: false })
}

const transport = (node: FakeNode, httpVersion: '1.1' | '2' = '2') =>
  createConnectTransport({ baseUrl: node.url, httpVersion, acceptCompression: [] })

const set = (...values: string[]) =>
  encodeRecordSet(
    values.map(value => ({ value, key: null, createTime: 1 })),
    { codec: 'none' },
  )

function batch(id: number, values: string[], changes: Partial<AppendStreamRequest> = {}): AppendStreamRequest {
  const { bytes, count, codec } = set(...values)
  const base = { id: BigInt(id), topic: 'demo', partition: 0, recordSet: bytes, payloadCrc: crc32(bytes), count, codec }
  return Object.assign(create(AppendStreamRequestSchema, base), changes)
}

/** Requests that the test pushes; the call stays open until `end`. */
class Requests implements AsyncIterable<AppendStreamRequest> {
  readonly #queue: AppendStreamRequest[] = []
  #wake: (() => void) | undefined
  #ended = false
  taken = 0

  push(...requests: AppendStreamRequest[]): void {
    this.#queue.push(...requests)
    this.#wake?.()
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<AppendStreamRequest> {
    for (;;) {
      const next = this.#queue.shift()
      if (next !== undefined) {
        this.taken++
        yield next
      } else if (this.#ended) return
      else {
        await new Promise<void>(resolve => {
          this.#wake = resolve
        })
      }
    }
  }
}

/** Reads responses until `count` results are there. */
async function results(responses: AsyncIterator<AppendStreamResponse>, count: number) {
  const found = []
  while (found.length < count) {
    const { value, done } = await responses.next()
    if (done) break
    found.push(...value.results)
  }
  return found
}

function detailOf(error: unknown) {
  return ConnectError.from(error).findDetails(ErrorDetailSchema)[0]
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

async function failure(promise: Promise<unknown>) {
  try {
    await promise
  } catch (error) {
    return { code: ConnectError.from(error).code, detail: detailOf(error) }
  }
  throw new Error('did not fail')
}

describe('AppendStream', () => {
  test('says hello before the first batch and names the window', async () => {
    const requests = new Requests()
    const responses = log[0]!.appendStream(requests)[Symbol.asyncIterator]()
    const { hello } = (await responses.next()).value as AppendStreamResponse
    expect(hello).toMatchObject({ node: 1, clusterId: 'fake', protocol: 1, inflightBytesMax: 8n * 1_048_576n })
    requests.end()
    expect((await responses.next()).done).toBe(true)
  })

  test('answers many batches in order per partition, several in one message', async () => {
    const partition = nodes[0]!.topics.fake('demo', 0)
    partition.holdCommits = true
    const requests = new Requests()
    const responses = log[0]!.appendStream(requests)[Symbol.asyncIterator]()
    await responses.next()
    // The second is refused at once, and still answered after the first.
    requests.push(batch(1, ['a']), batch(2, ['b'], { payloadCrc: 1 }), batch(3, ['c', 'd']))
    await expect.poll(() => partition.heldCount).toBe(2)
    partition.release()
    const answers = await results(responses, 3)
    expect(answers.map(answer => Number(answer.id))).toEqual([1, 2, 3])
    expect(answers[0]!.result).toMatchObject({ case: 'appended', value: { baseOffset: 0n, count: 1 } })
    expect(answers[1]!.result).toMatchObject({ case: 'error', value: { code: 'CORRUPT_BATCH', retryable: true } })
    expect(answers[2]!.result).toMatchObject({ case: 'appended', value: { baseOffset: 1n, count: 2 } })
    requests.end()
  })

  test('a node that does not lead answers NOT_LEADER with the leader', async () => {
    const requests = new Requests()
    const responses = log[1]!.appendStream(requests)[Symbol.asyncIterator]()
    requests.push(batch(1, ['a']), batch(2, ['x'], { topic: 'nope' }), batch(3, ['x'], { partition: 9 }))
    const answers = await results(responses, 3)
    expect(answers[0]!.result.value).toMatchObject({
      code: 'NOT_LEADER',
      outcome: Outcome.NOT_STORED,
      notLeader: { leaderNode: 1, leaderUrl: nodes[0]!.url, term: 1n },
    })
    expect(answers[1]!.result.value).toMatchObject({ code: 'UNKNOWN_TOPIC' })
    expect(answers[2]!.result.value).toMatchObject({ code: 'UNKNOWN_PARTITION' })
    requests.end()
  })

  test('stops reading while the unanswered bytes are at the limit', async () => {
    await start(1, { 'limits.streamInflightBytesMax': '2MiB' })
    const partition = nodes[0]!.topics.fake('demo', 0)
    partition.holdCommits = true
    const requests = new Requests()
    const responses = log[0]!.appendStream(requests)[Symbol.asyncIterator]()
    await responses.next()
    const value = 'x'.repeat(1_000_000)
    requests.push(...Array.from({ length: 40 }, (_, i) => batch(i, [value])))
    await expect.poll(() => partition.heldCount).toBe(3)
    await new Promise(resolve => setTimeout(resolve, 100))
    expect(partition.heldCount).toBe(3)
    expect(requests.taken).toBeLessThan(40)
    partition.release()
    expect(await results(responses, 40)).toHaveLength(40)
    requests.end()
  })

  test('ends with its caller or its node; what was taken still commits', async () => {
    const partition = nodes[0]!.topics.fake('demo', 0)
    partition.holdCommits = true
    const stop = new AbortController()
    const requests = new Requests()
    const left = log[0]!.appendStream(requests, { signal: stop.signal })[Symbol.asyncIterator]()
    await left.next()
    requests.push(batch(1, ['a']))
    await expect.poll(() => partition.heldCount).toBe(1)
    stop.abort()
    await expect(left.next()).rejects.toThrow()
    await expect.poll(() => nodes[0]!.context.counters.appendStreams).toBe(0)
    const others = new Requests()
    const stopped = log[0]!.appendStream(others)[Symbol.asyncIterator]()
    await stopped.next()
    nodes[0]!.stop.abort()
    expect((await failure(stopped.next())).detail).toMatchObject({ code: 'SHUTTING_DOWN' })
    partition.release()
    expect(partition.highWatermark).toBe(1)
    requests.end()
    others.end()
  })

  test('a record set above its limit is refused with the limit named', async () => {
    const requests = new Requests()
    const responses = log[0]!.appendStream(requests)[Symbol.asyncIterator]()
    const bytes = new Uint8Array(LIMITS.recordSetBytesMax + 1)
    requests.push(batch(1, ['a'], { recordSet: bytes, payloadCrc: crc32(bytes) }), batch(2, ['a'], { count: 7 }))
    const answers = await results(responses, 2)
    expect(answers[0]!.result.value).toMatchObject({
      code: 'RECORD_TOO_LARGE',
      details: { limit: 'recordSetBytesMax' },
    })
    expect(answers[1]!.result.value).toMatchObject({ code: 'CORRUPT_BATCH' })
    requests.end()
  })
})

describe('Append', () => {
  test('is passed on to the leader, one hop, and counted', async () => {
    const { bytes } = set('a', 'b')
    const body = { case: 'recordSet' as const, value: bytes }
    const { appended } = await log[1]!.append({ topic: 'demo', partition: 0, body })
    expect(appended[0]).toMatchObject({ partition: 0, baseOffset: 0n, count: 2 })
    expect(nodes[1]!.context.counters.forwards).toBe(1)
    const headers = { 'millrace-forwarded': '9' }
    const refused = await failure(log[1]!.append({ topic: 'demo', partition: 0, body }, { headers }))
    expect(refused).toMatchObject({ code: Code.FailedPrecondition, detail: { code: 'NOT_LEADER' } })
    expect(nodes[1]!.context.counters.forwards).toBe(1)
  })

  test('waits for a leader while none is known', async () => {
    const { leaders } = nodes[0]!.topics.shared
    leaders.set('demo/0', 0)
    setTimeout(() => leaders.set('demo/0', 2), 100)
    const { appended } = await log[0]!.append({
      topic: 'demo',
      partition: 0,
      body: { case: 'recordSet', value: set('a').bytes },
    })
    expect(appended).toHaveLength(1)
  })

  test('plain records go where their keys say', async () => {
    const utf8 = new TextEncoder()
    const records = ['a', 'b', 'c', 'd'].map(key => ({ key: utf8.encode(key), value: utf8.encode('v') }))
    const request = { topic: 'demo', body: { case: 'records' as const, value: { records } } }
    const first = await log[0]!.append(request)
    const second = await log[1]!.append(request)
    const places = (response: typeof first) => response.appended.map(({ partition, count }) => [partition, count])
    expect(places(second)).toEqual(places(first))
    expect(first.appended.reduce((sum, { count }) => sum + count, 0)).toBe(4)
  })

  test('works as unary JSON over HTTP/1.1', async () => {
    const response = await fetch(`${nodes[1]!.url}/millrace.v1alpha1.LogService/Append`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ topic: 'demo', records: { records: [{ value: btoa('hi') }] } }),
    })
    expect(await response.json()).toMatchObject({ appended: [{ count: 1 }] })
  })

  test('a name that is not one is refused by rule', async () => {
    const refused = await failure(log[0]!.append({ topic: '\u0000bad', partition: 0 }))
    expect(refused).toMatchObject({ code: Code.InvalidArgument, detail: { code: 'INVALID_NAME' } })
  })
})

describe('what is no message', () => {
  const call = async (type: string, body: Uint8Array | string, method = 'LogService/Append') => {
    const url = `${nodes[0]!.url}/millrace.v1alpha1.${method}`
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body: Buffer.from(body) })
    const { code, details } = (await response.json()) as { code: string; details?: { debug: object }[] }
    return { status: response.status, code, detail: details?.[0]?.debug }
  }

  test('bad UTF-8 in a name, bytes that are cut off and broken JSON are the caller\u2019s fault, and typed', async () => {
    const expected = { status: 400, code: 'invalid_argument', detail: { code: 'INVALID_ARGUMENT' } }
    expect(await call('application/proto', new Uint8Array([10, 2, 0xff, 0xfe]))).toMatchObject(expected)
    expect(await call('application/proto', new Uint8Array([10, 200, 1]))).toMatchObject(expected)
    expect(await call('application/json', '{bad')).toMatchObject(expected)
    expect(await call('application/json', '{"topik":"demo"}')).toMatchObject(expected)
  })

  test('a message above the limit names it', async () => {
    const refused = await call('application/proto', new Uint8Array(4_000_000))
    expect(refused).toMatchObject({ status: 413, detail: { code: 'RECORD_TOO_LARGE' } })
  })
})

describe('Read', () => {
  const offset = (value: bigint) => ({ position: { case: 'offset' as const, value } })

  test('subscribes at once, passes frames through unopened, ends at the high watermark', async () => {
    const { bytes } = set('a', 'b')
    await log[0]!.append({ topic: 'demo', partition: 0, body: { case: 'recordSet', value: bytes } })
    const events = await collect(log[0]!.read({ topic: 'demo', partition: 0, from: offset(1n) }))
    expect(events[0]!.event).toMatchObject({ case: 'subscribed', value: { startOffset: 1n, highWatermark: 2n } })
    const frames = events[1]!.event
    if (frames.case !== 'frames') throw new Error('no frames')
    const frame = decodeFrame(frames.value.frames)
    if (typeof frame === 'string') throw new Error(frame)
    expect(framePayload(frame)).toEqual(bytes)
    expect(new RecordSetReader(framePayload(frame)).count).toBe(2)
    expect(events).toHaveLength(2)
  })

  test('gives decoded records to those who ask', async () => {
    await log[0]!.append({ topic: 'demo', partition: 0, body: { case: 'recordSet', value: set('a', 'b', 'c').bytes } })
    const request = { topic: 'demo', partition: 0, from: offset(1n), format: Format.RECORDS, recordsMax: 1n }
    const events = await collect(log[0]!.read(request))
    expect(events[1]!.event).toMatchObject({ case: 'records', value: { records: [{ offset: 1n }] } })
    expect(events).toHaveLength(2)
  })

  test('a live read waits, says that it is alive, and ends when its caller leaves', async () => {
    await start(1, { readIdleMs: '100ms' })
    const stop = new AbortController()
    const events = log[0]!.read({ topic: 'demo', partition: 0, live: true }, { signal: stop.signal })
    const iterator = events[Symbol.asyncIterator]()
    expect((await iterator.next()).value?.event.case).toBe('subscribed')
    expect((await iterator.next()).value?.event.case).toBe('idle')
    await log[0]!.append({ topic: 'demo', partition: 0, body: { case: 'recordSet', value: set('a').bytes } })
    expect((await iterator.next()).value?.event.case).toBe('frames')
    expect(nodes[0]!.context.counters.readStreams).toBe(1)
    stop.abort()
    await expect(iterator.next()).rejects.toThrow()
    await expect.poll(() => nodes[0]!.context.counters.readStreams).toBe(0)
  })

  test('only the leader answers unless any replica may, and a read ends when its node stops leading', async () => {
    const refused = await failure(collect(log[1]!.read({ topic: 'demo', partition: 0 })))
    expect(refused.detail).toMatchObject({ code: 'NOT_LEADER', notLeader: { leaderNode: 1 } })
    const any = await collect(log[1]!.read({ topic: 'demo', partition: 0, anyReplica: true }))
    expect(any).toHaveLength(1)
    const live = log[0]!.read({ topic: 'demo', partition: 0, live: true })[Symbol.asyncIterator]()
    await live.next()
    nodes[0]!.topics.shared.leaders.set('demo/0', 2)
    nodes[0]!.topics.fake('demo', 0)
    expect((await failure(live.next())).detail).toMatchObject({ code: 'NOT_LEADER', notLeader: { leaderNode: 2 } })
  })

  test('a replica that has long known no leader is not read any more, live reads of it end', async () => {
    const fake = nodes[1]!.topics.fake('demo', 0)
    fake.leaderlessMs = 29_999
    const live = log[1]!.read({ topic: 'demo', partition: 0, anyReplica: true, live: true })[Symbol.asyncIterator]()
    await live.next()
    fake.leaderlessMs = 30_000
    expect((await failure(live.next())).detail).toMatchObject({ code: 'REPLICA_BEHIND', retryable: true })
    const refused = await failure(collect(log[1]!.read({ topic: 'demo', partition: 0, anyReplica: true })))
    expect(refused.detail).toMatchObject({ code: 'REPLICA_BEHIND', details: { leaderlessMs: '30000' } })
  })

  test('where the catalogue places no replica any more, any read is passed on to the leader', async () => {
    const append = { topic: 'demo', partition: 0, body: { case: 'recordSet', value: set('a', 'b').bytes } } as const
    await log[0]!.append(append)
    const live = log[1]!.read({ topic: 'demo', partition: 0, anyReplica: true, live: true })[Symbol.asyncIterator]()
    await live.next()
    const { shared } = nodes[0]!.topics
    const topic = shared.topics.get('demo')!
    const partitions = topic.partitions.map(each => ({ ...each, replicas: [{ replica: 1, node: 1 }] }))
    shared.topics.set('demo', { ...topic, partitions })
    expect((await failure(live.next())).detail).toMatchObject({ code: 'NOT_LEADER', notLeader: { leaderNode: 1 } })
    const passedOn = await collect(log[1]!.read({ topic: 'demo', partition: 0, anyReplica: true }))
    expect(passedOn.map(({ event }) => event.case)).toEqual(['subscribed', 'frames'])
    expect(passedOn[0]!.event).toMatchObject({ value: { highWatermark: 2n } })
  })

  test('a leader that no majority confirms shows nothing', async () => {
    await log[0]!.append({ topic: 'demo', partition: 0, body: { case: 'recordSet', value: set('a').bytes } })
    nodes[0]!.topics.shared.majority = false
    const refused = await failure(collect(log[0]!.read({ topic: 'demo', partition: 0 })))
    expect(refused.detail).toMatchObject({ code: 'NO_LEADER', retryable: true })
    expect((await failure(log[0]!.listOffsets({ topic: 'demo' }))).detail).toMatchObject({ code: 'NO_LEADER' })
    const any = await collect(log[0]!.read({ topic: 'demo', partition: 0, anyReplica: true }))
    expect(any).toHaveLength(2)
  })

  test('a bad offset names the valid range', async () => {
    const refused = await failure(collect(log[0]!.read({ topic: 'demo', partition: 0, from: offset(5n) })))
    expect(refused).toMatchObject({
      code: Code.OutOfRange,
      detail: { code: 'OFFSET_OUT_OF_RANGE', details: { logStartOffset: '0', highWatermark: '0' } },
    })
  })

  test('a stopping node ends live reads with SHUTTING_DOWN', async () => {
    const live = log[0]!.read({ topic: 'demo', partition: 0, live: true })[Symbol.asyncIterator]()
    await live.next()
    nodes[0]!.stop.abort()
    expect((await failure(live.next())).detail).toMatchObject({ code: 'SHUTTING_DOWN' })
  })

  test('a slow reader costs position, not memory', async () => {
    const value = 'x'.repeat(500_000)
    for (let i = 0; i < 40; i++) {
      await log[0]!.append({ topic: 'demo', partition: 0, body: { case: 'recordSet', value: set(value).bytes } })
    }
    const stop = new AbortController()
    const reads = log[0]!.read({ topic: 'demo', partition: 0 }, { signal: stop.signal })[Symbol.asyncIterator]()
    await reads.next()
    await reads.next()
    await new Promise(resolve => setTimeout(resolve, 200))
    // 20 MB are there; what was sent is what windows and one buffer hold.
    expect(nodes[0]!.context.counters.bytesRead).toBeLessThan(12_000_000)
    stop.abort()
  })
})

test('ListOffsets asks every leader', async () => {
  nodes[0]!.topics.shared.leaders.set('demo/1', 2)
  await log[0]!.append({ topic: 'demo', partition: 1, body: { case: 'recordSet', value: set('a').bytes } })
  const { partitions } = await log[0]!.listOffsets({ topic: 'demo', time: 0n })
  expect(partitions).toMatchObject([
    { partition: 0, highWatermark: 0n },
    { partition: 1, highWatermark: 1n, timeOffset: 0n },
  ])
})

test('topics are made on any node; what is not there yet says so by name', async () => {
  const topics = createClient(TopicService, transport(nodes[1]!, '1.1'))
  const created = await topics.createTopic({ name: 'orders', config: { partitions: 5 } })
  expect(created).toMatchObject({ created: true, topic: { name: 'orders', config: { partitions: 5 } } })
  expect((await topics.listTopics({})).topics.map(topic => topic.name)).toEqual(['demo', 'orders'])
  expect((await failure(topics.createTopic({ name: 'no/slash' }))).detail?.code).toBe('INVALID_NAME')
  await topics.deleteTopic({ name: 'orders' })
  expect((await failure(topics.describeTopic({ name: 'orders' }))).code).toBe(Code.NotFound)
  expect((await failure(topics.alterTopic({ name: 'demo' }))).code).toBe(Code.Unimplemented)
  const groups = createClient(GroupService, transport(nodes[0]!))
  const refused = await failure(groups.listGroups({}))
  expect(refused).toMatchObject({ code: Code.Unimplemented, detail: { code: 'UNSUPPORTED' } })
})

test('the cluster describes itself', async () => {
  const cluster = createClient(ClusterService, transport(nodes[0]!))
  expect((await cluster.describeCluster({})).nodes.map(node => node.clientUrl)).toEqual(nodes.map(node => node.url))
  expect(await cluster.nodeStatus({})).toMatchObject({ node: 1, clusterId: 'fake' })
})
