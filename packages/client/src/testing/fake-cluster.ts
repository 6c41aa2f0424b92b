/**
 * Nodes on real sockets around partitions in memory: the client's services, spoken as brokers speak them, with faults on
 * demand. For tests of the client alone.
 */
import { createServer as createHttp1Server, type Server as Http1Server } from 'node:http'
import { createServer, type Http2Server, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from '@connectrpc/connect'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import {
  type AppendedSchema,
  type AppendStreamRequest,
  type AppendStreamResponse,
  AppendStreamResponseSchema,
  ClusterService,
  ErrorDetailSchema,
  Format,
  LogService,
  Outcome,
  type ReadRecordSchema,
  type ReadRequest,
  type ReadResponse,
  ReadResponseSchema,
  type Topic,
  TopicSchema,
  TopicService,
} from '@millrace/proto'
import { decodeFrame, ERRORS, framePayload, MillraceError, RecordSetReader } from '@millrace/record'
import { type FakeBatch, FakePartition } from './fake-partition.ts'

/** What to do with a batch instead of what a broker would do. */
export type Fault = MillraceError | 'lose-before-store' | 'lose-after-store' | 'silence'

export interface FakeNode {
  readonly id: number
  readonly url: string
  readonly server: Http2Server | Http1Server
  readonly sessions: Set<ServerHttp2Session>
  /** Fires when the node goes down. */
  readonly down: AbortController
}

export class FakeCluster {
  readonly topics: Map<string, FakePartition[]> = new Map<string, FakePartition[]>()
  readonly nodes: FakeNode[] = []
  /** Nodes that hold no replica of anything: they know who does, and not who leads. */
  readonly strangers: Set<number> = new Set()
  /** Asked for every batch on a stream; undefined: no fault. */
  fault: (request: AppendStreamRequest, node: number) => Fault | undefined = () => undefined
  /** Batches that reached a node, in order of arrival. */
  readonly batchSizes: number[] = []
  /** Time between a batch and its answer, in ms. */
  ackDelayMs = 0
  framesSent = 0

  /** HTTP/1.1, as browsers without TLS speak it, instead of HTTP/2. */
  #http1 = false

  static async start(
    topics: Readonly<Record<string, number>>,
    { nodes = 3, http1 = false }: { readonly nodes?: number; readonly http1?: boolean } = {},
  ): Promise<FakeCluster> {
    const cluster = new FakeCluster()
    cluster.#http1 = http1
    for (const [name, partitions] of Object.entries(topics)) cluster.addTopic(name, partitions, nodes)
    for (let id = 1; id <= nodes; id++) cluster.nodes.push(await cluster.#startNode(id, 0))
    return cluster
  }

  get urls(): string[] {
    return this.nodes.map(node => node.url)
  }

  /** Makes a topic, or lets one grow. */
  addTopic(name: string, partitions: number, nodes: number = this.nodes.length): void {
    const make = (_: unknown, i: number): FakePartition => new FakePartition(`${name}/${i}`, (i % nodes) + 1)
    const kept = this.topics.get(name) ?? []
    this.topics.set(name, [...kept, ...Array.from({ length: partitions }, make).slice(kept.length)])
  }

  partition(topic: string, partition: number): FakePartition {
    const found = this.topics.get(topic)
    if (found === undefined) throw new MillraceError('UNKNOWN_TOPIC', `there is no topic ${topic}`)
    if (found[partition] === undefined) throw new MillraceError('UNKNOWN_PARTITION', `${topic} has ${found.length}`)
    return found[partition]
  }

  node(id: number): FakeNode {
    return this.nodes[id - 1]!
  }

  /** Ends connections, as a killed process does. */
  async kill(id: number): Promise<void> {
    const node = this.node(id)
    node.down.abort()
    for (const partition of this.#partitions()) partition.wake()
    for (const session of node.sessions) session.destroy()
    await new Promise(resolve => node.server.close(resolve))
  }

  /** On the port that it had. */
  async restart(id: number): Promise<void> {
    this.nodes[id - 1] = await this.#startNode(id, Number(new URL(this.node(id).url).port))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.filter(node => node.server.listening).map(node => this.kill(node.id)))
  }

  #partitions(): FakePartition[] {
    return [...this.topics.values()].flat()
  }

  async #startNode(id: number, port: number): Promise<FakeNode> {
    const down = new AbortController()
    const handler = connectNodeAdapter({
      routes: router => this.#routes(router, id, down.signal),
      acceptCompression: [],
    })
    const server = this.#http1 ? createHttp1Server(handler) : createServer(handler)
    const sessions = new Set<ServerHttp2Session>()
    server.on('session', session => {
      sessions.add(session)
      session.on('error', () => session.destroy())
      session.on('close', () => sessions.delete(session))
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    return { id, url, server, sessions, down }
  }

  #routes(router: ConnectRouter, node: number, down: AbortSignal): void {
    const known = (name: string): Topic => {
      this.partition(name, 0)
      return this.#describe(name, node)
    }
    router.service(LogService, {
      append: request => {
        if (request.body.case !== 'recordSet') throw wireError(new MillraceError('UNSUPPORTED', 'plain records'))
        const { value: recordSet } = request.body
        const { count, codec } = new RecordSetReader(recordSet)
        const batch = { recordSet, count, codec, producer: request.producer, expect: request.expect }
        const entry = guarded(() => this.partition(request.topic, request.partition ?? 0).append(batch))
        return { appended: [appended(request.partition ?? 0, entry)] }
      },
      appendStream: (requests, context) => this.#appendStream(requests, node, anyOf(context, down)),
      read: (request, context) => this.#read(request, node, anyOf(context, down)),
    })
    router.service(TopicService, {
      createTopic: ({ name, config, ifNotExists }) => {
        const exists = this.topics.has(name)
        if (exists && !ifNotExists) throw wireError(new MillraceError('TOPIC_EXISTS', `${name} exists`))
        if (!exists) this.addTopic(name, config?.partitions || 3)
        return { topic: this.#describe(name, node), created: !exists }
      },
      describeTopic: ({ name }) => ({ topic: guarded(() => known(name)) }),
      listTopics: () => ({ topics: [...this.topics.keys()].map(name => this.#describe(name, node)) }),
      deleteTopic: ({ name }) => {
        guarded(() => known(name))
        this.topics.delete(name)
        return {}
      },
    })
    router.service(ClusterService, {
      describeCluster: () => ({
        clusterId: 'fake',
        node,
        nodes: this.nodes.map(({ id, url, down: d }) => ({ node: id, clientUrl: url, reachable: !d.signal.aborted })),
        version: '0.0.0',
      }),
    })
  }

  #describe(name: string, node: number): Topic {
    const isStranger = this.strangers.has(node)
    const partitions = this.topics.get(name)!.map((partition, i) => ({
      partition: i,
      leaderNode: isStranger || this.node(partition.leader)?.down.signal.aborted ? 0 : partition.leader,
      term: isStranger ? 0n : 1n,
      nodes: this.nodes.flatMap(({ id }) => (this.strangers.has(id) ? [] : [id])),
      highWatermark: BigInt(partition.highWatermark),
    }))
    return create(TopicSchema, { name, config: { partitions: partitions.length }, partitions })
  }

  #lead(partition: FakePartition, node: number): void {
    if (partition.leader === node) return
    const { leader, name } = partition
    if (this.strangers.has(node)) throw new MillraceError('NO_LEADER', `node ${node} knows no leader of ${name}`)
    const details = { leaderNode: leader, leaderUrl: this.node(leader).url }
    throw new MillraceError('NOT_LEADER', `node ${leader} leads ${name}`, { details })
  }

  async *#appendStream(
    requests: AsyncIterable<AppendStreamRequest>,
    node: number,
    signal: AbortSignal,
  ): AsyncGenerator<AppendStreamResponse> {
    const hello = { protocol: 1, node, clusterId: 'fake', inflightBytesMax: 4_194_304n }
    yield create(AppendStreamResponseSchema, { hello })
    for await (const request of untilAborted(requests, signal)) {
      if (request.topic === '') continue
      this.batchSizes.push(request.count)
      const fault = this.fault(request, node)
      if (fault === 'silence') continue
      if (fault === 'lose-before-store') return
      const { id } = request
      try {
        if (fault instanceof MillraceError) throw fault
        const partition = this.partition(request.topic, request.partition)
        this.#lead(partition, node)
        const entry = partition.append(request as FakeBatch)
        if (fault === 'lose-after-store') return
        if (this.ackDelayMs > 0) await new Promise(resolve => setTimeout(resolve, this.ackDelayMs))
        const value = appended(request.partition, entry)
        yield create(AppendStreamResponseSchema, { results: [{ id, result: { case: 'appended', value } }] })
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error
        const value = detailOf(error)
        yield create(AppendStreamResponseSchema, { results: [{ id, result: { case: 'error', value } }] })
      }
    }
  }

  async *#read(request: ReadRequest, node: number, signal: AbortSignal): AsyncGenerator<ReadResponse> {
    const partition = guarded(() => {
      const found = this.partition(request.topic, request.partition)
      if (!request.anyReplica) this.#lead(found, node)
      return found
    })
    partition.readers++
    try {
      yield* this.#readFrom(request, partition, node, signal)
    } finally {
      partition.readers--
    }
  }

  async *#readFrom(
    request: ReadRequest,
    partition: FakePartition,
    node: number,
    signal: AbortSignal,
  ): AsyncGenerator<ReadResponse> {
    const end = partition.highWatermark
    let offset = guarded(() => startOf(request, partition))
    const subscribed = { startOffset: BigInt(offset), highWatermark: BigInt(end) }
    yield create(ReadResponseSchema, { event: { case: 'subscribed', value: subscribed } })
    while (!signal.aborted && (request.live || offset < end)) {
      if (!request.anyReplica) guarded(() => this.#lead(partition, node))
      const entries = partition.entries.filter(entry => entry.baseOffset + entry.count > offset).slice(0, 4)
      if (entries.length === 0) {
        await Promise.race([partition.changed(), aborted(signal)])
        continue
      }
      offset = entries.at(-1)!.baseOffset + entries.at(-1)!.count
      this.framesSent += entries.length
      const highWatermark = BigInt(partition.highWatermark)
      if (request.format === Format.RECORDS) {
        const records = entries.flatMap(entry => decoded(entry.bytes))
        yield create(ReadResponseSchema, { event: { case: 'records', value: { records, highWatermark } } })
      } else {
        const frames = Buffer.concat(entries.map(entry => entry.bytes))
        yield create(ReadResponseSchema, { event: { case: 'frames', value: { frames, highWatermark } } })
      }
    }
  }
}

function startOf({ from }: ReadRequest, partition: FakePartition): number {
  const position = from?.position
  if (position?.case === 'latest') return partition.highWatermark
  if (position?.case === 'time') {
    const found = partition.entries.find(entry => entry.timestamp >= Number(position.value))
    return found?.baseOffset ?? partition.highWatermark
  }
  if (position?.case !== 'offset') return partition.logStartOffset
  const offset = Number(position.value)
  if (offset >= partition.logStartOffset && offset <= partition.highWatermark) return offset
  const range = `${partition.logStartOffset} to ${partition.highWatermark}`
  const { logStartOffset, highWatermark } = partition
  throw new MillraceError('OFFSET_OUT_OF_RANGE', `offset ${offset} is not in ${range}`, {
    details: { offset, logStartOffset, highWatermark },
  })
}

function decoded(bytes: Uint8Array): MessageInitShape<typeof ReadRecordSchema>[] {
  const frame = decodeFrame(bytes)
  if (typeof frame === 'string') throw new Error(frame)
  return [...new RecordSetReader(framePayload(frame))].map((record, i) => ({
    offset: BigInt(frame.header.baseOffset + i),
    timestamp: BigInt(frame.header.timestamp),
    createTime: BigInt(record.createTime),
    contentType: record.contentType,
    headers: Object.fromEntries(record.headers.map(({ name, value }) => [name, value])),
    ...(record.key === null ? {} : { key: record.key }),
    ...(record.value === null ? {} : { value: record.value }),
  }))
}

function appended(
  partition: number,
  entry: { readonly baseOffset: number; readonly count: number; readonly timestamp: number },
): MessageInitShape<typeof AppendedSchema> {
  const { baseOffset, count, timestamp } = entry
  return { partition, baseOffset: BigInt(baseOffset), count, timestamp: BigInt(timestamp) }
}

function detailOf(error: MillraceError): MessageInitShape<typeof ErrorDetailSchema> {
  const { code, outcome, retryable, message, details } = error
  const notLeader =
    code === 'NOT_LEADER'
      ? { notLeader: { leaderNode: Number(details.leaderNode), leaderUrl: String(details.leaderUrl) } }
      : {}
  return {
    code,
    outcome: outcome === 'not_stored' ? Outcome.NOT_STORED : Outcome.UNSPECIFIED,
    retryable,
    message,
    details: Object.fromEntries(Object.entries(details).map(([name, value]) => [name, String(value)])),
    ...notLeader,
  }
}

function wireError(error: MillraceError): ConnectError {
  const name = ERRORS[error.code].connect.replaceAll(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase())
  const code = Code[name as keyof typeof Code]
  return new ConnectError(error.message, code, undefined, [{ desc: ErrorDetailSchema, value: detailOf(error) }])
}

function guarded<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw error instanceof MillraceError ? wireError(error) : error
  }
}

function anyOf({ signal }: HandlerContext, down: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, down])
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]()
  const end = aborted(signal).then(() => ({ done: true as const, value: undefined }))
  for (;;) {
    const result = await Promise.race([iterator.next(), end])
    if (result.done) return
    yield result.value
  }
}
