import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeCluster } from './testing/fake-cluster.ts'
import { type Client, connect, json, type Topic, text, values } from './web.ts'

let cluster: FakeCluster
let client: Client
let topic: Topic<string>

beforeEach(async () => {
  cluster = await FakeCluster.start({ single: 1 }, { http1: true })
  client = connect(cluster.urls)
  topic = client.topic('single', { value: text })
})
afterEach(async () => {
  await client.close()
  await cluster[Symbol.asyncDispose]()
})

test('appends by unary calls, idempotent and in order', async () => {
  const results = await Promise.all(['a', 'b', 'c'].map(value => topic.append({ key: 'k', value })))
  expect(results.map(result => result.offset)).toEqual([0, 1, 2])
  expect(await topic.append({ value: 'd', headers: { trace: '1' } })).toMatchObject({ offset: 3 })
  const sequences = cluster.partition('single', 0).entries.map(entry => entry.sequence)
  expect(sequences).toEqual(sequences.map((_, i) => i))
})

test('reads records that the broker has decoded', async () => {
  await topic.appendMany(['a', 'b', 'c'].map(value => ({ key: 'k', value, headers: { trace: value } })))
  await topic.append({ value: 'd' })
  const seen: object[] = []
  for await (const batch of topic.read({ from: { partition: 0, offset: 1 } })) {
    for (const record of batch.records) {
      const { offset, key, value, contentType } = record
      seen.push({ offset, key, value, contentType, trace: record.header('trace') })
    }
  }
  const contentType = 'text/plain; charset=utf-8'
  expect(seen).toEqual([
    { offset: 1, key: 'k', value: 'b', contentType, trace: 'b' },
    { offset: 2, key: 'k', value: 'c', contentType, trace: 'c' },
    { offset: 3, key: null, value: 'd', contentType, trace: undefined },
  ])
})

test('observes live', async () => {
  const seen: string[] = []
  const subscription = topic
    .observe({ from: 'earliest' })
    .pipe(values())
    .subscribe(value => seen.push(value))
  await topic.append({ value: 'a' })
  await topic.append({ value: 'b' })
  await expect.poll(() => seen).toEqual(['a', 'b'])
  subscription.unsubscribe()
})

test('a refused append says so', async () => {
  const numbers = client.topic('single', { value: json<number>() })
  await numbers.append({ value: 1, expect: { partitionOffset: 0 } })
  await expect(numbers.append({ value: 2, expect: { partitionOffset: 0 } })).rejects.toMatchObject({
    code: 'EXPECTATION_FAILED',
    outcome: 'not_stored',
  })
})

test('there is no compression', () => {
  expect(() => connect('http://127.0.0.1:7070', { compression: 'zstd' })).toThrow(/compression/)
})

describe('what a browser loads', () => {
  const sources = fileURLToPath(new URL('../..', import.meta.url))
  const entries: Readonly<Record<string, string>> = {
    '@millrace/record': join(sources, 'record/src/index.ts'),
    '#crc32': join(sources, 'record/src/crc32-portable.ts'),
    '#zstd': join(sources, 'record/src/zstd-portable.ts'),
    '@millrace/proto': join(sources, 'proto/src/index.ts'),
  }

  /** Everything that is imported at run time, from our sources on. */
  function imports(file: string, seen: Map<string, string> = new Map()): Map<string, string> {
    const statements = readFileSync(file, 'utf8').matchAll(
      /^(?:import|export)\s(?!type\s)[^;]*?from\s+["']([^"']+)["']/gms,
    )
    for (const [, name = ''] of statements) {
      const target = name.startsWith('.') ? join(dirname(file), name) : (entries[name] ?? name)
      if (seen.has(target)) continue
      seen.set(target, file)
      if (target.endsWith('.ts')) imports(target, seen)
    }
    return seen
  }

  test('has nothing of Node in it', () => {
    const loaded = imports(join(sources, 'client/src/web.ts'))
    const outside = [...loaded.keys()].filter(name => !name.endsWith('.ts')).toSorted()
    expect(outside).toEqual([
      '@bufbuild/protobuf',
      '@bufbuild/protobuf/codegenv2',
      '@connectrpc/connect',
      '@connectrpc/connect-web',
      'rxjs',
    ])
  })
})
