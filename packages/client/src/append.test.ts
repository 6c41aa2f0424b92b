import { MillraceError } from '@millrace/record'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bytes, type Client, type ClientOptions, connect, json, type Topic, text } from './index.ts'
import { FakeCluster } from './testing/fake-cluster.ts'

let cluster: FakeCluster
let clients: Client[] = []

beforeEach(async () => {
  cluster = await FakeCluster.start({ orders: 3, single: 1 })
})
afterEach(async () => {
  await Promise.all(clients.map(client => client.close()))
  clients = []
  await cluster[Symbol.asyncDispose]()
})

function open(options: ClientOptions = {}): Client {
  const client = connect(cluster.urls, { closeTimeoutMs: 50, ...options })
  clients.push(client)
  return client
}

function single(options: ClientOptions = {}): Topic<string> {
  return open(options).topic('single', { value: text })
}

/** All values of a topic, in order per partition. */
async function stored(topic: string): Promise<string[]> {
  const values: string[] = []
  for await (const batch of open().topic(topic, { value: text }).read({ from: 'earliest' })) {
    values.push(...batch.records.map(record => record.value))
  }
  return values
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i))

test('an append says where it was stored', async () => {
  const orders = open().topic('orders', { value: json<{ n: number }>() })
  const first = await orders.append({ key: 'c-42', value: { n: 1 } })
  expect(first).toEqual({ partition: 0, offset: 0, timestamp: expect.any(Number) })
  expect(await orders.append({ key: 'c-42', value: { n: 2 } })).toMatchObject({ partition: 0, offset: 1 })
})

test('key, headers, content type and time arrive as they were given', async () => {
  const topic = open().topic('single', { value: bytes, key: bytes })
  const key = new Uint8Array([1, 2])
  await topic.append({ key, value: new Uint8Array([3]), headers: { trace: 'abc' }, contentType: 'x/y', createTime: 7 })
  for await (const batch of topic.read({ from: 'earliest' })) {
    const record = batch.records.at(0)!
    expect([...record.key!]).toEqual([1, 2])
    expect([...record.value]).toEqual([3])
    expect(record.header('trace')).toBe('abc')
    expect(record).toMatchObject({ contentType: 'x/y', createTime: 7, topic: 'single', partition: 0, offset: 0 })
  }
})

test('a caller may use its Buffers again at once', async () => {
  const topic = open().topic('single', { value: bytes, key: bytes })
  const [key, value] = [Buffer.from('key'), Buffer.from('value')]
  // Where the topic lies is not known yet: the record waits as it was given.
  const appended = topic.append({ key, value })
  key.fill(0)
  value.fill(0)
  await appended
  for await (const batch of topic.read({ from: 'earliest' })) {
    const record = batch.records.at(0)!
    expect([String(Buffer.from(record.key!)), String(Buffer.from(record.value))]).toEqual(['key', 'value'])
  }
})

test('calls in one turn travel together, and the next ones gather until the acknowledgement', async () => {
  const topic = single()
  await topic.append({ value: 'warm' })
  cluster.batchSizes.length = 0
  cluster.ackDelayMs = 30
  const first = Promise.all(numbers(10).map(value => topic.append({ value })))
  await new Promise(resolve => setTimeout(resolve, 10))
  const second = numbers(5).map(async value => {
    await new Promise(resolve => setTimeout(resolve, Number(value)))
    return await topic.append({ value })
  })
  await Promise.all([first, ...second])
  expect(cluster.batchSizes).toEqual([10, 5])
})

test('a full batch does not wait for an acknowledgement', async () => {
  const topic = single({ batchBytesMax: 10_000 })
  await topic.append({ value: 'warm' })
  cluster.batchSizes.length = 0
  const results = await Promise.all(numbers(100).map(() => topic.append({ value: 'x'.repeat(1000) })))
  expect(cluster.batchSizes.length).toBeGreaterThan(8)
  expect(results.map(result => result.offset)).toEqual(numbers(100).map(i => Number(i) + 1))
})

test('records without a key fill one batch after the other, over all partitions', async () => {
  const topic = open().topic('orders', { value: text })
  const partitions = new Set<number>()
  for (let i = 0; i < 6; i++) {
    const results = await Promise.all(numbers(4).map(value => topic.append({ value })))
    expect(new Set(results.map(result => result.partition)).size).toBe(1)
    partitions.add(results[0]!.partition)
  }
  expect(partitions.size).toBe(3)
})

