import {
  Client,
  type ClientDuplexStream,
  credentials,
  type MethodDefinition,
  Server,
  ServerCredentials,
} from '@grpc/grpc-js'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { payloadCopies } from '../payload-copies.ts'
import { addPiece, GatheredMessage } from './gathered-message.ts'
import { CLIENT_OPTIONS } from './peer-service.ts'

const asIs = (bytes: Buffer): Buffer => bytes
const ECHO: MethodDefinition<Buffer, Buffer> = {
  ...{ path: '/test.Test/Echo', requestStream: true, responseStream: true },
  ...{ requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs },
}

interface EchoCall {
  on(event: 'data', take: (bytes: Buffer) => void): void
  write(bytes: Buffer): void
  pause(): void
}

let server: Server
let client: Client

beforeEach(() => {
  server = new Server()
})
afterEach(() => {
  payloadCopies.on = false
  client.close()
  server.forceShutdown()
})

/** A stream to a server that serves it so. */
async function callTo(echo: (call: EchoCall) => void): Promise<ClientDuplexStream<Buffer, Buffer>> {
  server.addService({ echo: ECHO }, { echo })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), CLIENT_OPTIONS)
  return client.makeBidiStreamRequest(ECHO.path, asIs, asIs)
}

const received = (call: ClientDuplexStream<Buffer, Buffer>): Promise<Buffer> =>
  new Promise((resolve, reject) => call.once('data', resolve).once('error', reject))

/** Opens the stream as a peer's is: with a small message that is answered. */
async function open(call: ClientDuplexStream<Buffer, Buffer>): Promise<void> {
  const answer = received(call)
  call.write(Buffer.from('hello'))
  await answer
}

test('grpc-js sends messages in pieces, copies each once, and does not look at the copy after it is flushed', async () => {
  const call = await callTo(echo => echo.on('data', bytes => echo.write(bytes)))
  await open(call)
  Object.assign(payloadCopies, { on: true, sent: 0 })
  const sent: Buffer[] = []
  const came: Buffer[] = []
  const all = new Promise<void>((resolve, reject) => {
    call.on('error', reject)
    call.on('data', (bytes: Buffer) => {
      if (came.push(bytes) === 10) resolve()
    })
  })
  for (let i = 0; i < 10; i++) {
    const pieces = [10, 100_000, 1, 1_000_000 + i].map((bytes, j) => new Uint8Array(bytes).fill(i + j + 1))
    const message = new GatheredMessage(pieces)
    sent.push(Buffer.concat(pieces))
    call.write(message.asBuffer(), () => message.flushed())
  }
  await all
  expect(came.map((bytes, i) => bytes.equals(sent[i]!))).toEqual(sent.map(() => true))
  expect(payloadCopies.sent).toBe(sent.reduce((sum, { length }) => sum + length, 0))
  call.cancel()
})

test('a message is flushed when the socket has taken it, not before: what a peer does not read counts', async () => {
  const call = await callTo(echo => {
    echo.on('data', bytes => {
      echo.write(bytes)
      echo.pause()
    })
  })
  call.on('error', () => undefined)
  await open(call)
  let flushed = 0
  // Behind the window of a server that reads one message more: 64 KiB.
  for (let i = 0; i < 9; i++) call.write(new GatheredMessage([new Uint8Array(100_000)]).asBuffer(), () => flushed++)
  // A call on the same connection takes several turns of the loop there and back.
  const other = client.makeBidiStreamRequest(ECHO.path, asIs, asIs)
  other.on('error', () => undefined)
  await open(other)
  expect(flushed).toBeLessThan(3)
  call.cancel()
  other.cancel()
})

test('pieces that lie side by side are one', () => {
  const memory = new Uint8Array(100).map((_, i) => i)
  const pieces: Uint8Array[] = []
  for (const [from, to] of [
    [0, 10],
    [10, 30],
    [40, 50],
    [30, 40],
  ] as const)
    addPiece(pieces, memory.subarray(from, to))
  expect(pieces.map(piece => [piece.byteOffset, piece.length])).toEqual([
    [0, 30],
    [40, 10],
    [30, 10],
  ])
  expect([...new GatheredMessage(pieces).toBuffer()].slice(38)).toEqual([
    48, 49, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
  ])
})
