import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer,
  type Http2Server,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { EnvelopeTooLongError } from './envelope-reader.ts'
import { MessageReader } from './message-reader.ts'
import { MessageWriter } from './message-writer.ts'

const WINDOW_BYTES = 65_536
const OPTIONS = { messageBytesMax: 1_000_000, aheadBytesMax: 100_000 }

let server: Http2Server
let session: ClientHttp2Session
let client: ClientHttp2Stream
let serverStream: ServerHttp2Stream

beforeEach(async () => {
  server = createServer({ settings: { initialWindowSize: WINDOW_BYTES } })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  client = session.request({ ':method': 'POST' }, { endStream: false })
  client.on('error', () => {})
  const [stream] = (await once(server, 'stream')) as [ServerHttp2Stream]
  serverStream = stream
  serverStream.on('error', () => {})
  serverStream.respond({ ':status': 200 })
})

afterEach(async () => {
  session.destroy()
  server.close()
  await once(server, 'close')
})

/** Lets sockets and callbacks run until `reached`. */
async function until(reached: () => boolean): Promise<void> {
  while (!reached()) await new Promise(resolve => setImmediate(resolve))
}

describe('messages on a stream', () => {
  test('arrive in order, each in one piece, and the end is seen', async () => {
    const writer = new MessageWriter(client, 1_000_000)
    const reader = new MessageReader(serverStream, OPTIONS)
    const large = Buffer.alloc(300_000, 7)
    writer.write(0, [Buffer.from('head '), large])
    writer.write(1, [large, Buffer.from('tail')])
    writer.finish(2, [Buffer.from('{}')])
    const found: { flags: number; message: Buffer }[] = []
    for await (const { flags, message } of reader) found.push({ flags, message: Buffer.from(message) })
    expect(found.map(({ flags }) => flags)).toEqual([0, 1, 2])
    expect(found[0]!.message.equals(Buffer.concat([Buffer.from('head '), large]))).toBe(true)
    expect(found[1]!.message.equals(Buffer.concat([large, Buffer.from('tail')]))).toBe(true)
    expect(found[2]!.message.toString()).toBe('{}')
    expect(writer.over).toBe(true)
  })

  test('a message that is put together has the room around it that was asked for, and nobody else there', async () => {
    const writer = new MessageWriter(client, 1_000_000)
    const reader = new MessageReader(serverStream, { ...OPTIONS, room: { before: 104, behind: 7 } })
    const large = Buffer.alloc(300_000, 7)
    writer.write(0, [Buffer.from('small')])
    writer.write(0, [large])
    writer.finish(2, [])
    const found = []
    for await (const envelope of reader) found.push(envelope)
    expect(found.map(({ owned }) => owned)).toEqual([false, true, false])
    const { message } = found[1]!
    expect([message.byteOffset, message.buffer.byteLength]).toEqual([104, 300_111])
    expect(large.equals(message)).toBe(true)
  })

  test('a reader that takes nothing stops the writer: what waits on either side is bounded', async () => {
    const writer = new MessageWriter(client, 50_000)
    const reader = new MessageReader(serverStream, OPTIONS)
    const message = Buffer.alloc(10_000)
    let written = 0
    const writing = (async () => {
      while (!writer.over) {
        writer.write(0, [message])
        written++
        await writer.room()
      }
    })()
    await until(() => !writer.roomy)
    // Everything that can move has moved.
    for (let turn = 0; turn < 200; turn++) await new Promise(resolve => setImmediate(resolve))
    const bound = (OPTIONS.aheadBytesMax + 2 * WINDOW_BYTES + 50_000) / message.length + 2
    expect(written).toBeGreaterThan(10)
    expect(written).toBeLessThanOrEqual(bound)
    const stoppedAt = written
    let taken = 0
    await until(() => {
      if (taken < stoppedAt + 20) {
        taken++
        void reader.next()
      }
      return written > stoppedAt + 10
    })
    client.close(constants.NGHTTP2_CANCEL)
    await writing
  })

  test('a writer learns that its stream is closed, and waits for nothing', async () => {
    const writer = new MessageWriter(client, 1)
    writer.write(0, [Buffer.alloc(200_000)])
    const waiting = writer.room()
    serverStream.close(constants.NGHTTP2_CANCEL)
    await waiting
    expect(writer.over).toBe(true)
    writer.write(0, [Buffer.alloc(1)])
  })

  test('a reader says how a stream broke off, after what came whole', async () => {
    const reader = new MessageReader(serverStream, OPTIONS)
    client.write(Buffer.from([0, 0, 0, 0, 1, 9, 0, 0, 0]))
    expect((await reader.next()).value).toMatchObject({ flags: 0 })
    const next = reader.next()
    client.end()
    await expect(next).rejects.toThrow('ended inside a message')
    await expect(reader.next()).rejects.toThrow('ended inside a message')
  })

  test('a lost connection is no end of the messages', async () => {
    const reader = new MessageReader(serverStream, OPTIONS)
    const next = reader.next()
    session.destroy()
    await expect(next).rejects.toThrow('the stream was closed (code 8)')
  })

  test('a message above the limit ends the reader', async () => {
    const reader = new MessageReader(serverStream, { messageBytesMax: 10, aheadBytesMax: 100 })
    client.write(Buffer.from([0, 0, 0, 0, 11]))
    await expect(reader.next()).rejects.toThrow(EnvelopeTooLongError)
  })
})