test('appendMany: one promise, results in order', async () => {
  const topic = open().topic('orders', { value: text })
  const results = await topic.appendMany(numbers(500).map(value => ({ key: value, value })))
  expect(new Set(results.map(result => `${result.partition}:${result.offset}`)).size).toBe(500)
  expect(await topic.appendMany([])).toEqual([])
  const bad = topic.appendMany([
    { value: 'a', partition: 0 },
    { value: 'b', partition: 9 },
    { value: 'c', partition: 0 },
  ])
  await expect(bad).rejects.toMatchObject({ code: 'UNKNOWN_PARTITION', details: { stored: 1, notStored: 2 } })
})

describe('refused at once, and not stored', () => {
  test.each([
    ['a record that is too large', { value: 'x'.repeat(1_048_577) }, 'RECORD_TOO_LARGE'],
    ['a partition that is not there', { value: 'x', partition: 3 }, 'UNKNOWN_PARTITION'],
    ['an undefined value', { value: undefined as unknown as string }, 'INVALID_ARGUMENT'],
    ['a value of another type', { value: 5 as unknown as string }, 'INVALID_ARGUMENT'],
  ])('%s', async (_, input, code) => {
    await expect(single().append(input)).rejects.toMatchObject({ code, outcome: 'not_stored' })
  })

  test('an unknown topic', async () => {
    const append = open().topic('nowhere', { value: text }).append({ value: 'x' })
    await expect(append).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC', outcome: 'not_stored' })
  })

  test('an invalid name', () => {
    expect(() => open().topic('no/name', { value: text })).toThrow(/letter or digit first/)
  })
})

test('a full buffer refuses at once; writable() waits', async () => {
  const client = open({ bufferBytesMax: 10_000 })
  const topic = client.topic('single', { value: text })
  cluster.ackDelayMs = 50
  const accepted = numbers(9).map(() => topic.append({ value: 'x'.repeat(1000) }))
  await expect(topic.append({ value: 'x'.repeat(1000) })).rejects.toMatchObject({
    code: 'BUFFER_FULL',
    outcome: 'not_stored',
    retryable: true,
  })
  await client.writable()
  await topic.append({ value: 'x'.repeat(1000) })
  await Promise.all(accepted)
  expect((await stored('single')).length).toBe(10)
})

describe('conditional appends', () => {
  test('by the offset of the partition', async () => {
    const topic = single()
    await topic.append({ value: 'a', expect: { partitionOffset: 0 } })
    await expect(topic.append({ value: 'b', expect: { partitionOffset: 0 } })).rejects.toMatchObject({
      code: 'EXPECTATION_FAILED',
      outcome: 'not_stored',
    })
    await topic.append({ value: 'c' })
    expect(await stored('single')).toEqual(['a', 'c'])
  })

  test('by the offset of a key: of two with the same wish one wins', async () => {
    const topic = single()
    const wishes = ['a', 'b'].map(value => topic.append({ key: 'k', value, expect: { keyOffset: 'none' } }))
    const results = await Promise.allSettled(wishes)
    expect(results.map(result => result.status)).toEqual(['fulfilled', 'rejected'])
    await topic.append({ key: 'k', value: 'c', expect: { keyOffset: 0 } })
    expect(await stored('single')).toEqual(['a', 'c'])
  })
})

describe('a refused batch fails alone', () => {
  test('and those behind it keep their order', async () => {
    const topic = single({ batchBytesMax: 1000 })
    cluster.fault = request =>
      Buffer.from(request.recordSet).includes('poison') ? new MillraceError('UNSUPPORTED', 'not this one') : undefined
    const values = numbers(20).map(value => (value === '7' ? 'poison' : value).padEnd(600, '.'))
    const results = await Promise.allSettled(values.map(value => topic.append({ value })))
    const failed = results.flatMap((result, i) => (result.status === 'rejected' ? [i] : []))
    expect(failed).toEqual([7])
    expect(await stored('single')).toEqual(values.filter((_, i) => i !== 7))
  })
})

