/**
 * GET, PUT and DELETE of `/KEY`. Any node reads: it asks the leader how far the log was committed when the request came,
 * and answers when it has applied as much. Only the leader writes, and reads under its lease (`/KEY?lease`, which asks
 * nobody); another node answers 307 with the leader's address. With `if-match` a write is for the version that has this `etag`.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { applyCommand, type GroupHandle } from '@millrace/raft-node'
import { ERRORS, MillraceError } from '@millrace/record'
import type { Command, KeyValueMap } from './key-value-map.ts'

const VALUE_BYTES_MAX = 1024 * 1024

type Answer = readonly [status: number, body?: string | Uint8Array, headers?: Record<string, string>]

/** `urlOf`: where a node serves HTTP. */
export function keyValueServer(group: GroupHandle, map: KeyValueMap, urlOf: (node: number) => string): Server {
  async function answer(request: IncomingMessage): Promise<Answer> {
    const { method, url = '/' } = request
    const [key = '', mode] = url.slice(1).split('?')
    if (key === '') return [200, JSON.stringify({ leader: group.leaderNode })]
    if (method === 'GET') {
      if (mode !== 'lease') await group.waitApplied(await group.readIndex())
      const found = mode === 'lease' ? await group.leaseRead(() => map.get(key)) : map.get(key)
      return found === undefined ? [404, `no key ${key}\n`] : [200, found.value, { etag: found.version }]
    }
    if (method !== 'PUT' && method !== 'DELETE') return [405, 'GET, PUT or DELETE\n']
    const body = await bodyOf(request)
    if (body === undefined) return [413, `a value has up to ${VALUE_BYTES_MAX} bytes\n`]
    const value = method === 'PUT' ? body.toString('base64') : undefined
    const command: Command = { key, value, ifVersion: request.headers['if-match'] }
    const done = await applyCommand(group, Buffer.from(JSON.stringify(command)))
    return done ? [204] : [412, `${key} has another version\n`]
  }

  /** What a client may do about it: go to the leader; try again (not stored); or look first (unknown). */
  function refusal(error: unknown, path: string): Answer {
    if (!(error instanceof MillraceError)) throw error
    const { leaderNode } = group
    if (error.code === 'NOT_LEADER' && leaderNode !== 0) return [307, '', { location: urlOf(leaderNode) + path }]
    return [ERRORS[error.code].status, `${error.code}, ${error.outcome}: ${error.message}\n`]
  }

  return createServer((request, response) => {
    answer(request)
      .catch((error: unknown) => refusal(error, request.url ?? '/'))
      .then(([status, body, headers]) => response.writeHead(status, headers).end(body))
      .catch((error: unknown) => response.destroy(error instanceof Error ? error : new Error(String(error))))
  })
}

/** What was sent, if it is short enough. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= VALUE_BYTES_MAX) chunks.push(chunk)
  }
  return bytes > VALUE_BYTES_MAX ? undefined : Buffer.concat(chunks)
}
