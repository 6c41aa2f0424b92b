import { readFileSync } from 'node:fs'
import {
  bufferCount,
  bufferTime,
  concatMap,
  debounceTime,
  filter,
  firstValueFrom,
  from,
  groupBy,
  lastValueFrom,
  map,
  mergeMap,
  type OperatorFunction,
  share,
  switchMap,
  take,
  tap,
  timer,
  toArray,
} from 'rxjs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  type Client,
  type ClientStatus,
  connect,
  type Delivery,
  json,
  type ObserveOptions,
  processEach,
  type Topic,
  text,
  values,
} from './index.ts'
import { FakeCluster } from './testing/fake-cluster.ts'

let cluster: FakeCluster
let client: Client
let topic: Topic<string>

beforeEach(async () => {
  cluster = await FakeCluster.start({ orders: 3, single: 1 })
  client = connect(cluster.urls, { closeTimeoutMs: 50, stallMs: 100 })
  topic = client.topic('single', { value: text })
})
afterEach(async () => {
  await client.close()
  await cluster[Symbol.asyncDispose]()
})

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i))
const ALL: ObserveOptions = { from: 'earliest', live: false }
const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

async function fill(count: number): Promise<void> {
  await topic.appendMany(numbers(count).map(value => ({ value, key: `k${Number(value) % 5}` })))
}

test('cold: every subscription reads on its own', async () => {
  await fill(5)
  const all = topic.observe(ALL).pipe(values(), toArray())
  expect(await lastValueFrom(all)).toEqual(numbers(5))
  expect(await lastValueFrom(all)).toEqual(numbers(5))
})

test('live: from latest by default, for ever', async () => {
  await fill(3)
  const seen = firstValueFrom(topic.observe().pipe(values(), take(2), toArray()))
  await pause(50)
  await topic.append({ value: 'a' })
  await topic.append({ value: 'b' })
  expect(await seen).toEqual(['a', 'b'])
})

test('unsubscribing ends the read, also of an idle topic, and aborts the signals of deliveries', async () => {
  await fill(1)
  const deliveries: Delivery<string>[] = []
  const subscription = topic.observe({ from: 'earliest' }).subscribe(delivery => deliveries.push(delivery))
  await expect.poll(() => cluster.partition('single', 0).readers).toBe(1)
  await expect.poll(() => deliveries.length).toBe(1)
  expect(deliveries[0]!.signal.aborted).toBe(false)
  subscription.unsubscribe()
  expect(deliveries[0]!.signal.aborted).toBe(true)
  await expect.poll(() => cluster.partition('single', 0).readers).toBe(0)
})

test('a subscriber that unsubscribes while it is called gets nothing more', async () => {
  await fill(10)
  expect(await lastValueFrom(topic.observe(ALL).pipe(values(), take(3), toArray()))).toEqual(numbers(3))
})

test('closing the client completes what is live, and is an error to what has an end', async () => {
  await fill(5)
  const live = lastValueFrom(topic.observe({ from: 'earliest' }).pipe(values(), toArray()))
  const stuck = lastValueFrom(topic.observe({ ...ALL, window: { count: 2 } }))
  const failed = expect(stuck).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
  await pause(50)
  await client.close()
  expect(await live).toEqual(numbers(5))
  await failed
})

test('terminal errors are errors; a bad position throws at once', async () => {
  const nowhere = client.topic('nowhere', { value: text }).observe()
  await expect(firstValueFrom(nowhere)).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
  expect(() => topic.observe({ from: 'soon' })).toThrow(/no|neither/)
})

test('values(): a value that cannot be decoded is an error', async () => {
  await fill(1)
  await topic.append({ value: '{' })
  const seen: unknown[] = []
  const read = client
    .topic('single', { value: json<number>() })
    .observe(ALL)
    .pipe(
      values(),
      tap(v => seen.push(v)),
    )
  await expect(lastValueFrom(read)).rejects.toMatchObject({ code: 'UNDECODABLE' })
  expect(seen).toEqual([0])
})

describe('the window', () => {
  test('bounds unsettled deliveries by number', async () => {
    await fill(100)
    const open: Delivery<string>[] = []
    const subscription = topic.observe({ ...ALL, window: { count: 7 } }).subscribe(delivery => open.push(delivery))
    await expect.poll(() => open.length).toBe(7)
    await pause(30)
    expect(open.length).toBe(7)
    open[3]!.ack()
    open[3]!.ack()
    open[4]!.nack()
    await expect.poll(() => open.length).toBe(9)
    expect(open[3]!.settled).toBe(true)
    subscription.unsubscribe()
  })

  test('bounds them by bytes, and always lets one through', async () => {
    for (let i = 0; i < 4; i++) await topic.append({ value: 'x'.repeat(10_000) })
    const open: Delivery<string>[] = []
    const subscription = topic.observe({ ...ALL, window: { bytes: 100 } }).subscribe(delivery => open.push(delivery))
    await expect.poll(() => open.length).toBe(1)
    await pause(20)
    expect(open.length).toBe(1)
    subscription.unsubscribe()
  })

  test('status says stalled with the numbers, and connected once something is settled', async () => {
    await fill(20)
    const statuses: ClientStatus[] = []
    client.status$.subscribe(status => statuses.push(status))
    const open: Delivery<string>[] = []
    const subscription = topic.observe({ ...ALL, window: { count: 4 } }).subscribe(delivery => open.push(delivery))
    await expect
      .poll(() => statuses.at(-1))
      .toMatchObject({
        state: 'stalled',
        what: 'observe single',
        unsettled: 4,
        windowCount: 4,
        reason: expect.stringMatching(/without ack/),
      })
    open[0]!.ack()
    await expect.poll(() => statuses.at(-1)?.state).toBe('connected')
    subscription.unsubscribe()
  })
})

