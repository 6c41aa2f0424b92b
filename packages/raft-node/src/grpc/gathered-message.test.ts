import { Client, credentials, type MethodDefinition, Server, ServerCredentials } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { payloadCopies } from '../payload-copies.ts'
import { addPiece, GatheredMessage } from './gathered-message.ts'
import { CLIENT_OPTIONS } from './peer-service.ts'

const asIs = (bytes: Buffer): Buffer => bytes
const ECHO: MethodDefinition<Buffer, Buffer> = {
  ...{ path: '/test.Test/Echo', requestStream: true, responseStream: true },
  ...{ requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs },
}

test('grpc-js sends a message in pieces, and copies it once', async () => {
  const server = new Server()
  server.addService(
    { echo: ECHO },
    {
      echo: (call: { on(event: 'data', take: (bytes: Buffer) => void): void; write(bytes: Buffer): void }) =>
        call.on('data', bytes => call.write(bytes)),
    },
  )
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), CLIENT_OPTIONS)
  try {
    const pieces = [10, 100_000, 1, 1_000_000].map((bytes, i) => new Uint8Array(bytes).fill(i + 1))
    const message = new GatheredMessage(pieces)
    Object.assign(payloadCopies, { on: true, sent: 0 })
    const call = client.makeBidiStreamRequest(ECHO.path, asIs, asIs)
    const received = new Promise<Buffer>((resolve, reject) => call.on('data', resolve).on('error', reject))
    call.write(message.asBuffer())
    expect((await received).equals(Buffer.concat(pieces))).toBe(true)
    expect(payloadCopies.sent).toBe(message.length)
    call.cancel()
  } finally {
    payloadCopies.on = false
    client.close()
    server.forceShutdown()
  }
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
