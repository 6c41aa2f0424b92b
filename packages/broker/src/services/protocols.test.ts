/** The streams that carry records, by every kind of client: all must see the same, whichever code serves them. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type Client, ConnectError, createClient, type Transport } from '@connectrpc/connect'
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node'
import { createConnectTransport as createWebTransport } from '@connectrpc/connect-web'
import { credentials, Client as GrpcClient } from '@grpc/grpc-js'
import {
  type AppendStreamRequest,
  AppendStreamRequestSchema,
  type AppendStreamResponse,
  AppendStreamResponseSchema,
  ErrorDetailSchema,
  LogService,
} from '@millrace/proto'
import { crc32, encodeRecordSet, LIMITS } from '@millrace/record'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FakeNode, startFakeNodes } from '../testing/fake-node.ts'

let node: FakeNode

beforeEach(async () => {
  ;[node] = (await startFakeNodes(1)) as [FakeNode]
  await node.topics.create({ name: 'demo', config: { partitions: 1 }, ifNotExists: false })
})
afterEach(() => node.close())

/** Small and larger than any window or chunk. */
const SIZES = [1, 100_000, 900_000]

const requests = SIZES.map((size, at): AppendStreamRequest => {
  const { bytes, count, codec } = encodeRecordSet([{ value: 'x'.repeat(size), key: null, createTime: 1 }], {
    codec: 'none',
  })
  const request = { id: BigInt(at + 1), topic: 'demo', recordSet: bytes, payloadCrc: crc32(bytes), count, codec }
  return create(AppendStreamRequestSchema, request)
})

type Call = { readonly timeoutMs?: number }
interface Kind {
  readonly transport: () => Transport
  readonly call?: Call
}

const http2 = (): { baseUrl: string; httpVersion: '2' } => ({ baseUrl: node.url, httpVersion: '2' })
const KINDS: Readonly<Record<string, Kind>> = {
  'Connect, binary, HTTP/2': { transport: () => createConnectTransport({ ...http2(), acceptCompression: [] }) },
  'Connect, binary, HTTP/2, compressing': { transport: () => createConnectTransport(http2()) },
  'Connect, binary, HTTP/2, with a time limit': {
    transport: () => createConnectTransport(http2()),
    call: { timeoutMs: 30_000 },
  },
  'Connect, JSON, HTTP/2': { transport: () => createConnectTransport({ ...http2(), useBinaryFormat: false }) },
  'Connect, binary, HTTP/1.1': { transport: () => createConnectTransport({ baseUrl: node.url, httpVersion: '1.1' }) },
  'gRPC, HTTP/2': { transport: () => createGrpcTransport({ baseUrl: node.url }) },
  'gRPC-Web, HTTP/2': { transport: () => createGrpcWebTransport(http2()) },
  'Connect of browsers': { transport: () => createWebTransport({ baseUrl: node.url, useBinaryFormat: true }) },
}
/** Neither fetch nor HTTP/1.1 has requests that go on while answers come. */
const ONE_WAY = new Set(['Connect of browsers', 'Connect, binary, HTTP/1.1'])
const TWO_WAY = Object.entries(KINDS).filter(([name]) => !ONE_WAY.has(name))

/** Answers of a stream of appends, in order. */
async function appendAll(log: Client<typeof LogService>, call: Call): Promise<object[]> {
  const found: AppendStreamResponse[] = []
  async function* sent(): AsyncGenerator<AppendStreamRequest> {
    yield* requests
  }
  for await (const response of log.appendStream(sent(), call)) found.push(response)
  expect(found[0]!.hello).toMatchObject({ node: 1, protocol: 1 })
  return found.flatMap(({ results }) => results).map(({ id, result }) => ({ id, case: result.case, ...result.value }))
}

/** Frames of a read from the start to the end, and what was said of the end. */
async function readAll(log: Client<typeof LogService>, call: Call): Promise<{ frames: Buffer; highWatermark: bigint }> {
  const frames: Uint8Array[] = []
  let highWatermark = -1n
  const from = { position: { case: 'earliest' as const, value: true } }
  for await (const { event } of log.read({ topic: 'demo', from, batchBytesMax: 200_000 }, call)) {
    if (event.case === 'subscribed') expect(event.value).toMatchObject({ startOffset: 0n, highWatermark: 3n })
    if (event.case !== 'frames') continue
    frames.push(event.value.frames)
    highWatermark = event.value.highWatermark
  }
  return { frames: Buffer.concat(frames), highWatermark }
}

async function errorOf(stream: AsyncIterable<unknown>): Promise<object> {
  try {
    for await (const _ of stream);
  } catch (reason) {
    const error = ConnectError.from(reason)
    const detail = error.findDetails(ErrorDetailSchema)[0]
    return { code: error.code, message: error.rawMessage, detail }
  }
  throw new Error('did not fail')
}

