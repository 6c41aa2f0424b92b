/** Nodes that answer, start, or are none. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { askAny, describeCluster } from './node-api.ts'

const servers: Server[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map(server => new Promise(resolve => server.close(resolve))))
})

async function answering(status: number, body: object): Promise<string> {
  const server = createServer((_, response) => response.writeHead(status).end(JSON.stringify(body)))
  servers.push(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('a node that waits to be let in is passed over: another one answers', async () => {
  const error = {
    code: 'NO_LEADER',
    message: 'the node waits to be let into the cluster; try again',
    outcome: 'not_stored',
  }
  const starting = await answering(503, { error })
  await expect(describeCluster(starting)).rejects.toMatchObject({
    code: 'NO_LEADER',
    outcome: 'not_stored',
    retryable: true,
  })
  const running = await answering(200, { clusterId: 'c' })
  expect(await askAny([starting, running], url => describeCluster(url))).toMatchObject({ clusterId: 'c' })
})

test('what speaks another language is no node', async () => {
  const other = await answering(503, { status: 'down' })
  await expect(askAny([other], url => describeCluster(url))).rejects.toThrow(
    /is not a Millrace node: it answered with status 503/,
  )
})
