/** What happens on connections that fill up, carry nothing any more, or are not from whom they should be. */
import { Client, credentials, Metadata, type MethodDefinition } from '@grpc/grpc-js'
import { afterEach, expect, test } from 'vitest'
import { entryOfFrame } from '../entry-frame.ts'
import { payloadCopies } from '../payload-copies.ts'
import { joinedFrames } from '../testing/joined-frames.ts'
import { RecordingHandler } from '../testing/recording-handler.ts'
import { TcpProxy } from '../testing/tcp-proxy.ts'
import { until } from '../testing/until.ts'
import type { GroupMessage } from '../transport.ts'
import { createGrpcTransport, type GrpcTransport, type GrpcTransportOptions } from './grpc-transport.ts'
import { encodeHello } from './handshake.ts'
import { reconnectDelayMs } from './peer-connection.ts'
import { CLIENT_OPTIONS, PEER_METHODS } from './peer-service.ts'

const cleanup: (() => unknown)[] = []

afterEach(async () => {
  for (const run of cleanup.splice(0).reverse()) await run()
})

async function start(
  options: Partial<GrpcTransportOptions>,
): Promise<{ transport: GrpcTransport; seen: RecordingHandler }> {
  const transport = createGrpcTransport({ nodeId: 1, clusterId: 'c', peers: new Map(), ...options })
  const seen = new RecordingHandler()
  cleanup.push(() => transport.close())
  await transport.start(seen)
  return { transport, seen }
}

async function proxyTo(port: number): Promise<TcpProxy> {
  const proxy = await TcpProxy.to(port)
  cleanup.push(() => proxy.close())
  return proxy
}

function append(index: number, bytes: number): GroupMessage {
  const entries = joinedFrames(1, index, 1, bytes).map(entryOfFrame)
  const envelope = { type: 'append', from: 1, to: 2, term: 3, prevIndex: index - 1, prevTerm: 3, commit: 0 } as const
  return { group: 1, message: { ...envelope, entries } }
}

test('a peer that reads nothing fills its own queue and no more, and slows nobody', async () => {
  const slow = await start({ nodeId: 2 })
  const quick = await start({ nodeId: 3 })
  const proxy = await proxyTo(slow.transport.port)
  const peers = new Map([
    [2, proxy.address],
    [3, `127.0.0.1:${quick.transport.port}`],
  ])
  const queueBytesMax = 8_000_000
  const { transport, seen } = await start({ peers, appendQueueBytesMax: queueBytesMax, keepaliveMs: 60_000 })
  await until('connected', () => transport.isConnected(2) && transport.isConnected(3))
  proxy.stall()
  let sent = 0
  for (; !seen.unreachables.includes(2); sent++) {
    transport.send(2, [append(10 + sent, 500_000)])
    transport.send(3, [append(10 + sent, 500_000)])
    await until('the quick one has it', () => quick.seen.received.length === sent + 1)
    expect(transport.queuedBytes(2)).toBeLessThanOrEqual(queueBytesMax)
    expect(transport.queuedBytes(3)).toBeLessThanOrEqual(1_000_000)
  }
  // Windows and sockets take a part that is bounded too.
  expect(sent * 500_000).toBeLessThan(64_000_000)
  expect(seen.unreachables).not.toContain(3)
  // Heartbeats have a connection of their own, but this one is stalled with the rest; to the other peer all is well.
  transport.send(3, [{ group: 1, message: { type: 'heartbeat', from: 1, to: 3, term: 3, commit: 0, context: 0 } }])
  await until('a heartbeat', () => quick.seen.types().includes('heartbeat'))
})

