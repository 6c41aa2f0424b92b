import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  type Client,
  type ClientOptions,
  type ClientStatus,
  connect,
  json,
  nullable,
  type Topic,
  text,
} from './index.ts'
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

const topicOf = (name: string): Topic<string> => open().topic(name, { value: text })
const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => String(i + from))

/** Appends values one batch each, so that there are many frames. */
async function fill(topic: Topic<string>, values: readonly string[], partition?: number): Promise<void> {
  for (const value of values) await topic.append({ value, partition })
}

test('reads what is there, and ends', async () => {
  const topic = topicOf('single')
  await fill(topic, numbers(20))
  const seen: string[] = []
  for await (const batch of topic.read({ from: 'earliest' })) {
    expect(batch.records.length).toBe(batch.nextOffset - batch.baseOffset)
    for (const record of batch.records) {
      expect(record.offset).toBe(seen.length)
      seen.push(record.value)
    }
  }
  expect(seen).toEqual(numbers(20))
})

test('an empty topic ends at once', async () => {
  for await (const _ of topicOf('orders').read({ from: 'earliest' })) expect.unreachable()
})

test('from an offset inside a frame, in the middle of a batch', async () => {
  const topic = topicOf('single')
  await topic.appendMany(numbers(10).map(value => ({ value })))
  for await (const batch of topic.read({ from: { partition: 0, offset: 4 } })) {
    expect(batch.baseOffset).toBe(4)
    expect(batch.records.map(record => record.value)).toEqual(numbers(6, 4))
    expect(batch.records.at(0)?.offset).toBe(4)
    expect(batch.records.at(6)).toBeUndefined()
    expect(batch.records.slice(1, 3).map(record => record.offset)).toEqual([5, 6])
  }
})

test('from a time', async () => {
  const topic = topicOf('single')
  await fill(topic, ['old'])
  await new Promise(resolve => setTimeout(resolve, 5))
  const time = new Date()
  await fill(topic, ['new'])
  const seen: string[] = []
  for await (const batch of topic.read({ from: { time } })) seen.push(...batch.records.map(record => record.value))
  expect(seen).toEqual(['new'])
})

test('live and latest: only what comes after, and it waits for more', async () => {
  const topic = topicOf('orders')
  await fill(topic, numbers(6))
  const read = topic.read({ from: 'latest', live: true })
  const first = read.next()
  await new Promise(resolve => setTimeout(resolve, 50))
  await topic.append({ value: 'later', partition: 1 })
  const { value } = await first
  expect(value?.records.map(record => record.value)).toEqual(['later'])
  await read.return()
  expect(await read.next()).toEqual({ done: true, value: undefined })
})

test('a live read takes in partitions that are added, from their start; so does a producer', async () => {
  const client = open({ topicAgeMaxMs: 50 })
  const topic = client.topic('single', { value: text })
  await topic.append({ value: 'a' })
  const read = topic.read({ from: 'latest', live: true })
  const next = read.next()
  cluster.addTopic('single', 2)
  await expect
    .poll(() => topic.append({ value: 'b', partition: 1 }).catch(error => error.code))
    .toMatchObject({ offset: 0 })
  const { value: batch } = await next
  expect(batch).toMatchObject({ partition: 1, baseOffset: 0 })
  await read.return()
})

test('leaving the loop, return() and the signal end the streams', async () => {
  const topic = topicOf('single')
  await fill(topic, numbers(3))
  for await (const _ of topic.read({ from: 'earliest', live: true })) break
  const abort = new AbortController()
  const read = topic.read({ from: 'latest', live: true, signal: abort.signal })
  const waiting = read.next()
  setTimeout(() => abort.abort(), 20)
  await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' })
  await expect.poll(() => cluster.partition('single', 0).readers).toBe(0)
})

test('a closed client ends its reads', async () => {
  const client = open()
  const waiting = client.topic('single', { value: text }).read({ from: 'latest', live: true }).next()
  setTimeout(() => void client.close(), 20)
  await expect(waiting).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
})

