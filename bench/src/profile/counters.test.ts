import { once } from 'node:events'
import { connect, createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { awaitStreams, startCounting } from './counters.ts'

const KIB = 1_024

test('copies are counted by their bytes, each way of copying once, and what is small is not', () => {
  const source = Buffer.alloc(KIB, 1)
  const plain = new Uint8Array(KIB)
  const stop = startCounting()
  const target = new Uint8Array(4 * KIB)
  target.set(source, 0)
  source.copy(target, KIB)
  target.copyWithin(2 * KIB, 0, KIB)
  plain.slice()
  Buffer.concat([source, source])
  Buffer.from(plain)
  // Views, and a copy that is no payload.
  source.subarray(10)
  source.slice(10)
  Buffer.from(plain.buffer)
  target.set(source.subarray(0, 63))
  const { copiedBytes } = stop()
  expect(copiedBytes).toBe(7 * KIB)
})

test('places are those of the callers, as many bytes as there were', () => {
  const source = Buffer.alloc(100)
  const target = new Uint8Array(100)
  const stop = startCounting()
  for (let i = 0; i < 31_000; i++) target.set(source)
  const { copiedBytes, copiedAt } = stop()
  expect(copiedBytes).toBe(3_100_000)
  const [[place, bytes] = []] = Object.entries(copiedAt)
  expect(Object.keys(copiedAt)).toHaveLength(1)
  expect(place).toMatch(/^bench\/src\/profile\/counters\.test\.ts:\d+$/)
  expect(bytes).toBe(3_100_000)
})

test('large copies are all placed, between small ones of other places', () => {
  const [small, large] = [Buffer.alloc(100), Buffer.alloc(5_000)]
  const stop = startCounting()
  for (let i = 0; i < 10; i++) {
    small.copy(large)
    Buffer.concat([large, large])
  }
  const { copiedAt } = stop()
  expect(Object.values(copiedAt)).toEqual([100_000])
})

test('promises are counted, and after the end nothing is', async () => {
  const set = Uint8Array.prototype.set
  const stop = startCounting()
  for (let i = 0; i < 100; i++) void Promise.resolve(i)
  const { promises } = stop()
  expect(promises).toBe(100)
  expect(Uint8Array.prototype.set).toBe(set)
  expect(Object.hasOwn(Uint8Array.prototype, 'set')).toBe(false)
})

test('messages over HTTP/2 are counted on both sides, with the calls that carry them', async () => {
  awaitStreams()
  const server = createServer()
  server.on('stream', stream => {
    stream.respond()
    stream.pipe(stream)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const request = session.request({ ':method': 'POST' })
  await once(request, 'response')
  const stop = startCounting()
  const message = Buffer.alloc(5 + 200, 0)
  message.writeUInt32BE(200, 1)
  let bytes = 0
  for (let i = 0; i < 10; i++) request.write(message)
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length
    if (bytes === 10 * message.length) break
  }
  expect(Object.hasOwn(streamsOf(request), 'push')).toBe(true)
  const { sent, received } = stop()
  expect(Object.hasOwn(streamsOf(request), 'push')).toBe(false)
  session.destroy()
  server.close()
  // The server sends back what it got.
  expect(sent).toMatchObject({ messages: 20, bytes: 20 * message.length, strays: 0 })
  expect(received).toMatchObject({ messages: 20, bytes: 20 * message.length, strays: 0 })
  expect(sent.chunks).toBeGreaterThan(0)
})

/** The prototype of all HTTP/2 streams. */
function streamsOf(stream: object): object {
  const prototype: object = Object.getPrototypeOf(stream)
  return prototype.constructor.name === 'Http2Stream' ? prototype : streamsOf(prototype)
}