test('heartbeats and votes arrive while the connection of the entries carries nothing', async () => {
  const peer = await start({ nodeId: 2 })
  const proxy = await proxyTo(peer.transport.port)
  const { transport, seen } = await start({ peers: new Map([[2, proxy.address]]), keepaliveMs: 60_000 })
  await until('connected', () => transport.isConnected(2))
  transport.send(2, [append(10, 500_000)])
  await until('entries arrive', () => peer.seen.received.length === 1)
  proxy.stallBusiest()
  for (let i = 1; i <= 20; i++) transport.send(2, [append(10 + i, 500_000)])
  const heartbeat = { type: 'heartbeat', from: 1, to: 2, term: 3, commit: 0, context: 0 } as const
  const vote = { type: 'vote', from: 1, to: 2, term: 4, lastIndex: 1, lastTerm: 1, transfer: false } as const
  for (const message of [heartbeat, vote]) transport.send(2, [{ group: 1, message }])
  await until('both arrive', () => ['heartbeat', 'vote'].every(type => peer.seen.types().includes(type)))
  expect(peer.seen.types().filter(type => type === 'append')).toHaveLength(1)
  expect(transport.queuedBytes(2)).toBeGreaterThan(1_000_000)
  expect(seen.unreachables).toEqual([])
})

test('nothing is queued for a node that is not there, and every call says so', async () => {
  const peer = await start({ nodeId: 2 })
  const { transport, seen } = await start({ peers: new Map([[2, `127.0.0.1:${peer.transport.port}`]]) })
  await until('connected', () => transport.isConnected(2))
  await peer.transport.close()
  await until('lost', () => seen.unreachables.includes(2))
  seen.unreachables.length = 0
  const heartbeat = { type: 'heartbeat', from: 1, to: 2, term: 3, commit: 0, context: 0 } as const
  for (let i = 0; i < 1_000; i++) {
    transport.send(2, [{ group: 1, message: heartbeat }, append(10 + i, 1_000)])
    expect(transport.queuedBytes(2)).toBe(0)
  }
  await until('all are reported', () => seen.unreachables.length === 1_000)
})

test.each([
  // Frames of one group stay in the message that brought them; those of several would keep each other alive.
  { groups: 1, frames: 40, owned: 0 },
  { groups: 2, frames: 4, owned: 1 },
])(
  'a frame is copied once per follower on its way out, and at most twice on its way in: $groups groups',
  async ({ groups, frames, owned }) => {
    const followers = [await start({ nodeId: 2 }), await start({ nodeId: 3 })]
    const peers = new Map(followers.map(({ transport }, i) => [i + 2, `127.0.0.1:${transport.port}`]))
    const { transport } = await start({ peers })
    await until('connected', () => transport.isConnected(2) && transport.isConnected(3))
    const entries = joinedFrames(1, 10, frames, 20_000).map(entryOfFrame)
    const framed = groups * entries.reduce((sum, entry) => sum + entry.size, 0)
    const envelope = { type: 'append', from: 1, to: 2, term: 3, prevIndex: 9, prevTerm: 3, commit: 0 } as const
    const messages = Array.from({ length: groups }, (_, at) => ({ group: 1 + at, message: { ...envelope, entries } }))
    Object.assign(payloadCopies, { on: true, sent: 0, received: 0, owned: 0 })
    cleanup.push(() => Object.assign(payloadCopies, { on: false }))
    for (const node of [2, 3]) transport.send(node, messages)
    await until('it arrives', () => followers.every(({ seen }) => seen.received.length === groups))
    // Beside the frames a message has a few fields.
    expect(payloadCopies.sent - 2 * framed).toBeGreaterThanOrEqual(0)
    expect(payloadCopies.sent - 2 * framed).toBeLessThan(200)
    expect([payloadCopies.received, payloadCopies.owned]).toEqual([2 * framed, 2 * framed * owned])
  },
)

test('a connection that carries nothing any more is given up within its deadline, and made anew', async () => {
  const peer = await start({ nodeId: 2 })
  const proxy = await proxyTo(peer.transport.port)
  const { transport, seen } = await start({ peers: new Map([[2, proxy.address]]), keepaliveMs: 100 })
  await until('connected', () => transport.isConnected(2))
  const before = proxy.accepted
  proxy.stall()
  transport.send(2, [append(10, 10)])
  await until('lost', () => seen.unreachables.includes(2))
  await until('connected again', () => transport.isConnected(2) && proxy.accepted > before)
  // Nobody refused a connection: it is no evidence that the process is gone.
  expect(seen.gones).toEqual([])
  transport.send(2, [append(11, 10)])
  await until('messages flow', () => peer.seen.received.length === 1)
})