describe('retries never duplicate and keep the order', () => {
  test.each(['lose-before-store', 'lose-after-store'] as const)('connections that %s', async fault => {
    const topic = single({ batchBytesMax: 2000 })
    let batches = 0
    cluster.fault = () => (++batches % 7 === 3 ? fault : undefined)
    const values = numbers(300).map(value => value.padEnd(100, '.'))
    await Promise.all(values.map(value => topic.append({ value })))
    expect(await stored('single')).toEqual(values)
  })

  test('a leader that moves while batches are in flight', async () => {
    const topic = single({ batchBytesMax: 2000 })
    const partition = cluster.partition('single', 0)
    const values = numbers(400).map(value => value.padEnd(100, '.'))
    const appends: Promise<unknown>[] = []
    for (const [i, value] of values.entries()) {
      appends.push(topic.append({ value }))
      if (i % 50 === 49) {
        partition.leader = (partition.leader % 3) + 1
        await new Promise(resolve => setTimeout(resolve, 3))
      }
    }
    await Promise.all(appends)
    expect(await stored('single')).toEqual(values)
  })

  test('a leader that is killed, and another one takes over', async () => {
    const topic = single({ batchBytesMax: 2000 })
    const partition = cluster.partition('single', 0)
    const values = numbers(200).map(value => value.padEnd(100, '.'))
    await topic.append({ value: values[0]! })
    const appends = values.slice(1).map(value => topic.append({ value }))
    await cluster.kill(partition.leader)
    partition.leader = 2
    await Promise.all(appends)
    expect(await stored('single')).toEqual(values)
  })

  test('a stream that does not answer', async () => {
    const topic = single({ attemptTimeoutMs: 100 })
    let silent = true
    cluster.fault = () => (silent ? 'silence' : undefined)
    const append = topic.append({ value: 'a' })
    setTimeout(() => {
      silent = false
    }, 120)
    expect(await append).toMatchObject({ offset: 0 })
    expect(await stored('single')).toEqual(['a'])
  })

  test('a producer that is forgotten begins a new epoch by itself', async () => {
    const topic = single()
    await topic.append({ value: 'a' })
    const partition = cluster.partition('single', 0)
    partition.forgottenBefore = partition.entries.length
    await topic.append({ value: 'b' })
    expect(await stored('single')).toEqual(['a', 'b'])
  })

  test('a producer whose first batch was stored, not answered and forgotten: unknown, and no duplicate', async () => {
    const topic = single()
    const partition = cluster.partition('single', 0)
    cluster.fault = ({ producer }) => {
      if (producer?.retry) partition.forgottenBefore = partition.entries.length
      return producer?.retry ? undefined : 'lose-after-store'
    }
    await expect(topic.append({ value: 'a' })).rejects.toMatchObject({ code: 'PRODUCER_UNKNOWN', outcome: 'unknown' })
    cluster.fault = () => undefined
    await topic.append({ value: 'b' })
    expect(await stored('single')).toEqual(['a', 'b'])
  })
})

describe('outcomes', () => {
  test('no answer within appendTimeoutMs: unknown', async () => {
    const topic = single({ appendTimeoutMs: 200 })
    await topic.append({ value: 'a' })
    cluster.fault = () => 'silence'
    await expect(topic.append({ value: 'b' })).rejects.toMatchObject({ code: 'APPEND_TIMEOUT', outcome: 'unknown' })
  })

  test('never sent: not stored', async () => {
    const topic = single({ appendTimeoutMs: 200 })
    for (const node of cluster.nodes) await cluster.kill(node.id)
    await expect(topic.append({ value: 'b' })).rejects.toMatchObject({ code: 'UNREACHABLE', outcome: 'not_stored' })
  })

  test('a signal before sending: not stored, and the others of its batch are', async () => {
    const topic = single()
    await topic.append({ value: 'a' })
    cluster.ackDelayMs = 50
    const first = topic.append({ value: 'b' })
    await new Promise(resolve => setTimeout(resolve, 10))
    const abort = new AbortController()
    const gone = topic.append({ value: 'c', signal: abort.signal })
    const kept = topic.append({ value: 'd' })
    abort.abort()
    await expect(gone).rejects.toMatchObject({ code: 'CANCELLED', outcome: 'not_stored' })
    expect((await Promise.all([first, kept])).map(result => result.offset)).toEqual([1, 2])
    expect(await stored('single')).toEqual(['a', 'b', 'd'])
  })

  test('a signal after sending: unknown', async () => {
    const topic = single()
    await topic.append({ value: 'a' })
    cluster.ackDelayMs = 50
    const abort = new AbortController()
    const gone = topic.append({ value: 'b', signal: abort.signal })
    await new Promise(resolve => setTimeout(resolve, 10))
    abort.abort()
    await expect(gone).rejects.toMatchObject({ code: 'CANCELLED', outcome: 'unknown' })
  })
})

