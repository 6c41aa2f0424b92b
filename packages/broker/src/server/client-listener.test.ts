import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FakeNode, startFakeNodes } from '../testing/fake-node.ts'

let node: FakeNode
beforeEach(async () => {
  node = (await startFakeNodes(1, { 'limits.connectionsMax': 4 }))[0]!
})
afterEach(() => node.close())

async function open(): Promise<Socket> {
  const socket = connect(Number(new URL(node.url).port), '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

async function answer(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

describe('one port', () => {
  test('takes a request that arrives byte by byte', async () => {
    const socket = await open()
    socket.setNoDelay()
    for (const byte of 'POST /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n') {
      socket.write(byte)
      await new Promise(resolve => setImmediate(resolve))
    }
    expect(await answer(socket)).toContain('405 Method Not Allowed')
  })

  test('is not shaken by what is no protocol at all', async () => {
    const socket = await open()
    socket.end('PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n\r\n')
    expect(await answer(socket)).toContain('400 Bad Request')
    const other = (await open()).resume()
    other.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame')
    await once(other, 'close')
    const silent = (await open()).resume()
    silent.end()
    await once(silent, 'close')
    expect((await fetch(`${node.url}/livez`)).status).toBe(200)
  })

  test('survives clients that reset in the middle', async () => {
    for (const text of ['P', 'GET / HTTP/1.1\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']) {
      const socket = await open()
      socket.write(text)
      await new Promise(resolve => setTimeout(resolve, 20))
      socket.resetAndDestroy()
    }
    expect((await fetch(`${node.url}/livez`)).status).toBe(200)
  })

  test('refuses connections above connectionsMax and serves again when some have gone', async () => {
    const sockets = await Promise.all(Array.from({ length: 4 }, open))
    const extra = (await open()).resume()
    await once(extra, 'close')
    for (const socket of sockets) socket.destroy()
    await expect.poll(async () => (await fetch(`${node.url}/livez`).catch(() => undefined))?.status).toBe(200)
  })

  test('a pipelined second request is answered too', async () => {
    const socket = await open()
    socket.write(
      'GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\nGET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
    )
    expect((await answer(socket)).match(/200 OK/g)).toHaveLength(2)
  })
})
