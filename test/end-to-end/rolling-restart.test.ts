import { connect, json } from '@millrace/client'
import { expect, it } from 'vitest'
import { startCluster, waitFor } from './testkit.ts'

const TOPIC = 'orders'
const PARTITIONS = 9
const SPREAD_TIMEOUT_MS = 60_000

it('Each of three nodes restarted in turn under load: nothing acknowledged is lost, and within a minute each leads as many partitions as the others, give or take one', async () => {
  await using cluster = await startCluster()
  await using client = connect(cluster.urls)
  await client.topics.create(TOPIC, { partitions: PARTITIONS })
  await cluster.leaders(TOPIC)
  const topic = client.topic(TOPIC, { value: json<number>() })
  const stop = new AbortController()
  const acknowledged = write(stop.signal)

  for (const node of cluster.nodes) {
    await node.stop()
    await node.start()
    await cluster.processes.ready()
  }
  await waitFor(isSpread, { what: 'leaderships to be spread', timeoutMs: SPREAD_TIMEOUT_MS })
  stop.abort()

  const values: number[] = []
  for await (const { records } of topic.read({ from: 'earliest' })) values.push(...records.map(({ value }) => value))
  const kept = new Set(values)
  expect(values.length, 'no duplicate').toBe(kept.size)
  const written = await acknowledged
  expect(written.length).toBeGreaterThan(100)
  expect(written.filter(value => !kept.has(value))).toEqual([])

  /** Appends to every partition in turn, a few at a time. @returns what was acknowledged */
  async function write(signal: AbortSignal): Promise<number[]> {
    const found: number[] = []
    for (let value = 0; !signal.aborted; ) {
      const few = Array.from({ length: PARTITIONS }, (_, partition) => ({ value: value++, partition }))
      const ends = await Promise.allSettled(few.map(record => topic.append(record)))
      for (const [at, { status }] of ends.entries()) if (status === 'fulfilled') found.push(few[at]!.value)
    }
    return found
  }

  async function isSpread(): Promise<boolean> {
    const leaders = await cluster.leaders(TOPIC)
    const led = cluster.nodes.map((_, at) => leaders.filter(leader => leader === at + 1).length)
    return Math.max(...led) - Math.min(...led) <= 1
  }
})