describe('flush and close', () => {
  test('flush waits for what was appended before', async () => {
    const client = open()
    const topic = client.topic('orders', { value: text })
    let settled = 0
    for (const value of numbers(50)) void topic.append({ key: value, value }).then(() => settled++)
    await topic.flush()
    expect(settled).toBe(50)
    await client.flush()
  })

  test('flush gives up, and the appends go on', async () => {
    const topic = single()
    cluster.ackDelayMs = 100
    const append = topic.append({ value: 'a' })
    await expect(topic.flush({ timeoutMs: 20 })).rejects.toMatchObject({ code: 'APPEND_TIMEOUT', outcome: 'unknown' })
    await append
  })

  test('a closed client has settled everything and refuses more', async () => {
    const client = open()
    const topic = client.topic('single', { value: text })
    await topic.append({ value: 'a' })
    cluster.fault = () => 'silence'
    const append = topic.append({ value: 'b' })
    const settled = expect(append).rejects.toMatchObject({ code: 'SHUTTING_DOWN', outcome: 'unknown' })
    await client.close()
    await settled
    await expect(topic.append({ value: 'c' })).rejects.toMatchObject({ code: 'SHUTTING_DOWN', outcome: 'not_stored' })
  })
})

// Everything at once, with what the log says at the end as the judge.
test.each([1, 2, 3])('under faults of all kinds: outcomes are true, order per key is kept (run %i)', async run => {
  const topic = open({ batchBytesMax: 3000, attemptTimeoutMs: 150, appendTimeoutMs: 1500 }).topic('orders', {
    value: text,
  })
  let dice = run * 7919
  const roll = (sides: number): number => {
    dice = (dice * 48_271) % 0x7fff_ffff
    return dice % sides
  }
  cluster.fault = () => {
    const fault = roll(60)
    if (fault === 0) return 'lose-before-store'
    if (fault === 1) return 'lose-after-store'
    if (fault === 2) return new MillraceError('THROTTLED', 'slow down')
    if (fault === 3) return new MillraceError('LEADERSHIP_LOST', 'nobody knows')
    if (fault === 4) return new MillraceError('UNSUPPORTED', 'never')
    return fault === 5 ? 'silence' : undefined
  }
  const moving = setInterval(() => {
    const partition = cluster.partition('orders', roll(3))
    partition.leader = roll(3) + 1
  }, 20)
  const results = new Map<string, string>()
  const appends: Promise<void>[] = []
  for (let i = 0; i < 600; i++) {
    const value = `${i}`.padEnd(80, '.')
    const append = topic.append({ key: `k${i % 11}`, value })
    appends.push(
      append.then(
        () => void results.set(value, 'stored'),
        (error: MillraceError) => void results.set(value, error.outcome),
      ),
    )
    if (i % 20 === 19) await new Promise(resolve => setTimeout(resolve, 5))
  }
  await Promise.all(appends)
  clearInterval(moving)
  cluster.fault = () => undefined
  const seen = new Map<string, number>()
  const perKey = new Map<string, number>()
  for await (const batch of open().topic('orders', { value: text }).read({ from: 'earliest' })) {
    for (const { key, value } of batch.records) {
      seen.set(value, (seen.get(value) ?? 0) + 1)
      expect(Number.parseInt(value, 10)).toBeGreaterThan(perKey.get(key!) ?? -1)
      perKey.set(key!, Number.parseInt(value, 10))
    }
  }
  for (const [value, result] of results) {
    const count = seen.get(value) ?? 0
    if (result === 'stored') expect(count).toBe(1)
    else expect(count).toBeLessThanOrEqual(result === 'unknown' ? 1 : 0)
  }
  expect([...results.values()].filter(result => result === 'stored').length).toBeGreaterThan(200)
  expect(results.size).toBe(600)
})

describe('where the first node that answers holds no replica', () => {
  beforeEach(() => {
    cluster.strangers.add(1)
    for (const partition of cluster.topics.get('orders')!) partition.leader = 3
  })

  test('replicas are asked who leads, for appends and reads', async () => {
    const orders = open().topic('orders', { value: text })
    const placed = await Promise.all([0, 1, 2].map(partition => orders.append({ partition, value: 'a' })))
    expect(placed.map(({ offset }) => offset)).toEqual([0, 0, 0])
    expect(await stored('orders')).toEqual(['a', 'a', 'a'])
  })

  test('a replica that is gone is not asked for ever', async () => {
    await cluster.kill(2)
    const orders = open().topic('orders', { value: text })
    expect(await orders.append({ partition: 1, value: 'a' })).toMatchObject({ offset: 0 })
    expect(await orders.append({ partition: 0, value: 'a' })).toMatchObject({ offset: 0 })
  })
})