describe('processEach', () => {
  test('runs as many as it may, one per key at a time, in order per key', async () => {
    await fill(60)
    const running = new Set<string>()
    const order = new Map<string, number[]>()
    let most = 0
    const handle = async ({ key, value }: { key: string | null; value: string }): Promise<void> => {
      expect(running.has(key!)).toBe(false)
      running.add(key!)
      most = Math.max(most, running.size)
      await pause(Math.random() * 3)
      running.delete(key!)
      order.set(key!, [...(order.get(key!) ?? []), Number(value)])
    }
    const done = topic
      .observe({ ...ALL, window: { count: 10 } })
      .pipe(processEach(handle, { concurrency: 3 }), toArray())
    expect(await lastValueFrom(done)).toHaveLength(60)
    expect(most).toBe(3)
    for (const seen of order.values()) expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  })

  test('a handler that fails ends it; nothing behind it is begun', async () => {
    await fill(10)
    const begun: string[] = []
    const handle = async ({ value }: { value: string }): Promise<void> => {
      begun.push(value)
      await pause(1)
      if (value === '3') throw new Error('three')
    }
    await expect(lastValueFrom(topic.observe(ALL).pipe(processEach(handle, { by: 'none' })))).rejects.toThrow('three')
    await pause(20)
    expect(begun).toEqual(['0', '1', '2', '3'])
  })

  test('by partition: one at a time each', async () => {
    await fill(10)
    const seen: string[] = []
    const handle = async ({ value }: { value: string }): Promise<void> => {
      await pause(Math.random() * 3)
      seen.push(value)
    }
    await lastValueFrom(topic.observe(ALL).pipe(processEach(handle, { concurrency: 5, by: 'partition' })))
    expect(seen).toEqual(numbers(10))
  })

  test('concurrency must be a whole number above 0', () => {
    expect(() => processEach(() => {}, { concurrency: 0 })).toThrow(/concurrency/)
  })
})

// Each row of the table in docs/concepts/observables.md, by its name there.
describe('operators', () => {
  /** `shrinks`: places of dropped deliveries are lost, the rest goes on; `stalls`: nothing comes any more. */
  type Effect = 'flows' | 'shrinks' | 'stalls'
  const WINDOW = 5

  async function effectOf(use: OperatorFunction<Delivery<string>, unknown>): Promise<Effect> {
    await fill(30)
    let stalled = false
    const watch = client.status$.subscribe(({ state }) => {
      stalled ||= state === 'stalled'
    })
    const deliveries: Delivery<string>[] = []
    const seen = tap((delivery: Delivery<string>) => deliveries.push(delivery))
    const subscription = topic
      .observe({ ...ALL, window: { count: WINDOW } })
      .pipe(seen, use)
      .subscribe()
    await Promise.race([pause(400), new Promise(resolve => subscription.add(() => resolve(undefined)))])
    subscription.unsubscribe()
    watch.unsubscribe()
    if (stalled) return 'stalls'
    return deliveries.every(delivery => delivery.settled) ? 'flows' : 'shrinks'
  }

  const settle = tap((delivery: Delivery<string>) => delivery.ack())
  const work = (delivery: Delivery<string>) => timer(1).pipe(tap(() => delivery.ack()))
  const rows: readonly {
    readonly operator: string
    readonly effect: Effect
    readonly use: OperatorFunction<Delivery<string>, unknown>
  }[] = [
    {
      operator: 'map, tap',
      effect: 'flows',
      use: source =>
        source.pipe(
          map(d => d),
          settle,
        ),
    },
    { operator: 'concatMap', effect: 'flows', use: concatMap(work) },
    { operator: 'mergeMap', effect: 'flows', use: mergeMap(work, 3) },
    {
      operator: 'groupBy + concatMap',
      effect: 'flows',
      use: source =>
        source.pipe(
          groupBy(d => d.record.key),
          mergeMap(group => group.pipe(concatMap(work))),
        ),
    },
    { operator: 'share', effect: 'flows', use: source => source.pipe(share(), settle) },
    { operator: 'take', effect: 'flows', use: source => source.pipe(take(WINDOW), settle) },
    {
      operator: 'bufferCount up to the window',
      effect: 'flows',
      use: source =>
        source.pipe(
          bufferCount(WINDOW),
          mergeMap(batch => from(batch)),
          settle,
        ),
    },
    {
      operator: 'bufferCount above the window',
      effect: 'stalls',
      use: source =>
        source.pipe(
          bufferCount(WINDOW + 1),
          mergeMap(batch => from(batch)),
          settle,
        ),
    },
    {
      operator: 'bufferTime',
      effect: 'flows',
      use: source =>
        source.pipe(
          bufferTime(10),
          mergeMap(batch => from(batch)),
          settle,
        ),
    },
    {
      operator: 'filter',
      effect: 'stalls',
      use: source =>
        source.pipe(
          filter(d => d.record.offset < 2),
          settle,
        ),
    },
    { operator: 'switchMap', effect: 'shrinks', use: switchMap(work) },
    { operator: 'debounceTime', effect: 'shrinks', use: source => source.pipe(debounceTime(5), settle) },
  ]

  test.each(rows)('$operator: $effect', async ({ effect, use }) => {
    expect(await effectOf(use)).toBe(effect)
  })

  test('the table has a row for each', () => {
    const doc = readFileSync(new URL('../../../docs/concepts/observables.md', import.meta.url), 'utf8')
    for (const { operator, effect } of rows) expect(doc).toContain(`| ${operator} | ${effect} |`)
  })
})