test('votes whose answers are lost count for a deadline only, then others are asked for', async () => {
  const peer = await start({ nodeId: 2 })
  const proxy = await proxyTo(peer.transport.port)
  const { transport, seen } = await start({
    ...{ peers: new Map([[2, proxy.address]]), voteDeadlineMs: 50, keepaliveMs: 60_000 },
  })
  await until('connected', () => transport.isConnected(2))
  proxy.stall()
  const message = { type: 'vote', from: 1, to: 2, term: 4, lastIndex: 1, lastTerm: 1, transfer: false } as const
  /** @returns whether there was room for another call */
  const ask = async (group: number): Promise<boolean> => {
    const refused = seen.unreachables.length
    transport.send(2, [{ group, message }])
    await new Promise(resolve => setImmediate(resolve))
    await new Promise(resolve => setImmediate(resolve))
    return seen.unreachables.length === refused
  }
  let group = 1
  for (; group <= 65; group++) transport.send(2, [{ group, message }])
  await until('too many at once are refused', () => seen.unreachables.includes(2))
  for (let taken = false; !taken; group++) {
    await new Promise(resolve => setTimeout(resolve, 5))
    taken = await ask(group)
    expect(group).toBeLessThan(2_000)
  }
  expect(transport.isConnected(2)).toBe(true)
})

test('a lost peer is called again after 50 ms, then half as often each time, down to once a second, with jitter', () => {
  const most = (failures: number): number => reconnectDelayMs(failures, () => 0)
  const least = (failures: number): number => reconnectDelayMs(failures, bound => bound - 1)
  expect([0, 1, 2, 3, 4, 5, 6, 60].map(most)).toEqual([50, 100, 200, 400, 800, 1_000, 1_000, 1_000])
  for (const failures of [0, 3, 60]) {
    expect(least(failures)).toBeGreaterThanOrEqual(most(failures) * 0.75)
    expect(least(failures)).toBeLessThan(most(failures) * 0.8)
  }
})

const self = { clusterId: 'c', nodeId: 7, incarnation: 5 }
const wrong: [string, Buffer][] = [
  ['of another cluster', encodeHello({ ...self, clusterId: 'other' }, 2)],
  ['for another node', encodeHello(self, 3)],
  ['without a hello', Buffer.from([18, 0])],
]

test.each(wrong)('no call %s is answered or heard, whatever it asks for', async (_what, hello) => {
  const { transport, seen } = await start({ nodeId: 2 })
  const client = new Client(`127.0.0.1:${transport.port}`, credentials.createInsecure(), CLIENT_OPTIONS)
  cleanup.push(() => client.close())
  const { appendEntries, heartbeat, requestVote } = PEER_METHODS
  for (const method of [appendEntries, heartbeat]) {
    const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize)
    const answers: Buffer[] = []
    call.on('data', (bytes: Buffer) => answers.push(bytes))
    call.write(hello)
    // A heartbeat for group 1: the second message would be read as that.
    call.write(Buffer.from([18, 4, 8, 1, 32, 9]))
    const error = await new Promise<{ code?: number }>(resolve => call.on('error', resolve))
    expect([error.code, answers]).toEqual([9, []])
  }
  const error = await unary(client, requestVote, hello)
  expect([error?.code, seen.received, seen.beats]).toEqual([9, [], []])
})

function unary(
  client: Client,
  method: MethodDefinition<Buffer, Buffer>,
  request: Buffer,
): Promise<{ code?: number } | null> {
  const { path, requestSerialize, responseDeserialize } = method
  return new Promise(resolve => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, new Metadata(), {}, resolve)
  })
}
