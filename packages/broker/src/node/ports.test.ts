/** What each port of a node serves, and what it does not. */
import { create, type DescMethod, toBinary } from '@bufbuild/protobuf'
import { Client, credentials, Metadata, status as StatusCode } from '@grpc/grpc-js'
import { DescribePresenceRequestSchema, LogService, PeerService, TopicService } from '@millrace/proto'
import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { clusterConfigs } from '../testing/durable-cluster.ts'
import { initNode } from './init-node.ts'
import type { RunningNode } from './running-node.ts'
import { serveNode } from './serve-node.ts'

let node: RunningNode
let clientPort: string
let peerPort: string

beforeEach(async () => {
  const [config] = await clusterConfigs(1)
  await initNode(config!)
  const onFatal = (error: Error) => {
    throw error
  }
  node = await serveNode(config!, { onFatal, log: pino({ level: 'silent' }) })
  clientPort = config!.listen.client
  peerPort = config!.listen.peer
})
afterEach(() => node.close())

/** A call of a peer that has every right to it: another node of this cluster, for this node. */
async function statusOf(address: string, { parent, name, methodKind }: DescMethod): Promise<number> {
  const hello = { clusterId: node.clusterId, fromNode: 2, toNode: 1, incarnation: 7n, protocolMin: 1, protocolMax: 1 }
  // In every request of the peer service the hello is the same field.
  const request = toBinary(DescribePresenceRequestSchema, create(DescribePresenceRequestSchema, { hello, group: 1n }))
  const client = new Client(address, credentials.createInsecure())
  const path = `/${parent.typeName}/${name}`
  const serialize = (bytes: Uint8Array): Buffer => Buffer.from(bytes)
  const deserialize = (bytes: Buffer): Buffer => bytes
  try {
    return await new Promise<number>(resolve => {
      if (methodKind === 'unary') {
        const answered = (error: { readonly code: number } | null): void => resolve(error?.code ?? StatusCode.OK)
        client.makeUnaryRequest(path, serialize, deserialize, request, new Metadata(), {}, answered)
        return
      }
      const call = client.makeBidiStreamRequest(path, serialize, deserialize)
      call.on('error', (error: { readonly code: number }) => resolve(error.code))
      // A welcome: it is served.
      call.on('data', () => resolve(StatusCode.OK))
      call.write(request)
    })
  } finally {
    client.close()
  }
}

test.each(PeerService.methods)(
  'the client port refuses $name of the peer service, which the peer port serves',
  async method => {
    expect(await statusOf(clientPort, method)).toBe(StatusCode.UNIMPLEMENTED)
    expect(await statusOf(peerPort, method)).not.toBe(StatusCode.UNIMPLEMENTED)
  },
)

test('the peer port serves no client: no HTTP/1.1, and nothing of its services', async () => {
  expect((await fetch(`http://${clientPort}/livez`)).status).toBe(200)
  await expect(fetch(`http://${peerPort}/livez`)).rejects.toThrow()
  for (const method of [...LogService.methods, ...TopicService.methods]) {
    expect(await statusOf(peerPort, method), method.name).toBe(StatusCode.UNIMPLEMENTED)
  }
})