describe('errors', () => {
  test('an unknown topic, partition or offset', async () => {
    await expect(topicOf('nowhere').read({ from: 'earliest' }).next()).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
    const orders = topicOf('orders')
    const noPartition = orders.read({ from: 'earliest', partitions: [7] }).next()
    await expect(noPartition).rejects.toMatchObject({ code: 'UNKNOWN_PARTITION' })
    const noOffset = orders.read({ from: { partition: 0, offset: 5 } }).next()
    await expect(noOffset).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
      message: expect.stringMatching(/0 to 0/),
    })
  })

  test.each(['soon', '0:', '0:1,0:2', '0:1;1:2', ''])('%j is no position', from => {
    expect(() => topicOf('orders').read({ from })).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })

  test('no broker answers within connectTimeoutMs', async () => {
    const client = connect('http://127.0.0.1:1', { connectTimeoutMs: 200 })
    const read = client.topic('orders', { value: text }).read({ from: 'earliest', live: true })
    await expect(read.next()).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringMatching(/127\.0\.0\.1:1/),
    })
    await client.close()
  })

  test('a value that the codec cannot read: the record says which', async () => {
    await topicOf('single').append({ value: '{' })
    for await (const batch of open().topic('single', { value: json() }).read({ from: 'earliest' })) {
      const record = batch.records.at(0)!
      expect(() => record.value).toThrow(
        expect.objectContaining({ code: 'UNDECODABLE', message: expect.stringMatching(/single\/0 offset 0/) }),
      )
      expect(Buffer.from(record.valueBytes!).toString()).toBe('{')
    }
  })

  test('records that are gone are never passed over in silence', async () => {
    const topic = topicOf('single')
    await fill(topic, numbers(12))
    cluster.partition('single', 0).entries.splice(4, 3)
    const read = topic.read({ from: 'earliest' })
    expect((await read.next()).value?.nextOffset).toBe(4)
    await expect(read.next()).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
      message: expect.stringMatching(/records 4 to 6 are not there any more/),
    })
  })
})

describe('a position that retention has passed', () => {
  test('is refused, and the error says where the rest begins', async () => {
    const topic = topicOf('single')
    await fill(topic, numbers(12))
    const read = topic.read({ from: 'earliest' })
    const { position } = (await read.next()).value!
    const partition = cluster.partition('single', 0)
    partition.logStartOffset = 9
    partition.entries.splice(0, 9)
    const failed = await topic
      .read({ from: position })
      .next()
      .catch((error: unknown) => error)
    expect(failed).toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
      retryable: false,
      details: { logStartOffset: '9', highWatermark: '12' },
    })
    const rest = await topic.read({ from: 'earliest' }).next()
    expect(rest.value?.baseOffset).toBe(9)
  })

  test('ends a live read that has to reconnect, and does not make it skip', async () => {
    const topic = topicOf('single')
    await fill(topic, numbers(3))
    const read = topic.read({ from: 'earliest', live: true })
    expect((await read.next()).value?.nextOffset).toBe(3)
    const partition = cluster.partition('single', 0)
    const { leader } = partition
    await cluster.kill(leader)
    // Six more came, and all but the last of all have gone.
    partition.entries.push({ ...partition.entries.splice(0, 3)[2]!, baseOffset: 8 })
    partition.logStartOffset = 8
    await cluster.restart(leader)
    await expect(read.next()).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', details: { logStartOffset: '8' } })
  })
})

test('tombstones are null', async () => {
  const topic = open().topic('single', { value: nullable(json<{ n: number }>()) })
  await topic.append({ key: 'k', value: null })
  for await (const batch of topic.read({ from: 'earliest' })) {
    expect(batch.records.at(0)).toMatchObject({ key: 'k', value: null, isTombstone: true })
  }
})

describe('position', () => {
  test('goes on behind the record or batch, in all partitions', async () => {
    const topic = topicOf('orders')
    for (let partition = 0; partition < 3; partition++) await fill(topic, numbers(10, partition * 100), partition)
    const seen: string[] = []
    let from = 'earliest'
    for (let reads = 0; reads < 40; reads++) {
      const read = topic.read({ from })
      const { value: batch, done } = await read.next()
      await read.return()
      if (done) break
      // Sometimes the whole batch, sometimes only its first record.
      const whole = reads % 2 === 0
      const records = whole ? batch.records.slice() : batch.records.slice(0, 1)
      seen.push(...records.map(record => record.value))
      from = whole ? batch.position : records[0]!.position
      expect(from).toMatch(/^[\w:,]+$/)
    }
    const expected = [...numbers(10), ...numbers(10, 100), ...numbers(10, 200)]
    expect(seen.toSorted()).toEqual(expected.toSorted())
  })

  test('a partition that the token does not name is new, and read from its start', async () => {
    const topic = topicOf('orders')
    for (let partition = 0; partition < 3; partition++) await fill(topic, numbers(2, partition * 10), partition)
    const seen: string[] = []
    for await (const batch of topic.read({ from: '0:1,2:2' })) seen.push(...batch.records.map(record => record.value))
    expect(seen.toSorted()).toEqual(['1', '10', '11'])
  })
})

