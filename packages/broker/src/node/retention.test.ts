/** Retention in a whole node: settings reach it, and readers hear where the log starts. */
import { expect, test, vi } from 'vitest'
import { startBroker } from './start-broker.ts'

const RECORD_BYTES = 512 * 1024

interface Described {
  readonly partitions: readonly { readonly logStartOffset: number; readonly highWatermark: number }[]
}

test('a topic lets go by size, says where it starts, and refuses what is gone', async () => {
  const topics = { orders: { partitions: 1, retentionBytes: 1, retentionMs: 0 } }
  await using broker = await startBroker({ topics, settings: { 'retention.intervalMs': '1s' } })
  const records = `${broker.url}/v1/topics/orders/records`
  for (let i = 0; i < 8; i++) {
    const body = String(i).padEnd(RECORD_BYTES, '.')
    const response = await fetch(records, { method: 'POST', body })
    expect(response.status).toBe(200)
  }
  const start = await vi.waitUntil(
    async () => {
      const topic = (await (await fetch(`${broker.url}/v1/topics/orders`)).json()) as Described
      return topic.partitions[0]!.logStartOffset
    },
    { timeout: 20_000, interval: 50 },
  )
  const refused = await fetch(`${records}?partition=0&from=${start - 1}`)
  expect(refused.status).toBe(416)
  expect(refused.headers.get('content-range')).toMatch(/^offsets \d+-8\/\*$/)
  const rest = (await (await fetch(`${records}?from=earliest`)).text()).trim().split('\n')
  const offsets = rest.map(line => (JSON.parse(line) as { offset: number }).offset)
  expect(offsets.at(-1)).toBe(7)
  expect(offsets[0]).toBeGreaterThanOrEqual(start)
  const removed = await fetch(`${records}?partition=0&before=8`, { method: 'DELETE' })
  expect(await removed.json()).toEqual({ topic: 'orders', partition: 0, logStartOffset: 8 })
  expect(await (await fetch(`${records}?from=earliest`)).text()).toBe('')
})
