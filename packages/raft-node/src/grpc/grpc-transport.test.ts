import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { entryOfFrame } from '../entry-frame.ts'
import type { NodeEvent } from '../node.ts'
import { describeBeats } from '../testing/beat-contract.ts'
import { describeFrameQuestions } from '../testing/frame-contract.ts'
import { freePorts } from '../testing/free-ports.ts'
import { joinedFrames } from '../testing/joined-frames.ts'
import { RecordingHandler, type TransportNetwork } from '../testing/recording-handler.ts'
import { describeTransport } from '../testing/transport-contract.ts'
import { until } from '../testing/until.ts'
import { createGrpcTransport, type GrpcTransport } from './grpc-transport.ts'

const openNetwork = async (): Promise<TransportNetwork> => {
  const ports = await freePorts(2)
  const peers = new Map(ports.map((port, i) => [i + 1, `127.0.0.1:${port}`]))
  return {
    transport: async node =>
      createGrpcTransport({ nodeId: node, clusterId: 'c', listen: { port: ports[node - 1]! }, peers }),
  }
}

describeTransport('the gRPC transport', openNetwork)
describeBeats('the gRPC transport', openNetwork)
describeFrameQuestions('the gRPC transport', openNetwork)

async function withTransports(
  run: (open: (options: Partial<Parameters<typeof createGrpcTransport>[0]>) => GrpcTransport) => Promise<void>,
): Promise<void> {
  const opened: GrpcTransport[] = []
  try {
    await run(options => {
      const transport = createGrpcTransport({ nodeId: 1, clusterId: 'c', peers: new Map(), ...options })
      opened.push(transport)
      return transport
    })
  } finally {
    for (const transport of opened) await transport.close()
  }
}

test('a port in use is refused with the address and the reason', async () => {
  const taken = createServer()
  await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as { port: number }
  await withTransports(async open => {
    const transport = open({ listen: { port } })
    await expect(transport.start(new RecordingHandler())).rejects.toThrow(
      `cannot listen for peers on 127.0.0.1:${port}: the port is in use by another process`,
    )
  })
  taken.close()
})

test('a node of another cluster, or one that looks for another node, is refused and told why', async () => {
  await withTransports(async open => {
    const events: NodeEvent[] = []
    const server = open({ nodeId: 2, log: event => events.push(event) })
    const handler = new RecordingHandler()
    await server.start(handler)
    const address = `127.0.0.1:${server.port}`
    const told: NodeEvent[] = []
    const foreign = open({ clusterId: 'other', peers: new Map([[2, address]]), log: event => told.push(event) })
    await foreign.start(new RecordingHandler())
    await until('the foreign node is told', () =>
      told.some(event => event.message.includes('belongs to cluster other')),
    )
    const lost = open({ peers: new Map([[3, address]]), log: event => told.push(event) })
    await lost.start(new RecordingHandler())
    await until('the lost node is told', () => told.some(event => event.message.includes('this is node 2')))
    expect(foreign.isConnected(2) || lost.isConnected(3)).toBe(false)
    await until('and it is in the log', () => events.length === 2)
    expect(handler.received).toEqual([])
  })
})

test('messages that this version cannot carry are refused by name', async () => {
  await withTransports(async open => {
    const events: NodeEvent[] = []
    const transport = open({ log: event => events.push(event) })
    await transport.start(new RecordingHandler())
    transport.send(2, [{ group: 1, message: { type: 'transferLeader', from: 1, to: 2, term: 1, target: 2 } }])
    expect(events.map(event => event.message)).toEqual([
      'messages of type transferLeader cannot be sent by this version',
    ])
  })
})

test('a queue that is full drops and reports, and the peer is served again afterwards', async () => {
  await withTransports(async open => {
    const server = open({ nodeId: 2 })
    const seen = new RecordingHandler()
    await server.start(seen)
    const sender = open({ peers: new Map([[2, `127.0.0.1:${server.port}`]]), appendQueueBytesMax: 200_000 })
    const reported = new RecordingHandler()
    await sender.start(reported)
    await until('connected', () => sender.isConnected(2))
    const send = (first: number): void => {
      const entries = joinedFrames(1, first, 1, 90_000).map(entryOfFrame)
      const message = {
        type: 'append',
        from: 1,
        to: 2,
        term: 3,
        prevIndex: first - 1,
        prevTerm: 3,
        commit: 0,
        entries,
      } as const
      sender.send(2, [{ group: 1, message }])
    }
    for (let i = 0; i < 5; i++) send(10 + i)
    expect(sender.queuedBytes(2)).toBeLessThanOrEqual(200_000)
    await until('unreachable', () => reported.unreachables.includes(2))
    await until('what fitted arrives', () => seen.received.length === 2 && sender.queuedBytes(2) === 0)
    send(50)
    await until('served again', () => seen.received.length === 3)
  })
})

test('a bad frame loses its append, not its neighbours', async () => {
  await withTransports(async open => {
    const events: NodeEvent[] = []
    const server = open({ nodeId: 2, log: event => events.push(event) })
    const seen = new RecordingHandler()
    await server.start(seen)
    const sender = open({ peers: new Map([[2, `127.0.0.1:${server.port}`]]) })
    await sender.start(new RecordingHandler())
    await until('connected', () => sender.isConnected(2))
    const good = joinedFrames(1, 10, 1).map(entryOfFrame)
    const bad = joinedFrames(2, 10, 1).map(entryOfFrame)
    bad[0]!.payload!.bytes[33]! ^= 1
    const envelope = { type: 'append', from: 1, to: 2, term: 3, prevIndex: 9, prevTerm: 3, commit: 0 } as const
    sender.send(2, [
      { group: 2, message: { ...envelope, entries: bad } },
      { group: 1, message: { ...envelope, entries: good } },
    ])
    await until('the good one arrives', () => seen.received.length === 1)
    expect(seen.received[0]!.message.group).toBe(1)
    expect(events).toMatchObject([{ level: 'error', group: 2 }])
    expect(events[0]!.message).toContain('header-checksum')
  })
})
