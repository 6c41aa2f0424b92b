import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { NodeDirectory } from './node-directory.ts'

test('an address at which no HTTP/2 is spoken fails the call and nothing else', async () => {
  const server = createServer((_request, response) => response.end())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const clientUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const directory = new NodeDirectory(1, [{ node: 2, clientUrl, peerAddress: '127.0.0.1:1' }])
  await expect(directory.clients(2)!.topics.listTopics({})).rejects.toThrow()
  directory.close()
  await new Promise(resolve => server.close(resolve))
})