async function* only(request: AppendStreamRequest): AsyncGenerator<AppendStreamRequest> {
  yield request
}

describe.each(TWO_WAY)('%s, both ways', (_name, { transport, call = {} }) => {
  test('appends are answered in order, and a read gives back the frames', async () => {
    const log = createClient(LogService, transport())
    const answers = await appendAll(log, call)
    expect(answers).toMatchObject([
      { id: 1n, case: 'appended', baseOffset: 0n, count: 1 },
      { id: 2n, case: 'appended', baseOffset: 1n, count: 1 },
      { id: 3n, case: 'appended', baseOffset: 2n, count: 1 },
    ])
    const { frames, highWatermark } = await readAll(log, call)
    for (const { recordSet } of requests) expect(frames.includes(Buffer.from(recordSet))).toBe(true)
    expect(highWatermark).toBe(3n)
  })
})

describe.each(Object.entries(KINDS))('%s', (name, { transport, call = {} }) => {
  test('a read of what others appended is the same to the byte', async () => {
    await appendAll(createClient(LogService, createGrpcTransport({ baseUrl: node.url })), {})
    const reference = await readAll(createClient(LogService, createGrpcTransport({ baseUrl: node.url })), {})
    expect(reference.frames.length).toBeGreaterThan(1_000_000)
    expect(await readAll(createClient(LogService, transport()), call)).toEqual(reference)
  })

  test('errors say the same', async () => {
    const log = createClient(LogService, transport())
    const beyond = { position: { case: 'offset' as const, value: 7n } }
    expect(await errorOf(log.read({ topic: 'demo', from: beyond }, call))).toMatchObject({
      detail: { code: 'OFFSET_OUT_OF_RANGE' },
    })
    expect(await errorOf(log.read({ topic: 'nowhere' }, call))).toMatchObject({ detail: { code: 'UNKNOWN_TOPIC' } })
    if (ONE_WAY.has(name) || name.includes('JSON')) return
    const tooLong = new Uint8Array(LIMITS.recordSetBytesMax * 2)
    expect(
      await errorOf(
        log.appendStream(only(create(AppendStreamRequestSchema, { topic: 'demo', recordSet: tooLong })), call),
      ),
    ).toMatchObject({
      detail: { code: 'RECORD_TOO_LARGE', details: { limit: 'recordSetBytesMax' } },
    })
  })
})

test('a client of grpc-js appends', async () => {
  const client = new GrpcClient(new URL(node.url).host, credentials.createInsecure())
  const call = client.makeBidiStreamRequest(
    `/${LogService.typeName}/AppendStream`,
    (message: AppendStreamRequest) => Buffer.from(toBinary(AppendStreamRequestSchema, message)),
    bytes => fromBinary(AppendStreamResponseSchema, bytes),
  )
  const found: AppendStreamResponse[] = []
  call.on('data', (response: AppendStreamResponse) => found.push(response))
  const ended = new Promise((resolve, reject) => call.on('end', resolve).on('error', reject))
  for (const request of requests) call.write(request)
  call.end()
  await ended
  client.close()
  expect(found.flatMap(({ results }) => results).map(({ id }) => id)).toEqual([1n, 2n, 3n])
})

test('bytes that are no message end the stream with the caller\u2019s fault', async () => {
  const { connect } = await import('node:http2')
  const session = connect(node.url)
  const answer = (body: Buffer): Promise<string> =>
    new Promise((resolve, reject) => {
      const headers = {
        ':method': 'POST',
        ':path': `/${LogService.typeName}/Read`,
        'content-type': 'application/connect+proto',
      }
      const chunks: Buffer[] = []
      const stream = session
        .request(headers)
        .on('data', chunk => chunks.push(chunk))
        .on('error', reject)
      stream.on('end', () => resolve(Buffer.concat(chunks).toString('latin1')))
      stream.end(body)
    })
  const broken = await answer(Buffer.from([0, 0, 0, 0, 3, 10, 200, 1]))
  expect(broken.charCodeAt(0)).toBe(2)
  expect(JSON.parse(broken.slice(5))).toMatchObject({
    error: { code: 'invalid_argument', details: [{ debug: { code: 'INVALID_ARGUMENT' } }] },
  })
  expect(await answer(Buffer.from([1, 0, 0, 0, 0]))).toContain('an envelope with flags 1 is not known')
  expect(await answer(Buffer.alloc(0))).toContain('missing input message')
  expect(await answer(Buffer.from([0, 0, 0]))).toContain('ended inside a message')
  session.close()
})