describe('goes on behind the last record, without a gap and without duplicates', () => {
  async function collect(topic: Topic<string>, count: number): Promise<string[]> {
    const seen: string[] = []
    for await (const batch of topic.read({ from: 'earliest', live: true })) {
      for (const record of batch.records) {
        expect(record.offset).toBe(seen.length)
        seen.push(record.value)
      }
      if (seen.length >= count) break
    }
    return seen
  }

  test('after lost connections', async () => {
    const topic = topicOf('single')
    const writing = fill(topic, numbers(200))
    const breaking = setInterval(() => {
      for (const node of cluster.nodes) for (const session of node.sessions) session.destroy()
    }, 25)
    const seen = await collect(topicOf('single'), 200)
    clearInterval(breaking)
    await writing
    expect(seen).toEqual(numbers(200))
  })

  test('after leader changes', async () => {
    const partition = cluster.partition('single', 0)
    const moving = setInterval(() => {
      partition.leader = (partition.leader % 3) + 1
      partition.wake()
    }, 15)
    const writing = fill(topicOf('single'), numbers(200))
    const seen = await collect(topicOf('single'), 200)
    clearInterval(moving)
    await writing
    expect(seen).toEqual(numbers(200))
  })
})

test('partitions take turns: a long one does not hold up the others', async () => {
  const topic = topicOf('orders')
  const value = 'x'.repeat(50_000)
  await Promise.all(numbers(400).map(() => topic.append({ value, partition: 0 })))
  await fill(topic, ['a'], 1)
  await fill(topic, ['b'], 2)
  const order: number[] = []
  for await (const batch of topic.read({ from: 'earliest' })) order.push(batch.partition)
  expect(order.lastIndexOf(0)).toBe(order.length - 1)
  expect(order.indexOf(1)).toBeLessThan(order.length - 2)
  expect(order.indexOf(2)).toBeLessThan(order.length - 1)
})

test('a reader that stops asking stops the broker', async () => {
  const topic = topicOf('single')
  const value = 'x'.repeat(500_000)
  for (let i = 0; i < 40; i++) await topic.append({ value })
  const read = topic.read({ from: 'earliest' })
  await read.next()
  await new Promise(resolve => setTimeout(resolve, 300))
  // Of 20 MB about the windows of HTTP/2 and what the sockets hold are on the way.
  expect(cluster.framesSent).toBeLessThan(30)
  let count = 4
  for await (const batch of read) count += batch.records.length
  expect(count).toBe(40)
})

test('status: connected, reconnecting while no leader is there, connected again', async () => {
  const client = open()
  const states: ClientStatus['state'][] = []
  client.status$.subscribe(({ state }) => states.push(state))
  const topic = client.topic('single', { value: text })
  await topic.append({ value: 'a' })
  const partition = cluster.partition('single', 0)
  const down = partition.leader
  await cluster.kill(down)
  const append = topic.append({ value: 'b' })
  await expect.poll(() => states.at(-1)).toBe('reconnecting')
  await cluster.restart(down)
  await append
  expect(states.at(-1)).toBe('connected')
  expect(states[0]).toBe('idle')
  await client.close()
  expect(states.at(-1)).toBe('closed')
})

test('topics and cluster', async () => {
  const client = open()
  expect(await client.topics.ensure('new', { partitions: 2 })).toMatchObject({ created: true, topic: { name: 'new' } })
  expect(await client.topics.ensure('new', { partitions: 2 })).toMatchObject({ created: false })
  await expect(client.topics.create('new')).rejects.toMatchObject({ code: 'TOPIC_EXISTS' })
  expect((await client.topics.list()).map(topic => topic.name)).toEqual(['orders', 'single', 'new'])
  expect((await client.topics.describe('orders')).partitions).toHaveLength(3)
  await client.topics.delete('new')
  await expect(client.topics.describe('new')).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
  expect((await client.cluster()).nodes.map(node => node.clientUrl)).toEqual(cluster.urls)
})

test('calls are made on a node that answers', async () => {
  await cluster.kill(1)
  expect((await open().cluster()).node).toBe(2)
})
